package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const repository = "../.."

// markdown returns the texts of the Markdown files of the repository by their path.
func markdown(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{"node_modules", "build", ".git", "testdata"}, d.Name()):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		b, err := os.ReadFile(path) //nolint:gosec // a file of the repository
		out[filepath.Clean(path)] = string(b)
		return err
	})
	if err != nil || len(out) < 20 {
		t.Fatalf("%d Markdown files, %v", len(out), err)
	}
	return out
}

var (
	fenced   = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.+)$`)
	inAnchor = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchors returns those of the headings of a page, as GitHub makes them.
func anchors(text string) map[string]bool {
	out := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		name := strings.ReplaceAll(inAnchor.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")
		anchor := name
		for n := 1; out[anchor]; n++ { // a second heading with the same words
			anchor = fmt.Sprintf("%s-%d", name, n)
		}
		out[anchor] = true
	}
	return out
}

// TestDocLinks checks that each link to a file leads to one, and to a heading of it.
func TestDocLinks(t *testing.T) {
	pages := markdown(t)
	known := make(map[string]map[string]bool) // anchors, by page
	for page, text := range pages {
		known[page] = anchors(text)
	}
	for page, text := range pages {
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			name, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if name != "" {
				target = filepath.Join(filepath.Dir(page), name)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s: %v", page, m[1], err)
			} else if anchor != "" && !known[target][anchor] {
				t.Errorf("%s: %s: no such heading", page, m[1])
			}
		}
	}
}

// TestDocIndex checks that docs/README.md lists every page.
func TestDocIndex(t *testing.T) {
	index, err := os.ReadFile(repository + "/docs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(repository + "/docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	for _, file := range files {
		if name := filepath.Base(file); name != "README.md" && !strings.Contains(string(index), "]("+name+")") {
			t.Errorf("docs/README.md does not list %s", name)
		}
	}
}

// TestDocReasons checks that docs/troubleshooting.md has a row for each reason that
// doctor prints, and none for another one.
func TestDocReasons(t *testing.T) {
	page, err := os.ReadFile(repository + "/docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(repository + "/internal/reason/reason.go")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, m := range regexp.MustCompile(`Reason += "([a-z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		want = append(want, m[1])
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		got = append(got, m[1])
	}
	want = slices.DeleteFunc(want, func(s string) bool { return s == "ok" })
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("docs/troubleshooting.md has %q, want %q", got, want)
	}
}
