package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/dashboards"
)

const (
	dashboardsDir = "../grafana/dashboards"
	soundFile     = "internal/dashboards/testdata/sound.json"
)

// shippedDashboards returns the shipped dashboards, by uid.
func shippedDashboards() []string {
	return []string{"resp-app", "resp-database", "resp-exporter", "resp-fleet", "resp-host", "resp-overview", "resp-redis", "resp-tasks", "resp-workers"}
}

// TestDashboards checks that the linter has no finding about the dashboards, and that
// Debian's Prometheus parses their queries.
func TestDashboards(t *testing.T) {
	t.Parallel()
	all, err := dashboards.Load(dashboardsDir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range all {
		got = append(got, d.UID)
		if d.File != d.UID+".json" {
			t.Errorf("%s has the uid %s", d.File, d.UID)
		}
	}
	if !slices.Equal(got, shippedDashboards()) {
		t.Errorf("the dashboards are %v, want %v", got, shippedDashboards())
	}
	known, err := dashboards.LoadKnown(dashboards.KnownFiles{Scrapes: "../collectors/testdata", Docs: "../docs/metrics.md", Rules: rulesDir})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range dashboards.Except(dashboards.Lint(all, known), dashboards.Exceptions()) {
		t.Error(f)
	}
	readByDebian(t, all)
}

// readByDebian passes the queries to promtool, as recording rules.
func readByDebian(t *testing.T, all []dashboards.Dashboard) {
	t.Helper()
	need(t, "promtool")
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	var where []string
	for _, d := range all {
		for _, q := range d.Queries() {
			q.Expr = asSelector(q.Expr)
			expr := q.Fill(dashboards.Values{Range: time.Hour, Step: 15 * time.Second})
			where = append(where, q.Dashboard+" "+q.Where+" "+q.RefID)
			rules = append(rules, rule{Record: fmt.Sprintf("query_%d", len(rules)), Expr: expr})
		}
	}
	text, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "queries", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "promtool", "check", "rules", "--lint=none", write(t, filepath.Join(t.TempDir(), "queries.yml"), string(text))).CombinedOutput()
	if err != nil {
		t.Errorf("promtool: %v\n%s\nthe queries are\n%s", err, out, strings.Join(where, "\n"))
	}
}

// asSelector returns what a variable's query selects, or the query.
func asSelector(expr string) string {
	if selector, _, ok := dashboards.LabelValues(expr); ok {
		return selector
	}
	return expr
}

// hold runs the check against Grafana's own types and returns its lines.
func hold(t *testing.T, cache string, files ...string) ([]string, error) {
	t.Helper()
	need(t, "node")
	if _, err := os.Stat("schema/node_modules/@grafana/schema"); err != nil {
		t.Fatal("no @grafana/schema: run npm ci --ignore-scripts in e2e/schema")
	}
	out, err := exec.CommandContext(t.Context(), "node", append([]string{"schema/check.mjs", "--cache", cache}, files...)...).CombinedOutput()
	var code *exec.ExitError
	if err != nil && (!errors.As(err, &code) || code.ExitCode() != 1) {
		t.Fatalf("check.mjs: %v\n%s", err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n"), err
}

// TestDashboardSchema checks the dashboards against Grafana's own types, including the
// options of each panel, and that each mistake is reported with its place.
func TestDashboardSchema(t *testing.T) {
	t.Parallel()
	cache := filepath.Join(t.TempDir(), "schemas.json")
	files, err := filepath.Glob(filepath.Join(dashboardsDir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards in %s, %v", dashboardsDir, err)
	}
	if lines, err := hold(t, cache, append(files, soundFile)...); err != nil {
		t.Errorf("faults:\n%s", strings.Join(lines, "\n"))
	}
	sound, err := os.ReadFile(soundFile)
	if err != nil {
		t.Fatal(err)
	}
	faults := []struct{ name, from, to, want string }{
		{"unknown key", `"noValue"`, `"novalue"`, "$.panels.1.fieldConfig.defaults: unknown key novalue"},
		{"unknown key of a dashboard", `"graphTooltip"`, `"tooltip"`, "$: unknown key tooltip"},
		{"wrong enumeration", `"mode": "absolute"`, `"mode": "percent"`, `$.panels.1.fieldConfig.defaults.thresholds.mode: must be equal to one of the allowed values, expected absolute, percentage, is "percent"`},
		{"wrong type", `"unit": "none"`, `"unit": 5`, "$.panels.1.fieldConfig.defaults.unit: must be string, is 5"},
		{"unknown option of a panel", `"options": {}`, `"options": {"graphmode": "none"}`, "$.panels.1.options: unknown key graphmode"},
		{"wrong option of a panel", `"options": {}`, `"options": {"graphMode": "lines"}`, `$.panels.1.options.graphMode: must be equal to one of the allowed values, expected area, line, none, is "lines"`},
		{"unknown custom field", `"axisSoftMax": 0.1`, `"linewidth": 1`, "$.panels.2.fieldConfig.defaults.custom: unknown key linewidth"},
		{"unknown panel", `"type": "stat"`, `"type": "singlestat"`, "$.panels.1.type: unknown panel singlestat"},
		{"missing id", `"id": 2,`, ``, "$.panels.1: no id"},
		{"wrong grid", `"w": 8`, `"w": "8"`, `$.panels.1.gridPos.w: must be number, is "8"`},
		{"unknown key of a target", `"instant"`, `"instantly"`, "$.panels.1.targets.0: unknown key instantly"},
		{"override of nothing", `"id": "unit"`, `"id": "units"`, "$.panels.5.fieldConfig.overrides.0.properties.0: unknown property units"},
		{"wrong override", `"value": "dateTimeFromNow"`, `"value": 1`, "$.panels.5.fieldConfig.overrides.0.properties.0.value: must be string, is 1"},
		{"unknown key of a variable", `"includeAll"`, `"includeall"`, "$.templating.list.1: unknown key includeall"},
		{"unknown key of an annotation", `"iconColor"`, `"iconcolor"`, "$.annotations.list.0: unknown key iconcolor"},
	}
	dir := t.TempDir()
	files = nil
	for _, c := range faults {
		bad := strings.Replace(string(sound), c.from, c.to, 1)
		if bad == string(sound) {
			t.Errorf("%s: no %s in the sound dashboard", c.name, c.from)
		}
		files = append(files, write(t, filepath.Join(dir, c.name+".json"), bad))
	}
	lines, err := hold(t, cache, files...)
	if err == nil || len(lines) < len(faults) {
		t.Errorf("%d faults in %d files, %v", len(lines), len(files), err)
	}
	for i, c := range faults {
		if !slices.Contains(lines, files[i]+" "+c.want) {
			t.Errorf("%s: want %q, got\n%s", c.name, c.want, strings.Join(lines, "\n"))
		}
	}
}
