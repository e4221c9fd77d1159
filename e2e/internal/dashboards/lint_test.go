package dashboards_test

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/e2e/internal/dashboards"
)

// change is one place of the sound dashboard, "panels.2.gridPos.x", and what is written
// there; nothing removes it.
type change struct {
	path string
	to   any
}

type nothing struct{}

// apply makes the change in a value made by encoding/json.
func apply(t *testing.T, in any, path []string, to any) any {
	t.Helper()
	if len(path) == 0 {
		return to
	}
	switch in := in.(type) {
	case map[string]any:
		if _, ok := to.(nothing); ok && len(path) == 1 {
			delete(in, path[0])
			return in
		}
		in[path[0]] = apply(t, in[path[0]], path[1:], to)
		return in
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i > len(in) {
			t.Fatalf("no place %v", path)
		}
		if _, ok := to.(nothing); ok && len(path) == 1 {
			return slices.Delete(in, i, i+1)
		}
		if i == len(in) {
			in = append(in, nil)
		}
		in[i] = apply(t, in[i], path[1:], to)
		return in
	}
	t.Fatalf("no place %v in %v", path, in)
	return nil
}

// planted returns the sound dashboard with changes.
func planted(t *testing.T, changes ...change) dashboards.Dashboard {
	t.Helper()
	text, err := os.ReadFile("testdata/sound.json")
	if err != nil {
		t.Fatal(err)
	}
	var whole any
	if err := json.Unmarshal(text, &whole); err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		whole = apply(t, whole, strings.Split(c.path, "."), c.to)
	}
	if text, err = json.Marshal(whole); err != nil {
		t.Fatal(err)
	}
	d, err := dashboards.Parse("sound.json", text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func known(t *testing.T) dashboards.Known {
	t.Helper()
	k, err := dashboards.LoadKnown(dashboards.KnownFiles{Scrapes: "../../../collectors/testdata", Docs: "../../../docs/metrics.md", Rules: "../../../rules"})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func lines(findings []dashboards.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		b.WriteString(f.String() + "\n")
	}
	return b.String()
}

func TestSound(t *testing.T) {
	t.Parallel()
	if got := dashboards.Lint([]dashboards.Dashboard{planted(t)}, known(t)); len(got) > 0 {
		t.Errorf("the sound dashboard:\n%s", lines(got))
	}
}

const (
	chosen = `job=~"$job", instance=~"$instance"`
	ofApp  = chosen + `, app=~"$app"`
)

// fault is one planted fault: the changes, and the one finding that they cause, with its
// rule and a part of its line.
type fault struct {
	rule    string
	changes []change
	want    string
}

func one(rule, path string, to any, want string) fault {
	return fault{rule, []change{{path, to}}, want}
}

// asked plants an expression in the graph of bytes, which has no limits, and changes its
// unit.
func asked(rule, unit, expr, want string) fault {
	return fault{rule, []change{{"panels.4.targets.0.expr", expr}, {"panels.4.targets.1", nothing{}}, {"panels.4.fieldConfig.defaults.unit", unit}, {"panels.4.fieldConfig.defaults.decimals", 0}}, want}
}

func faultsOfModel() []fault {
	other := map[string]any{"type": "prometheus", "uid": "prometheus"}
	return []fault{
		one("uid", "uid", "Resp Sound", `the uid "Resp Sound" is not`),
		one("uid", "uid", strings.Repeat("a", 41), "at most 40"),
		one("uid", "id", 7, "the id is 7"),
		one("uid", "id", nothing{}, "must be null"),
		one("model", "schemaVersion", 38, "must be 41"),
		one("model", "version", 3, "version changes"),
		one("uneditable", "editable", true, "editable"),
		one("inputs", "__inputs", []any{}, "__inputs"),
		one("inputs", "panels.7.options.content", "of ${DS_PROMETHEUS}", "${DS_"),
		one("described", "description", "", "no title or no description"),
		one("described", "panels.2.description", nothing{}, "panel 3 Errors: no title or no description"),
		one("described", "panels.6.title", "", "panel 7"),
		one("template-datasource", "templating.list.0.query", "loki", "first variable"),
		one("template", "templating.list.1.multi", false, "variable job: no label, not of many"),
		one("template", "templating.list.2.allValue", nothing{}, "variable instance: no label, not of many"),
		one("template", "templating.list.3.query", `label_values(resp_app_info{`+chosen+`}, server)`, "the values of the label server"),
		one("template-reload", "templating.list.2.refresh", 1, "variable instance: refresh is 1"),
		one("datasource", "panels.2.datasource", other, "panel 3 Errors: the data source"),
		one("datasource", "panels.2.targets.0.datasource", other, "target A: the data source"),
		one("datasource", "templating.list.1.datasource", nothing{}, "variable job: the data source"),
		one("datasource", "annotations.list.0.datasource", other, "annotation Alerts: the data source"),
		one("panel-id", "panels.6.panels.0.id", 2, "panel 2 CPU: the id 2"),
		one("panel-id", "panels.7.id", nothing{}, "the id 0"),
		one("grid", "panels.2.gridPos.x", 7, "lies on panel 2 State"),
		one("grid", "panels.3.gridPos.w", 9, "beyond the grid"),
		one("grid", "panels.6.panels.0.gridPos.h", 0, "panel 8 CPU: is 24 wide"),
		one("no-value", "panels.1.fieldConfig.defaults.noValue", nothing{}, "panel 2 State: no text"),
		one("targets", "panels.4.targets.1.refId", "A", `target "A"`),
		one("targets", "panels.1.targets.0.expr", "", "no expression"),
		one("targets", "panels.1.targets.0.hide", true, "hidden"),
		one("targets", "panels.1.targets", []any{}, "0 queries in a panel of type stat"),
		one("targets", "panels", []any{}, "shows nothing"),
		one("links", "links", []any{}, "no link to the other"),
		one("links", "links.0.tags.0", "resp", "the tag resp is not"),
		one("links", "links.0.keepTime", false, "does not keep"),
		one("links", "panels.2.links.0.url", "/d/resp-none?${__url_time_range}&${__all_variables}", "links to resp-none"),
		one("links", "panels.2.links.0.url", "/d/resp-sound?${__all_variables}", "does not keep the time"),
		one("links", "panels.1.fieldConfig.defaults.links.0.url", "/d/resp-sound?${__url_time_range}", "does not keep the time or the variables"),
		one("links", "panels.2.links.0.url", "dashboards/x", "is not to /d/UID"),
		one("unit", "panels.1.fieldConfig.defaults.unit", "percents", `the unit "percents"`),
		one("static-threshold", "panels.3.fieldConfig.defaults.thresholds.steps.1", map[string]any{"value": 1, "color": "red"}, "panel 4 Slow: has thresholds"),
		one("static-threshold", "panels.3.fieldConfig.overrides", []any{map[string]any{
			"matcher":    map[string]any{"id": "byName", "options": "p95"},
			"properties": []any{map[string]any{"id": "thresholds", "value": map[string]any{"mode": "absolute", "steps": []any{map[string]any{"value": nil}, map[string]any{"value": 1}}}}},
		}}, "panel 4 Slow: has thresholds"),
	}
}

func faultsOfQueries() []fault {
	return []fault{
		asked("syntax", "short", `sum(resp_app_threads{`+ofApp+`}`, "unclosed left parenthesis"),
		asked("syntax", "short", `histogram_avg(resp_app_threads{`+ofApp+`})`, "not in Prometheus 2.42"),
		one("syntax", "templating.list.1.query", "query_result(up)", "is no label_values"),
		asked("metric", "short", `resp_app_thread{`+ofApp+`}`, `"resp_app_thread" is neither`),
		asked("metric", "s", `resp_http_request_duration_seconds{`+ofApp+`}`, "is neither"),
		asked("label", "short", `resp_app_threads{`+ofApp+`, state="x"}`, "resp_app_threads has no label state"),
		asked("label", "short", `sum by (worker) (resp_app_threads{`+ofApp+`})`, "names the label worker"),
		asked("label", "short", `sum without (worker) (resp_app_threads{`+ofApp+`})`, "names the label worker"),
		asked("label", "short", `sum by (app) (sum by (instance) (resp_app_threads{`+ofApp+`}))`, "names the label app"),
		asked("label", "none", `resp_app_threads{`+ofApp+`} * on (job, instance, worker) group_left () resp_app_info{`+ofApp+`}`, "matches by the label worker"),
		asked("label", "none", `resp_app_threads{`+ofApp+`} * ignoring (worker) resp_app_threads{`+ofApp+`}`, "matches by the label worker"),
		asked("label", "none", `resp_app_threads{`+ofApp+`} * on (job, instance, app) group_left (pid) resp_app_info{`+ofApp+`}`, "takes the label pid"),
		asked("label", "none", `resp_app_threads{`+ofApp+`} * resp_app_info{`+ofApp+`}`, "on one side only"),
		asked("label", "short", `label_replace(resp_app_threads{`+ofApp+`}, "x", "$1", "worker", "(.+)")`, "reads the label worker"),
		asked("label", "short", `label_join(resp_app_threads{`+ofApp+`}, "x", ",", "app", "worker")`, "reads the label worker"),
		asked("label", "reqps", `sum by (route) (instance_app:resp_http_requests:rate5m{`+ofApp+`})`, "names the label route"),
		one("label", "templating.list.3.query", `label_values(resp_exporter_build_info{`+chosen+`}, app)`, "the series have no label app"),
		asked("selector", "short", `resp_app_threads{job=~"$job", app=~"$app"}`, `not chosen by instance=~"$instance"`),
		asked("selector", "short", `resp_app_threads{instance=~"$instance", app=~"$app", job="$job"}`, `not chosen by job=~"$job"`),
		asked("selector", "short", `resp_app_threads{`+chosen+`}`, `not chosen by app=~"$app"`),
		asked("selector", "reqps", `instance_app:resp_http_requests:rate5m{`+chosen+`}`, `not chosen by app=~"$app"`),
		one("selector", "templating.list.2.query", "label_values(resp_exporter_build_info, instance)", `variable instance: resp_exporter_build_info is not chosen by job`),
		one("selector", "annotations.list.0.expr", `ALERTS_FOR_STATE{job=~"$job", severity="critical"} * 1000`, `annotation Alerts: ALERTS_FOR_STATE is not chosen by instance`),
		asked("rate-interval", "ops", `rate(resp_http_requests_total{`+ofApp+`}[5m])`, "rate of resp_http_requests_total is not over"),
		asked("rate-interval", "short", `increase(resp_http_requests_total{`+ofApp+`}[$__range])`, "is not over $__rate_interval"),
		asked("rate-interval", "short", `increase(resp_http_requests_total{`+ofApp+`}[$__interval])`, "is not over $__rate_interval"),
		asked("counter", "short", `resp_http_requests_total{`+ofApp+`}`, "the counter resp_http_requests_total is outside"),
		asked("counter", "short", `max_over_time(resp_worker_restarts_total{`+ofApp+`}[$__rate_interval])`, "is outside of rate"),
		asked("counter", "ops", `rate(resp_app_threads{`+ofApp+`}[$__rate_interval])`, "which is no counter"),
		asked("histogram", "ops", `sum by (app) (rate(resp_http_request_duration_seconds_bucket{`+ofApp+`}[$__rate_interval]))`, "neither in histogram_quantile"),
		asked("histogram", "s", `histogram_quantile(0.9, max by (le, app) (rate(resp_http_request_duration_seconds_bucket{`+ofApp+`}[$__rate_interval])))`, "expected sum by (le"),
		asked("unit-agrees", "short", `resp_app_memory_bytes{`+ofApp+`}`, "is shown in short, expected bytes"),
		asked("unit-agrees", "bytes", `rate(resp_http_requests_total{`+ofApp+`}[$__rate_interval])`, "is shown in bytes, expected ops"),
		asked("unit-agrees", "s", `rate(resp_app_cpu_seconds_total{`+ofApp+`}[$__rate_interval])`, "is shown in s, expected short"),
		asked("unit-agrees", "short", `histogram_quantile(0.9, sum by (le, app) (rate(resp_http_request_duration_seconds_bucket{`+ofApp+`}[$__rate_interval])))`, "expected s "),
		asked("unit-agrees", "short", `resp_pool_utilization_ratio{`+ofApp+`}`, "expected percentunit"),
		asked("unit-agrees", "short", `resp_app_saturation_requests_per_second{`+ofApp+`}`, "is shown in short, expected ops or reqps"),
		asked("unit-agrees", "dateTimeFromNow", `resp_app_start_time_seconds{`+ofApp+`}`, "multiplied by 1000"),
		asked("unit-agrees", "dateTimeFromNow", `time() - resp_app_start_time_seconds{`+ofApp+`}`, "expected s "),
		one("unit-agrees", "panels.5.fieldConfig.overrides", columnLinks(), "panel 6 Requests of the time B: is shown in short"),
		{"one-unit", []change{
			{"panels.3.targets.0.expr", `resp_app_threads{` + ofApp + `}`}, {"panels.3.fieldConfig.defaults.unit", "short"},
			{"panels.4.targets.0.expr", `resp_app_threads{` + ofApp + `}`}, {"panels.4.fieldConfig.defaults.unit", "none"}, {"panels.4.targets.1", nothing{}},
		}, "resp_app_threads is shown in none, but in short in resp-sound, panel 4 Slow"},
		one("threshold-drawn", "panels.2.targets.1", nothing{}, `shows resp_http_requests_total without resp_app_threshold{resource="error_rate"}`),
		one("threshold-drawn", "panels.2.targets.1.expr", `max by (severity) (resp_threshold{`+chosen+`, resource="error_rate"})`, `without resp_app_threshold{resource="error_rate"}`),
		one("threshold-drawn", "panels.6.panels.0.targets.1.expr", `max by (severity) (resp_threshold{`+chosen+`, resource="memory"})`, `without resp_threshold{resource="cpu"}`),
		asked("threshold-drawn", "short", `resp_listener_queue_length{`+ofApp+`}`, "request_queue"),
	}
}

// faultsOfDrawing are those that only a picture shows.
func faultsOfDrawing() []fault {
	app := "max by (app, severity) (ALERTS{" + chosen + `, alertstate="firing"})`
	return []fault{
		one("state-color", "panels.1.type", "state-timeline", "panel 2 State: the color mode is not fixed"),
		{"state-color", []change{{"panels.1.type", "status-history"}, {"panels.1.fieldConfig.defaults.color", map[string]any{"mode": "thresholds"}}}, "the color mode is not fixed"},
		{"stale-stat", []change{{"panels.1.targets.0.instant", false}, {"panels.1.targets.0.range", true}}, "panel 2 State: target A is not instant"},
		one("stale-stat", "panels.5.targets.1.range", true, "panel 6 Requests of the time: target B is not instant"),
		one("min-interval", "panels.2.targets.0.interval", "1m", "panel 3 Errors: has a minimum step of 1m"),
		one("min-interval", "panels.3.interval", "30s", "panel 4 Slow: has a minimum step of 30s"),
		one("annotation-point", "annotations.list.0.useValueForTime", nothing{}, "annotation Alerts: does not use the value"),
		one("annotation-point", "annotations.list.0.expr", `ALERTS_FOR_STATE{`+chosen+`, severity="critical"}`, "annotation Alerts: the value is not a time"),
		one("annotation-point", "annotations.list.0.expr", `ALERTS_FOR_STATE{`+chosen+`} * 1000`, "annotation Alerts: is drawn by default"),
		{"table-unit", []change{{"panels.5.targets.0", nothing{}}, {"panels.5.fieldConfig.defaults.unit", "dateTimeFromNow"}}, "the unit dateTimeFromNow applies to the text columns"},
		{"table-cell", []change{{"panels.5.targets.1.expr", app}, {"panels.5.fieldConfig.overrides", columnLinks()}}, `panel 6 Requests of the time B: the column app may be empty, and would show the text "no data"`},
		one("whole-count", "panels.5.fieldConfig.defaults.decimals", nothing{}, "panel 6 Requests of the time A: increase of resp_http_requests_total"),
		one("figure-color", "panels.1.fieldConfig.defaults.mappings", nothing{}, "the figure of target A has no color"),
		one("gap", "panels.2.fieldConfig.defaults.custom.spanNulls", 180_000, "draws its line across 180000 ms"),
		one("gap", "panels.2.fieldConfig.defaults.custom.spanNulls", true, "draws its line across true ms"),
		one("axis", "panels.2.fieldConfig.defaults.custom", nothing{}, "panel 3 Errors: the axis of ratios has no end"),
		{"axis", []change{
			{"panels.3.targets.1", map[string]any{"refId": "B", "expr": `max by (severity) (resp_app_threshold{` + ofApp + `, resource="response_time"})`, "range": true}},
			{"panels.3.fieldConfig.overrides", []any{map[string]any{"matcher": map[string]any{"id": "byName", "options": "x"}, "properties": []any{map[string]any{"id": "custom.hideFrom", "value": map[string]any{"legend": true}}}}}},
		}, "the limit of response_time needs a logarithmic axis"},
		one("limit-legend", "panels.2.fieldConfig.overrides", []any{}, "panel 3 Errors B: the limits are in the legend"),
		one("hidden-series", "panels.1.targets.0.expr", `resp_health_status{`+ofApp+`}`, `hides the series of resp_health_status without app`),
	}
}

// columnLinks are overrides that link the columns app and instance.
func columnLinks() []any {
	column := func(name, url string) any {
		return map[string]any{
			"matcher":    map[string]any{"id": "byName", "options": name},
			"properties": []any{map[string]any{"id": "links", "value": []any{map[string]any{"title": "more", "url": url}}}},
		}
	}
	return []any{column("app", "/d/resp-sound?${__url_time_range}&var-app=${__value.raw}"), column("instance", "http://${__value.raw}/")}
}

// faultsOfDetail are those on the way to the details.
func faultsOfDetail() []fault {
	requests := `sum by (app) (rate(resp_http_requests_total{` + ofApp + `}[$__rate_interval]))`
	worker := one("data-link", "panels.2.targets.0.legendFormat", "{{worker}}", "panel 3 Errors: the series are by worker")
	worker.changes = append(worker.changes, change{"panels.2.options.legend", map[string]any{"displayMode": "table", "calcs": []any{"lastNotNull", "max"}}})
	return []fault{
		one("begin", "templating.list.2.includeAll", true, "variable instance: offers All"),
		one("begin", "templating.list.2.current", map[string]any{"text": "a", "value": "a"}, "variable instance: offers All, or begins"),
		{"begin", []change{
			{"uid", "resp-fleet"}, {"panels.1.fieldConfig.defaults.links.0.url", "https://example.com"}, {"panels.2.links", []any{}},
			{"panels.5.fieldConfig.overrides.1", columnLinks()[1]}, {"panels.5.transformations.0.options.excludeByName", map[string]any{"app": true}},
		}, "variable instance: does not begin with All"},
		one("data-link", "panels.1.fieldConfig.defaults.links.1", nothing{}, "panel 2 State: the series are by instance"),
		one("data-link", "panels.2.targets.0.legendFormat", "{{app}}", "panel 3 Errors: the series are by app"),
		worker,
		one("data-link", "panels.5.fieldConfig.overrides.2", nothing{}, "panel 6 Requests of the time B: the column instance has no link"),
		one("legend-table", "panels.4.targets.0.legendFormat", "{{view}}", "panel 5 Memory: can have many series"),
		{"legend-table", []change{
			{"panels.4.targets.0.legendFormat", "{{view}}"}, {"panels.4.options.legend", map[string]any{"displayMode": "table", "calcs": []any{"max"}}},
		}, "panel 5 Memory: can have many series"},
		asked("day-before", "reqps", requests, "panel 5 Memory A: shows the requests without those of the day before"),
		one("start-marks", "annotations.list.1", nothing{}, "no annotation is made of resp_app_start_time_seconds"),
		one("start-marks", "annotations.list.2", nothing{}, "no annotation is made of resp_worker_start_time_seconds"),
		one("open-height", "panels.7.gridPos.y", 60, "beyond two screens"),
	}
}

// TestBeginsWithOne checks that a dashboard of all instances does not take All along to one
// that begins with an instance.
func TestBeginsWithOne(t *testing.T) {
	t.Parallel()
	got := dashboards.Lint([]dashboards.Dashboard{
		planted(t), planted(t, change{"uid", "resp-overview"}, change{"templating.list.2.includeAll", true}, change{"panels.1.fieldConfig.defaults.links.0.url", "https://example.com"}),
	}, known(t))
	if len(got) != 1 || got[0].Rule != "begin" || !strings.Contains(got[0].String(), "panel 3 Errors: the link to resp-sound has All as its instance") {
		t.Errorf("got\n%s", lines(got))
	}
}

// TestPlantedFaults checks that each planted fault is found and no other one, and that
// each rule has a fault.
func TestPlantedFaults(t *testing.T) {
	t.Parallel()
	k := known(t)
	proven := map[string]bool{"exception": true} // by TestExceptions
	for _, f := range slices.Concat(faultsOfModel(), faultsOfQueries(), faultsOfDrawing(), faultsOfDetail()) {
		proven[f.rule] = true
		got := dashboards.Lint([]dashboards.Dashboard{planted(t, f.changes...)}, k)
		if f.rule == "uid" { // the links of the other panels lead nowhere then
			got = slices.DeleteFunc(got, func(x dashboards.Finding) bool { return x.Rule == "links" })
		}
		if len(got) != 1 || got[0].Rule != f.rule || !strings.Contains(got[0].String(), f.want) {
			t.Errorf("%s %v:\nwant %q, got\n%s", f.rule, f.changes, f.want, lines(got))
		}
	}
	for _, name := range dashboards.Rules() {
		if !proven[name] {
			t.Errorf("the rule %s has no planted fault", name)
		}
	}
}

// TestOverAllDashboards checks two files of one uid, and one metric in two units over two
// files.
func TestOverAllDashboards(t *testing.T) {
	t.Parallel()
	got := dashboards.Lint([]dashboards.Dashboard{planted(t), planted(t, change{"panels.4.fieldConfig.defaults.unit", "decbytes"})}, known(t))
	if len(got) != 3 || got[0].Rule != "one-unit" || got[2].Rule != "uid" || !strings.Contains(got[2].Detail, "have the same uid") {
		t.Errorf("got\n%s", lines(got))
	}
}

func TestExceptions(t *testing.T) {
	t.Parallel()
	findings := []dashboards.Finding{{Rule: "grid", Dashboard: "a", Where: "panel 1 X"}, {Rule: "grid", Dashboard: "b"}}
	for _, c := range []struct {
		name       string
		exceptions []dashboards.Exception
		want       []string // rules that are left
	}{
		{"none", nil, []string{"grid", "grid"}},
		{"one", []dashboards.Exception{{Rule: "grid", Dashboard: "a", Reason: "so"}}, []string{"grid"}},
		{"all", []dashboards.Exception{{Rule: "grid", Reason: "so"}}, nil},
		{"another panel", []dashboards.Exception{{Rule: "grid", Where: "panel 2", Reason: "so"}}, []string{"grid", "grid", "exception"}},
		{"another rule", []dashboards.Exception{{Rule: "uid", Reason: "so"}}, []string{"grid", "grid", "exception"}},
		{"no reason", []dashboards.Exception{{Rule: "grid"}}, []string{"exception"}},
	} {
		var got []string
		for _, f := range dashboards.Except(findings, c.exceptions) {
			got = append(got, f.Rule)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: left %v, want %v", c.name, got, c.want)
		}
	}
}
