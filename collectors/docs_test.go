package collectors_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/collectors"
)

const (
	docsFile  = "../docs/metrics.md"
	docsBegin = "<!-- written by: go test ./collectors -run Docs -update -->"
	docsEnd   = "<!-- end -->"
)

var descText = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "(.*?)"(?:, unit: "[^"]*")?, constLabels: \{\}, variableLabels: \{([^}]*)\}\}$`)

// The tables of docs/metrics.md have exactly the metrics that the code publishes.
func TestDocs(t *testing.T) {
	types := goldenTypes(t)
	used := usages(t, types)
	var b strings.Builder
	for _, e := range collectors.Catalog() {
		fmt.Fprintf(&b, "\n### `%s`: %s\n\n| metric | type | labels | meaning | used in |\n|---|---|---|---|---|\n", e.Name, e.Help)
		for _, row := range rows(t, e.New(collectors.Deps{}), types, used) {
			b.WriteString(row)
		}
	}
	page, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(page), docsBegin)
	_, after, ok2 := strings.Cut(rest, docsEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no marks", docsFile)
	}
	want := used.filled(before) + docsBegin + "\n" + b.String() + "\n" + docsEnd + after
	if *update {
		if err := os.WriteFile(docsFile, []byte(want), 0o644); err != nil { //nolint:gosec // a page for everybody
			t.Fatal(err)
		}
		return
	}
	if string(page) != want {
		t.Errorf("%s does not say what the code publishes; write it with: go test ./collectors -run Docs -update", docsFile)
	}
}

func rows(t *testing.T, c collectors.Collector, types map[string]string, used usage) []string {
	t.Helper()
	var out []string
	for _, d := range c.Descs() {
		m := descText.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		if types[m[1]] == "" {
			t.Errorf("%s of collector %q is in no golden file", m[1], c.Name())
		}
		var labels []string
		for l := range strings.SplitSeq(m[3], ",") {
			if l != "" {
				labels = append(labels, "`"+l+"`")
			}
		}
		out = append(out, fmt.Sprintf("| `%s` | %s | %s | %s | %s |\n", m[1], types[m[1]], strings.Join(labels, ", "), strings.ReplaceAll(m[2], `\"`, `"`), used.cell(m[1])))
	}
	sort.Strings(out)
	return out
}

// goldenTypes returns the types of all metrics by the golden files.
func goldenTypes(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.prom")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	types := make(map[string]string)
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			if fields := strings.Fields(s.Text()); len(fields) == 4 && fields[1] == "TYPE" {
				types[fields[2]] = fields[3]
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return types
}
