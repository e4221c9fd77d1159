package health_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/golden"
	"github.com/resp-exporter/resp-exporter/internal/health"
)

var updateGolden = flag.Bool("update", false, "write the golden files instead of comparing with them")

// Each alert and each advice of the states of the other tests, with their sentences: of an
// alert its level, app and name, of an advice its cause. An advice is a sentence with a
// number.
func TestGoldenSentences(t *testing.T) {
	t.Parallel()
	evaluations := make(map[string]health.Evaluation)
	for kind, cases := range map[string]map[string]evaluated{"app": onceCases(), "store": storeCases(), "part": partCases()} {
		for name, c := range cases {
			evaluations[kind+": "+name] = c.evaluate()
		}
	}
	for name, c := range rootCases() {
		evaluations["wait: "+name] = c.evaluate()
	}
	for name, e := range leaks() {
		evaluations["leak: "+name] = e
	}
	x := newTrial()
	x.look(0, fact("resp_up", 0, "app:shop"))
	evaluations["later: down for 20 s"] = x.look(20*time.Second, fact("resp_up", 0, "app:shop"))
	var out bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(evaluations)) {
		j := evaluations[name]
		if len(j.Findings())+len(j.Advice()) == 0 {
			continue
		}
		fmt.Fprintln(&out, name)
		for _, f := range j.Findings() {
			fmt.Fprintf(&out, "\t%s %s/%s: %s\n", f.Severity, f.App, f.Name, f.Summary)
		}
		for _, a := range j.Advice() {
			fmt.Fprintf(&out, "\t> %s: %s\n", a.Cause, a.Text)
			if !strings.HasSuffix(a.Text, ".") || !strings.ContainsAny(a.Text, "0123456789") && !strings.Contains(a.Text, "at the last check") {
				t.Errorf("%s: %q is no sentence with a number", name, a.Text)
			}
		}
	}
	golden.Check(t, "sentences.golden", out.Bytes(), *updateGolden)
}
