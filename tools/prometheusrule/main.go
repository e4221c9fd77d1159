// Command prometheusrule writes the alert rules of rules/ as a PrometheusRule of the
// Prometheus Operator, deploy/kubernetes/base/prometheusrule.yaml. It runs in the root of
// the repository.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// head is what stands before the groups.
const head = `# Made from rules/ by go run ./tools/prometheusrule; do not edit.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: resp-exporter
  labels: {app.kubernetes.io/name: resp-exporter}
spec:
  groups:
`

func main() {
	if err := write(".", "deploy/kubernetes/base/prometheusrule.yaml"); err != nil {
		fmt.Fprintln(os.Stderr, "prometheusrule:", err)
		os.Exit(1)
	}
}

// write writes the PrometheusRule of the rule files of a repository to a file below root.
func write(root, file string) error {
	text, err := generate(filepath.Join(root, "rules"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, file), text, 0o644) //nolint:gosec // everybody may read it
}

// generate returns the PrometheusRule of the rule files in a directory, in the order of
// their names. It is an error if there is none. The groups are copied as text, two
// columns to the right, so that their comments stay.
func generate(dir string) ([]byte, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.rules.yml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no rule file in %s", dir)
	}
	b := bytes.NewBufferString(head)
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // a file of the repository
		if err != nil {
			return nil, err
		}
		_, groups, ok := bytes.Cut(text, []byte("\ngroups:\n"))
		if !ok {
			return nil, fmt.Errorf("%s: no line \"groups:\"", file)
		}
		fmt.Fprintf(b, "    # %s\n", filepath.Base(file))
		for line := range bytes.Lines(groups) {
			if len(bytes.TrimSpace(line)) > 0 {
				b.WriteString("  ")
			}
			b.Write(line)
		}
	}
	return b.Bytes(), nil
}
