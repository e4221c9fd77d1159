// Command generate writes the dashboards of grafana/dashboards: `make golden`
// runs it. A test holds the files against it.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	dir := flag.String("dir", "grafana/dashboards", "directory to write to")
	flag.Parse()
	if err := write(*dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// catalog returns the dashboards, from the general to the particular.
func catalog() []*dashboard {
	all := []*dashboard{overview(), fleet(), app(), workers(), database(), redis(), tasks(), host(), itself()}
	for _, d := range all {
		d.linkRunbooks()
		d.linkData()
		d.listMany()
	}
	return all
}

func write(dir string) error {
	for _, d := range catalog() {
		b, err := encode(d)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, d.UID+".json"), b, 0o644); err != nil { //nolint:gosec // for all to read
			return fmt.Errorf("write dashboard %s: %w", d.UID, err)
		}
	}
	return nil
}

// encode returns the file of a dashboard: indented, so that a difference can be read, and
// with the signs of a query as they are.
func encode(d *dashboard) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(d); err != nil {
		return nil, fmt.Errorf("encode dashboard %s: %w", d.UID, err)
	}
	return b.Bytes(), nil
}
