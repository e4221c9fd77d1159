package journal_test

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// part returns the section of docs/healing.md below a heading.
func part(t *testing.T, heading string) string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/healing.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("docs/healing.md has no part %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// Each decision of the code has its row in docs/healing.md, and the guards are in the order
// in which they are checked.
func TestDocsHaveEachDecision(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("decision.go")
	if err != nil {
		t.Fatal(err)
	}
	var code, docs []string
	for _, m := range regexp.MustCompile(`(?m)^\tDecision\w+\s+Decision = "(\w+)"`).FindAllStringSubmatch(string(source), -1) {
		code = append(code, m[1])
	}
	for _, row := range regexp.MustCompile("(?m)^\\| ((?:`\\w+`(?:, )?)+) \\|").FindAllStringSubmatch(part(t, "How it decides"), -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			docs = append(docs, strings.Trim(name, "`"))
		}
	}
	at := -1
	for _, g := range journal.Guards() {
		i := slices.Index(docs, string(g))
		if i < at {
			t.Errorf("the guard %s stands before one that is asked first", g)
		}
		at = i
	}
	for _, d := range journal.AlertDecisions() {
		if !slices.Contains(code, string(d)) {
			t.Errorf("%s is not among the decisions: %v", d, code)
		}
	}
	slices.Sort(code)
	slices.Sort(docs)
	if len(code) < 20 || !slices.Equal(code, docs) {
		t.Errorf("the code has\n%v, docs/healing.md\n%v", code, docs)
	}
}

// Each key of a line of the journal is described.
func TestDocsHaveEachKeyOfTheJournal(t *testing.T) {
	t.Parallel()
	text := part(t, "The state directory")
	for _, x := range []any{journal.Entry{}, journal.Run{}} {
		kind := reflect.TypeOf(x)
		for field := range kind.Fields() {
			key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if key == "" || !strings.Contains(text, "`"+key+"`") {
				t.Errorf("%s.%s: docs/healing.md does not say what %q is", kind.Name(), field.Name, key)
			}
		}
	}
}
