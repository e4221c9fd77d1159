package collectors_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

var (
	aMetric  = regexp.MustCompile(`[a-z_]+:resp_[a-z0-9_:]+|resp_[a-z0-9_]+`)
	aBucket  = regexp.MustCompile(`_(bucket|sum|count)$`)
	rowOfOne = regexp.MustCompile("^\\| `(resp_[a-z0-9_]+)` \\|")
)

// usage maps each metric to the dashboards and alerts that use it. The metrics of a
// recording rule are used where the rule is used.
type usage map[string][]string

// usages returns the usage of metrics in the shipped dashboards and rules.
func usages(t *testing.T, types map[string]string) usage {
	t.Helper()
	used, made := usage{}, map[string]string{}
	alerts := ruleExpressions(t, made)
	names := func(expr string) []string { return metricsOf(expr, made, types) }
	note := func(where, expr string) {
		for _, m := range names(expr) {
			if !slices.Contains(used[m], where) {
				used[m] = append(used[m], where)
			}
		}
	}
	for _, d := range dashboardExpressions(t) {
		note(d[0], d[1])
	}
	for _, a := range alerts {
		note(fmt.Sprintf("[%s](runbooks.md#%s)", a[0], strings.ToLower(a[0])), a[1])
	}
	return used
}

// metricsOf returns the exporter's metrics in an expression, including those of
// recording rules.
func metricsOf(expr string, made, types map[string]string) []string {
	var out []string
	for _, name := range aMetric.FindAllString(expr, -1) {
		switch base := aBucket.ReplaceAllString(name, ""); {
		case made[name] != "":
			out = append(out, metricsOf(made[name], made, types)...)
		case types[base] == "histogram":
			out = append(out, base)
		default:
			out = append(out, name)
		}
	}
	return out
}

// ruleExpressions returns the name and the expression of each alert, and adds those of
// recording rules to made.
func ruleExpressions(t *testing.T, made map[string]string) (alerts [][2]string) {
	t.Helper()
	files, err := filepath.Glob("../rules/*.rules.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules: %v", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Groups []struct {
				Rules []struct{ Record, Alert, Expr string }
			}
		}
		if err := yaml.Unmarshal(text, &file); err != nil {
			t.Fatal(err)
		}
		for _, g := range file.Groups {
			for _, r := range g.Rules {
				if r.Record != "" {
					made[r.Record] = r.Expr
				} else {
					alerts = append(alerts, [2]string{r.Alert, r.Expr})
				}
			}
		}
	}
	slices.SortStableFunc(alerts, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return alerts
}

// shownPanel is a panel of a dashboard, or a row with panels if it is collapsed.
type shownPanel struct {
	Targets []struct{ Expr string }
	Panels  []shownPanel
}

// dashboardExpressions returns the short name of a dashboard and the expression of
// each query of its panels.
func dashboardExpressions(t *testing.T) (out [][2]string) {
	t.Helper()
	files, err := filepath.Glob("../grafana/dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			Title  string
			Panels []shownPanel
		}
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		short := strings.TrimPrefix(d.Title, "Responsiveness / ")
		for _, p := range d.Panels {
			for _, p := range append(p.Panels, p) {
				for _, q := range p.Targets {
					out = append(out, [2]string{short, q.Expr})
				}
			}
		}
	}
	return out
}

// cell returns the last cell of a metric's row.
func (u usage) cell(metric string) string { return strings.Join(u[metric], ", ") }

// filled returns a text with the last cell of each metric's row set.
func (u usage) filled(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if m := rowOfOne.FindStringSubmatch(line); m != nil {
			cells := strings.Split(strings.TrimSuffix(strings.ReplaceAll(line, "| |", "|  |"), " |"), " | ")
			lines[i] = strings.Join(cells[:4], " | ") + " | " + u.cell(m[1]) + " |"
		}
	}
	return strings.Join(lines, "\n")
}

// Rules and panels use only metrics that a golden file has.
func TestDocsUsedExist(t *testing.T) {
	types := goldenTypes(t)
	for _, m := range []string{"resp_scrape_collector_success", "resp_scrape_collector_duration_seconds", "resp_collector_available", "resp_scrape_collector_left_behind", "resp_exporter_build_info"} {
		types[m] = "gauge"
	}
	for _, m := range []string{"resp_web_connections", "resp_web_connections_limit", "resp_web_connections_closed_total", "resp_web_responses_cut_total", "resp_web_requests_refused_total"} {
		types[m] = "of the HTTP server"
	}
	used := usages(t, types)
	if len(used) < 60 {
		t.Errorf("only %d metrics are used", len(used))
	}
	for m, where := range used {
		if types[m] == "" {
			t.Errorf("%s, used in %s, is in no golden file", m, where)
		}
	}
}
