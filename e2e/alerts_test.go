package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/e2e/internal/rules"
)

// TestEveryAlertIsTested checks that each alert has a promtool test in which it fires with
// all its labels and annotations. In the same test it does not fire before its `for` is
// over nor after the fault, nor for instances just below the limit, healthy ones, ones
// without traffic, and ones with a threshold of their own.
func TestEveryAlertIsTested(t *testing.T) {
	t.Parallel()
	tests, err := rules.LoadTests(rulesDir)
	if err != nil {
		t.Fatal(err)
	}
	_, alerts := shipped(t)
	for _, a := range alerts {
		t.Run(strings.ReplaceAll(a.Key(), "/", "_"), func(t *testing.T) {
			t.Parallel()
			var found, before, after bool
			seen := map[string]bool{}
			var limits string
			for _, test := range tests {
				f, b, e := phases(t, test, a)
				found, before, after = found || f, before || b, after || e
				if !f {
					continue
				}
				for _, s := range test.InputSeries {
					for _, m := range instanceLabel.FindAllStringSubmatch(s.Series, 1) {
						seen[m[1]] = true
					}
					if strings.HasPrefix(s.Series, "resp_threshold") || strings.HasPrefix(s.Series, "resp_app_threshold") {
						limits += s.Series
					}
				}
			}
			if !found || !before {
				t.Errorf("fires in a test: %t; is silent before: %t", found, before)
			}
			if a.Alert == "RespWatchdog" {
				return
			}
			if !after {
				t.Error("no test sees it recover")
			}
			wantInstances(t, a, seen, limits)
		})
	}
}

var instanceLabel = regexp.MustCompile(`instance="([^"]*)"`)

// wantInstances checks the instances in the tests of an alert, by their names.
func wantInstances(t *testing.T, a rules.Rule, seen map[string]bool, limits string) {
	t.Helper()
	if a.Alert == "RespExporterAbsent" {
		return
	}
	want := []string{"well"}
	if a.Alert != "RespExporterDown" {
		want = append(want, "edge")
	}
	if strings.Contains(a.Expr, " / ") || strings.Contains(a.Expr, "ratio_rate") {
		want = append(want, "idle")
	}
	if strings.Contains(a.Expr, "maxmemory") {
		want = append(want, "unlimited")
	}
	if strings.Contains(a.Expr, "resp_threshold{") || strings.Contains(a.Expr, "resp_app_threshold{") {
		want = append(want, "raised", "lowered")
	}
	if strings.Contains(a.Expr, "resp_app_threshold{") { // an instance whose app has no threshold
		want = append(want, "off")
	}
	for _, m := range regexp.MustCompile(`(resp_(?:app_)?threshold)\{(resource="\w+"), (severity="\w+")\}`).FindAllStringSubmatch(a.Expr, -1) {
		for _, who := range []string{"raised", "lowered"} {
			app := ""
			if m[1] == "resp_app_threshold" {
				app = `app="shop", `
			}
			if !strings.Contains(limits, fmt.Sprintf(`%s{job="resp", instance="%s", %s%s, %s}`, m[1], who, app, m[2], m[3])) {
				t.Errorf("%s has no threshold %s %s", who, m[2], m[3])
			}
		}
	}
	for _, who := range want {
		if !seen[who] {
			t.Errorf("no instance %q in its tests", who)
		}
	}
}

// phases reports whether the alert fires in the test, is silent before that, and
// again after.
func phases(t *testing.T, test rules.Test, a rules.Rule) (fires, before, after bool) {
	t.Helper()
	silent := false
	for _, e := range test.Alerts {
		if e.Alertname != a.Alert {
			continue
		}
		here := false
		for _, x := range e.Alerts {
			if rules.Key(a.Alert, x.Labels) != a.Key() {
				continue
			}
			here = true
			for _, k := range []string{"summary", "description", "runbook_url"} {
				if x.Annotations[k] == "" {
					t.Errorf("%s at %s: the test does not say the annotation %s", test.Name, e.EvalTime, k)
				}
			}
			if x.Labels["component"] != a.Labels["component"] {
				t.Errorf("%s at %s: the test does not say the label component", test.Name, e.EvalTime)
			}
		}
		switch {
		case here:
			fires, before, after = true, before || silent, false
		case fires:
			after = true
		default:
			silent = true
		}
	}
	return fires, before, after
}

var volatile = regexp.MustCompile(`labels\.(pid|connection|thread|id)\b|by \([^)]*\b(pid|connection)\b`)

