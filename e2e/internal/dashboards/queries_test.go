package dashboards_test

import (
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/dashboards"
)

const small = `{
  "uid": "small", "title": "Small",
  "templating": {"list": [
    {"name": "job", "type": "query", "query": {"query": "label_values(resp_up, job)"}, "multi": true, "includeAll": true},
    {"name": "instance", "type": "query", "query": "label_values(resp_up{job=~\"$job\"}, instance)", "multi": true, "includeAll": true, "allValue": ".*"},
    {"name": "top", "type": "custom", "query": "few : 5,many : 20"}
  ]},
  "annotations": {"list": [{"name": "own", "builtIn": 1}, {"name": "Alerts", "expr": "ALERTS"}, {"name": "Restarts", "target": {"expr": "up"}}]},
  "panels": [
    {"id": 1, "type": "timeseries", "title": "A", "interval": "1m", "targets": [{"refId": "A", "expr": "a"}, {"refId": "B", "expr": "b", "instant": true}]},
    {"id": 2, "type": "row", "collapsed": true, "panels": [{"id": 3, "type": "stat", "title": "C", "targets": [{"refId": "A", "expr": "c", "interval": "2m"}]}]}
  ]
}`

func parse(t *testing.T, text string) dashboards.Dashboard {
	t.Helper()
	d, err := dashboards.Parse("small.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestQueries(t *testing.T) {
	t.Parallel()
	d := parse(t, small)
	var got []string
	for _, q := range d.Queries() {
		got = append(got, strings.Join([]string{q.Dashboard, q.Where, q.RefID, q.Expr, q.MinInterval.String()}, "|"))
	}
	want := []string{
		"small|panel 1 A|A|a|1m0s", "small|panel 1 A|B|b|1m0s", "small|panel 3 C|A|c|2m0s",
		"small|variable job||label_values(resp_up, job)|0s", `small|variable instance||label_values(resp_up{job=~"$job"}, instance)|0s`,
		"small|annotation Alerts||ALERTS|1m0s", "small|annotation Restarts||up|1m0s",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if d.Panels[2].Row != 2 {
		t.Errorf("row of the inner panel is %d", d.Panels[2].Row)
	}
}

func TestFill(t *testing.T) {
	t.Parallel()
	one := dashboards.Values{Job: "resp", Instance: "127.0.0.1:1", App: `a"b`, Range: time.Hour, Step: 15 * time.Second}
	slow := one
	slow.Scrape = time.Minute
	fine := one
	fine.Extra = map[string]string{"other": "x"}
	for _, c := range []struct {
		in, want string
		values   dashboards.Values
	}{
		{`[$__rate_interval] [${__rate_interval}] [[__rate_interval]]`, `[75s] [75s] 75s`, one},
		{`[$__rate_interval] [$__interval]`, `[240s] [60s]`, slow},
		{`[$__range] ${__range_s} $__interval_ms`, `[3600s] 3600 60000`, one},
		{`{job=~"$job", instance=~"$instance"}`, `{job=~"resp", instance=~"127\\.0\\.0\\.1:1"}`, one},
		{`{instance=~"${instance:regex}|[[instance:raw]]"}`, `{instance=~"127\.0\.0\.1:1|127.0.0.1:1"}`, one},
		{`{app="$app"}`, `{app="a\"b"}`, one},
		{`{job=~"$job", instance=~"${instance}"} $top`, `{job=~".+", instance=~".*"} 5`, dashboards.Values{}},
		{`$other $none`, `x $none`, fine},
	} {
		d := parse(t, small)
		q := d.Queries()[0]
		q.Expr = c.in
		if got := q.Fill(c.values); got != c.want {
			t.Errorf("%s: got %s, want %s", c.in, got, c.want)
		}
	}
	q := parse(t, small).Queries()[2] // its own step of 2m is what Grafana takes for the scrape interval
	q.Expr = "$__rate_interval"
	if got := q.Fill(one); got != "480s" {
		t.Errorf("with a step of its own: got %s, want 480s", got)
	}
}

func TestLabelValues(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][2]string{
		`label_values(resp_up{job=~"$job", component=~"app:.+"}, instance)`: {`resp_up{job=~"$job", component=~"app:.+"}`, "instance"},
		`label_values(job)`:                  {"", "job"},
		" label_values(\n\tresp_up , app ) ": {"resp_up", "app"},
	} {
		selector, label, ok := dashboards.LabelValues(in)
		if !ok || selector != want[0] || label != want[1] {
			t.Errorf("%s: got %q %q %t", in, selector, label, ok)
		}
	}
	for _, in := range []string{"", "query_result(up)", "label_values()", "label_values(up)x", "label_values(up, 1)"} {
		if _, _, ok := dashboards.LabelValues(in); ok {
			t.Errorf("%q: taken", in)
		}
	}
}

func TestParseIsStrict(t *testing.T) {
	t.Parallel()
	for _, text := range []string{``, `[]`, `{`, `{} {}`, `{"uid": "a", "uid": "b"}`, `{"panels": [{"id": 1, "id": 2}]}`, `{"panels": {}}`} {
		if _, err := dashboards.Parse("x.json", []byte(text)); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}
