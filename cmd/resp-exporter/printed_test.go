package main

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/golden"
)

var updateGolden = flag.Bool("update", false, "write the golden files instead of comparing with them")

// printed has what cases printed, by their names.
type printed struct {
	mu   sync.Mutex
	text map[string]string
}

// newPrinted returns what is compared with a golden file when the test and all that it runs
// have ended.
func newPrinted(t *testing.T, file string) *printed {
	p := &printed{text: make(map[string]string)}
	t.Cleanup(func() { p.check(t, file) })
	return p
}

// add records what a case printed, with HOST for the addresses of servers of the test.
func (p *printed) add(name, text string, servers ...string) {
	for _, s := range servers {
		if u, err := url.Parse(s); err == nil && u.Host != "" {
			text = strings.ReplaceAll(text, u.Host, "HOST")
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text[name] = text
}

// check compares all of it with a golden file.
func (p *printed) check(t *testing.T, file string) {
	t.Helper()
	var out bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(p.text)) {
		fmt.Fprintf(&out, "== %s\n%s\n", name, strings.TrimSuffix(p.text[name], "\n"))
	}
	golden.Check(t, file, out.Bytes(), *updateGolden)
}
