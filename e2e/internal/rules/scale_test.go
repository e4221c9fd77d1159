package rules_test

import (
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/resp-exporter/resp-exporter/e2e/internal/rules"
)

func TestScale(t *testing.T) {
	t.Parallel()
	file := func(expr, wait string) string {
		return "groups:\n  - name: g\n    interval: 30s\n    rules:\n      # why\n      - alert: A\n        expr: " + expr +
			"\n        for: " + wait + "\n        keep_firing_for: 5m\n        labels:\n          window: 5m\n"
	}
	for _, c := range []struct {
		name, expr, wait string
		s                rules.Scaling
		want             []string
	}{
		{"a range", "rate(x[5m]) > 1", "2m", rules.Scaling{By: 60}, []string{"rate(x[5s]) > 1", "for: 2s", "keep_firing_for: 5s", "interval: 500ms", "window: 5m", "# why"}},
		{"the least range", "rate(x[5m]) > 300", "2m", rules.Scaling{By: 60, Least: 10 * time.Second}, []string{"rate(x[10s]) > 300", "for: 2s"}},
		{"no range grows", "rate(x[5s])", "1s", rules.Scaling{By: 60, Least: 10 * time.Second}, []string{"rate(x[5s])", "for: 16ms"}},
		{"offset and subquery", "x[1d:1h] - x[2h] offset 4h", "1h30m", rules.Scaling{By: 3600}, []string{"x[24s:1s] - x[2s] offset 4s", "for: 1500ms"}},
		{"by one", "x[90m] offset 1d", "1h30m", rules.Scaling{By: 1, Least: time.Hour}, []string{"x[90m] offset 1d", "for: 1h30m", "interval: 30s"}},
		{"what only looks like one", `x{l=~"[5m]?a[0-9]"} + y5m`, "0s", rules.Scaling{By: 60}, []string{`[0-9]`, "y5m", "for: 0s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := c.s.Scale([]byte(file(c.expr, c.wait)))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(string(got), want) {
					t.Errorf("no %q in:\n%s", want, got)
				}
			}
		})
	}
}

func TestScaleRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		s    rules.Scaling
	}{
		"longer":        {"groups: []", rules.Scaling{By: 0.5}},
		"nothing":       {"groups: []", rules.Scaling{}},
		"no YAML":       {"a: [", rules.Scaling{By: 2}},
		"no duration":   {"groups: [{rules: [{for: soon}]}]", rules.Scaling{By: 2}},
		"out of bounds": {"groups: [{rules: [{for: 99999999999999s}]}]", rules.Scaling{By: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := c.s.Scale([]byte(c.text)); err == nil {
				t.Errorf("no error, but:\n%s", got)
			}
		})
	}
}

// TestScaleShipped checks that scaling the shipped rules changes durations only, and that
// a factor of one changes nothing.
func TestScaleShipped(t *testing.T) {
	t.Parallel()
	const shipped = "../../../rules"
	before, err := rules.Load(shipped)
	if err != nil {
		t.Fatal(err)
	}
	for _, by := range []float64{1, 30} {
		dir := t.TempDir()
		if err := (rules.Scaling{By: by, Least: 5 * time.Second}).ScaleDir(shipped, dir); err != nil {
			t.Fatal(err)
		}
		after, err := rules.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(after) != len(before) {
			t.Fatalf("by %v: %d rules, want %d", by, len(after), len(before))
		}
		for i, b := range before {
			a := after[i]
			if b.Alert != "" && by > 1 && a.For == b.For {
				t.Errorf("by %v: %s still waits %s", by, b.Alert, b.For)
			}
			if by > 1 {
				a.Expr, a.For, a.KeepFiringFor = b.Expr, b.For, b.KeepFiringFor
			}
			if !same(t, a, b) {
				t.Errorf("by %v: %s %s became\n%+v\nwant\n%+v", by, b.Alert, b.Record, a, b)
			}
		}
	}
}

func same(t *testing.T, a, b rules.Rule) bool {
	t.Helper()
	x, err := yaml.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := yaml.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(x) == string(y)
}
