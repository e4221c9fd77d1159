package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/prom"
	"github.com/resp-exporter/resp-exporter/e2e/internal/rules"
)

const rulesDir = "../rules"

// tool runs a program that must succeed, and returns its output.
func tool(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	need(t, program)
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func ruleFiles(t *testing.T) []string {
	t.Helper()
	files, err := rules.Files(rulesDir)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// shipped returns all rules, and the alerts among them.
func shipped(t *testing.T) (all, alerts []rules.Rule) {
	t.Helper()
	all, err := rules.Load(rulesDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.Alert != "" {
			alerts = append(alerts, r)
		}
	}
	return all, alerts
}

// TestRules checks that promtool accepts the rules and the scaled ones, and that all their
// tests pass.
func TestRules(t *testing.T) {
	t.Parallel()
	tool(t, "", "promtool", append([]string{"check", "rules", "--lint=all", "--lint-fatal"}, ruleFiles(t)...)...)
	scaled := t.TempDir()
	if err := (rules.Scaling{By: 60, Least: 2 * time.Second}).ScaleDir(rulesDir, scaled); err != nil {
		t.Fatal(err)
	}
	names, err := rules.Files(scaled)
	if err != nil {
		t.Fatal(err)
	}
	tool(t, "", "promtool", append([]string{"check", "rules", "--lint=all", "--lint-fatal"}, names...)...)
	tests, err := rules.TestFiles(rulesDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tests {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			tool(t, "", "promtool", "test", "rules", name)
		})
	}
}

// TestRulesOfNothing checks that no alert fires without data: no series, or only series
// that are NaN.
func TestRulesOfNothing(t *testing.T) {
	t.Parallel()
	all, alerts := shipped(t)
	dir := t.TempDir()
	for _, name := range ruleFiles(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, filepath.Base(name)), string(text))
	}
	names := map[string]bool{}
	for _, r := range all {
		for _, m := range metricName.FindAllString(r.Expr, -1) {
			names[m] = !strings.Contains(m, ":") && m != "resp_threshold" && m != "resp_app_threshold"
		}
	}
	var silent strings.Builder
	seen := map[string]bool{"RespWatchdog": true, "RespExporterAbsent": true}
	for _, a := range alerts {
		if !seen[a.Alert] {
			fmt.Fprintf(&silent, "      - {eval_time: 7h, alertname: %s}\n", a.Alert)
			seen[a.Alert] = true
		}
	}
	for name, files := range map[string]string{"absent": `["*.rules.yml"]`, "not-a-number": `["*.rules.yml", nan.yml]`} {
		file := write(t, filepath.Join(dir, name+".yml"), "rule_files: "+files+"\nevaluation_interval: 5m\ntests:\n  - input_series: []\n    alert_rule_test:\n"+silent.String())
		write(t, filepath.Join(dir, "nan.yml"), notANumber(names))
		tool(t, dir, "promtool", "test", "rules", file)
	}
}

// notANumber returns a rule file that records NaN under each name, with all labels that an
// expression selects. States, kinds and reasons have many values, so some are used.
func notANumber(names map[string]bool) string {
	var b strings.Builder
	b.WriteString("groups:\n  - name: nan\n    rules:\n")
	for _, more := range []string{
		"", `, state: leaked, kind: rss, resource: cpu`, `, state: stuck, kind: some, resource: memory, reason: failed`,
		`, component: "app:shop", code: "500", mode: enforce`,
	} {
		for _, m := range slices.Sorted(maps.Keys(names)) {
			if names[m] {
				fmt.Fprintf(&b, "      - {record: %s, expr: vector(NaN), labels: {job: resp, instance: i, app: shop, route: /%s}}\n", m, more)
			}
		}
	}
	return b.String()
}

// TestRulesInPrometheus evaluates the scaled rules in a real Prometheus beside a real
// exporter and app: none has an error, the heartbeat fires, and the alert about a missing
// app fires.
func TestRulesInPrometheus(t *testing.T) {
	t.Parallel()
	name := unique("ruled")
	a := serve(t, launch{server: "gunicorn", name: name, args: []string{"-w", "2"}})
	x := watch(t, export{config: joined("apps:", fmt.Sprintf(`  - {name: %s, match: {cmdline: "gunicorn.*%s"}}`, name, name))})
	dir := t.TempDir()
	if err := (rules.Scaling{By: 60, Least: 3 * time.Second}).ScaleDir(rulesDir, dir); err != nil {
		t.Fatal(err)
	}
	base := prometheusOf(t, x, []string{"rule_files: [" + filepath.Join(dir, "*.rules.yml") + "]"})
	firing := func(alert, more string) error {
		_, ok, err := prom.One(t.Context(), base, fmt.Sprintf(`ALERTS{alertname=%q, alertstate="firing"%s}`, alert, more))
		if err == nil && !ok {
			err = fmt.Errorf("%s does not fire", alert)
		}
		return err
	}
	eventually(t, 60*time.Second, func() error { return firing("RespWatchdog", "") })
	down := fmt.Sprintf(`, app=%q, severity="critical", component="app"`, name)
	if firing("RespAppDown", down) == nil {
		t.Fatal("RespAppDown fires for an app that runs")
	}
	healthy(t, base)
	a.Stop()
	eventually(t, 60*time.Second, func() error { return firing("RespAppDown", down) })
	healthy(t, base)
}

// healthy fails the test if a rule could not be evaluated.
func healthy(t *testing.T, base string) {
	t.Helper()
	resp, err := http.Get(base + "/api/v1/rules")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			n++
			if r.Health == "err" || r.LastError != "" {
				t.Errorf("%s: %s", r.Name, r.LastError)
			}
		}
	}
	if all, _ := shipped(t); n != len(all) {
		t.Errorf("Prometheus has %d rules, want %d", n, len(all))
	}
}