// TestAlertsAreWhole checks that each alert has the labels and annotations that people and
// healing need.
func TestAlertsAreWhole(t *testing.T) {
	t.Parallel()
	_, alerts := shipped(t)
	page, err := os.ReadFile("../docs/runbooks.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^### (Resp\w+)$`).FindAllStringSubmatch(string(page), -1) {
		sections[m[1]] = true
	}
	critical, keys, names := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, a := range alerts {
		key := a.Key()
		if keys[key] {
			t.Errorf("%s is there twice", key)
		}
		keys[key], names[a.Alert] = true, true
		if !strings.HasPrefix(a.Alert, "Resp") {
			t.Errorf("%s does not begin with Resp", key)
		}
		switch severity := a.Labels["severity"]; {
		case severity == "critical":
			critical[a.Alert] = true // the tiers of one alert are one page
		case severity != "warning" && a.Alert != "RespWatchdog":
			t.Errorf("%s has the severity %q", key, severity)
		}
		if got, want := a.Labels["component"]+".rules.yml", a.File; got != want {
			t.Errorf("%s has the component of %s and is in %s", key, got, want)
		}
		if a.For == "" {
			t.Errorf("%s has no for", key)
		}
		if c := a.Labels["component"]; a.KeepFiringFor == "" && c != "exporter" && c != "healing" && a.Alert != "RespMySQLOnFallback" && a.Alert != "RespSessionScanStale" {
			t.Errorf("%s may start an action and has no keep_firing_for", key)
		}
		if a.Annotations["summary"] == "" {
			t.Errorf("%s has no summary", key)
		}
		if d := a.Annotations["description"]; !strings.Contains(d, "$labels.instance") && a.Alert != "RespWatchdog" && a.Alert != "RespExporterAbsent" {
			t.Errorf("the description of %s names no instance: %s", key, d)
		} else if strings.Contains(d, "{{ $value }}") {
			t.Errorf("the description of %s has a bare number: %s", key, d)
		}
		if got, want := a.Annotations["runbook_url"], "https://github.com/resp-exporter/resp-exporter/blob/main/docs/runbooks.md#"+strings.ToLower(a.Alert); got != want {
			t.Errorf("%s has the runbook %s, want %s", key, got, want)
		}
		page := "http://{{ $labels.instance }}/runbooks#" + strings.ToLower(a.Alert)
		if slices.Contains([]string{"RespWatchdog", "RespExporterAbsent", "RespExporterDown"}, a.Alert) { // no instance that answers
			page = ""
		}
		if got := a.Annotations["page"]; got != page {
			t.Errorf("%s has the page %q, want %q", key, got, page)
		}
		if !sections[a.Alert] {
			t.Errorf("docs/runbooks.md has no section %s", a.Alert)
		}
		if volatile.MatchString(a.Expr + a.Annotations["description"]) {
			t.Errorf("%s has a label that changes while the fault stays", key)
		}
	}
	for s := range sections {
		if !names[s] {
			t.Errorf("docs/runbooks.md has a section %s, and there is no such alert", s)
		}
	}
	if len(critical) > 10 {
		t.Errorf("%d alerts are pages, want at most 10", len(critical))
	}
}

var (
	metricName = regexp.MustCompile(`\b(?:instance[a-z_]*:)?resp_[a-z0-9_]+(?::[a-z0-9_]+)?|\bup\b|\bscrape_[a-z_]+`)
	selector   = regexp.MustCompile(`\b(resp_[a-z_]+)\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`(\w+)(?:=~|!~|!=|=)"`)
)

// TestRulesNameWhatThereIs checks that rules use only metrics of the golden files and of
// recording rules, with labels that these metrics have.
func TestRulesNameWhatThereIs(t *testing.T) {
	t.Parallel()
	labels := goldenLabels(t)
	all, _ := shipped(t)
	recorded, used := map[string]bool{}, map[string]bool{}
	for _, r := range all {
		recorded[r.Record] = true
	}
	for _, r := range all {
		for _, m := range metricName.FindAllString(r.Expr, -1) {
			used[m] = true
			if m != "up" && m != "scrape_duration_seconds" && !recorded[m] && labels[m] == nil && labels[m+"_bucket"] == nil { // a native histogram has no suffix
				t.Errorf("%s%s names %s, which nothing publishes", r.Alert, r.Record, m)
			}
		}
		for _, s := range selector.FindAllStringSubmatch(r.Expr, -1) {
			for _, l := range matcher.FindAllStringSubmatch(s[2], -1) {
				if labels[s[1]] != nil && !labels[s[1]][l[1]] {
					t.Errorf("%s%s asks for the label %s of %s", r.Alert, r.Record, l[1], s[1])
				}
			}
		}
	}
	boards, err := filepath.Glob("../grafana/dashboards/*.json")
	if err != nil || len(boards) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	for _, name := range boards {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range metricName.FindAllString(string(text), -1) {
			used[m] = true
		}
	}
	for m := range recorded {
		if m != "" && !used[m] {
			t.Errorf("%s is recorded, and no rule and no dashboard uses it", m)
		}
	}
}

// goldenLabels returns the labels of each metric of the golden files, and of
// the table in docs/metrics.md of what is about all collectors.
func goldenLabels(t *testing.T) map[string]map[string]bool {
	t.Helper()
	files, err := filepath.Glob("../collectors/testdata/*.prom")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	out := map[string]map[string]bool{}
	note := func(name string, labels [][]string) {
		if out[name] == nil {
			out[name] = map[string]bool{"job": true, "instance": true}
		}
		for _, l := range labels {
			out[name][l[1]] = true
		}
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			metric, rest, _ := strings.Cut(line, "{")
			if strings.HasPrefix(line, "resp_") {
				note(strings.Fields(metric)[0], matcher.FindAllStringSubmatch(rest, -1))
			}
		}
	}
	docs, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	general, _, _ := strings.Cut(string(docs), "### ")
	for _, m := range regexp.MustCompile("(?m)^\\| `(resp_\\w+)` \\| \\w+ \\| ([^|]*) \\|").FindAllStringSubmatch(general, -1) {
		note(m[1], regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(m[2], -1))
	}
	return out
}
