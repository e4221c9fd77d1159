package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/grafana/generate/runbook"
)

// TestRunbooksNameTheirPanel checks that the section of each alert names the dashboard and
// the panel of the catalogue, and that the panel links to the section.
func TestRunbooksNameTheirPanel(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/runbooks.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for part := range strings.SplitSeq(string(page), "\n### ") {
		name, text, _ := strings.Cut(part, "\n")
		if regexp.MustCompile(`^Resp\w+$`).MatchString(name) && name != "RespWatchdog" {
			sections[name] = text
		}
	}
	boards := map[string]*dashboard{}
	for _, d := range catalog() {
		boards[d.UID] = d
	}
	for _, x := range runbook.Panels() {
		text, ok := sections[x.Alert]
		delete(sections, x.Alert)
		d := boards[x.UID]
		if !ok || d == nil {
			t.Errorf("%s has no section, or %s is no dashboard", x.Alert, x.UID)
			continue
		}
		want := fmt.Sprintf("- **Dashboard:** %s, %q.\n", strings.TrimPrefix(d.Title, "Responsiveness / "), x.Panel)
		if !strings.Contains(text, want) {
			t.Errorf("the section of %s lacks %q", x.Alert, want)
		}
		linked := slices.ContainsFunc(d.all(), func(p *panel) bool {
			return p.Title == x.Panel && slices.ContainsFunc(p.Links, func(l panelLink) bool { return strings.HasSuffix(l.URL, "#"+strings.ToLower(x.Alert)) })
		})
		if !linked {
			t.Errorf("the panel %q of %s does not link to %s", x.Panel, x.UID, x.Alert)
		}
	}
	for name := range sections {
		t.Errorf("%s has no panel", name)
	}
}
