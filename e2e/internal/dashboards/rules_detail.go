package dashboards

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// The rules of this file are about the way from what is wrong to its details.

// ofManyHosts reports whether a dashboard begins with all instances.
func ofManyHosts(uid string) bool { return uid == "resp-overview" || uid == "resp-fleet" }

// beginnings checks that the overview and the fleet begin with all instances, and that the
// others begin with one: Grafana takes the first value of a variable that does not offer
// All and has no value. A link with all variables would bring All along.
func beginnings(l *linter) {
	for d, v := range l.variables() {
		if v.Name != "instance" {
			continue
		}
		switch {
		case ofManyHosts(d.UID) && !v.IncludeAll:
			l.report(d, "variable instance", "does not begin with All")
		case !ofManyHosts(d.UID) && (v.IncludeAll || v.Current.Value != nil):
			l.report(d, "variable instance", "offers All, or begins with a value of its own: it must begin with the first instance")
		}
	}
	for d, p := range l.panels() {
		for _, link := range p.allLinks() {
			if uid, ok := linked(link.URL); ok && ofManyHosts(d.UID) && !ofManyHosts(uid) && strings.Contains(link.URL, "${__all_variables}") {
				l.report(d, p.Where(), "the link to %s has All as its instance", uid)
			}
		}
	}
}

// dataLinks checks that series and lines of tables about an app, a worker or an instance
// link to what has the details: a dashboard, or the page of the exporter.
func dataLinks(l *linter) {
	seriesLinks(l)
	l.each(func(q parsed) {
		if q.panel == nil || q.panel.Type != "table" {
			return
		}
		left := l.known.labels(q.expr, func(string, ...any) {})
		for _, label := range []string{"app", "worker", "instance"} {
			if left != nil && left[label] && !q.panel.overrides(label, "links") && !q.panel.excludes(label) {
				l.of(q, "the column %s has no link", label)
			}
		}
	})
}

// seriesLinks checks the links of series.
func seriesLinks(l *linter) {
	for d, p := range l.panels() {
		for _, label := range []string{"app", "worker", "instance"} {
			if p.Type != "table" && p.hasLegend(label) && !slices.ContainsFunc(p.FieldConfig.Defaults.Links, func(x Link) bool { return leads(x, label) }) {
				l.report(d, p.Where(), "the series are by %s and have no link about it", label)
			}
		}
	}
}

// leads reports whether a link of a series is about the value of a label: an app or an
// instance by its value, a worker by its dashboard.
func leads(x Link, label string) bool {
	if label == "worker" {
		return strings.HasPrefix(x.URL, "/d/resp-workers?")
	}
	return strings.Contains(x.URL, "${__field.labels."+label+"}")
}

// hasLegend reports whether the legend of a query of series names a label.
func (p Panel) hasLegend(label string) bool {
	return slices.Contains([]string{"timeseries", "state-timeline", "stat"}, p.Type) &&
		slices.ContainsFunc(p.Targets, func(t Target) bool { return strings.Contains(t.LegendFormat, "{{"+label+"}}") })
}

// excludes reports whether a table does not show a column.
func (p Panel) excludes(name string) bool {
	return slices.ContainsFunc(p.Transformations, func(t Transformation) bool {
		var organize struct{ ExcludeByName map[string]bool }
		return json.Unmarshal(t.Options, &organize) == nil && organize.ExcludeByName[name]
	})
}

// fewSeries matches a query of at most nine series.
var fewSeries = regexp.MustCompile(`^(topk|bottomk)\([1-9],`)

// legendTables checks that a graph that can have many series, by a label with many values,
// has a table as its legend, with the last and the highest value.
func legendTables(l *linter) {
	for d, p := range l.panels() {
		if p.Type != "timeseries" {
			continue
		}
		many := slices.ContainsFunc(p.Targets, func(t Target) bool {
			return !fewSeries.MatchString(t.Expr) && slices.ContainsFunc([]string{"db", "listener", "mountpoint", "pool", "queue", "route", "view", "worker"}, func(label string) bool {
				return strings.Contains(t.LegendFormat, "{{"+label+"}}")
			})
		})
		legend, _ := p.Options["legend"].(map[string]any)
		calcs, _ := legend["calcs"].([]any)
		if many && (legend["displayMode"] != "table" || !slices.Contains(calcs, any("lastNotNull")) || !slices.Contains(calcs, any("max"))) {
			l.report(d, p.Where(), "can have many series: the legend must be a table with the last and the highest value")
		}
	}
}

// dayBefore checks that the first graph of a dashboard that shows all requests per second
// also shows those of the day before.
func dayBefore(l *linter) {
	type graph struct {
		q       parsed
		compare bool
	}
	first := map[string]*graph{}
	l.each(func(q parsed) {
		if q.panel == nil || q.panel.Type != "timeseries" || q.unit != "reqps" {
			return
		}
		of := slices.DeleteFunc(slices.Clone(q.selectors()), func(s *parser.VectorSelector) bool { return !ofAllRequests(s) })
		if len(of) == 0 {
			return
		}
		if first[q.Dashboard] == nil {
			first[q.Dashboard] = &graph{q: q}
		}
		if g := first[q.Dashboard]; g.q.Where == q.Where {
			g.compare = g.compare || slices.ContainsFunc(of, func(s *parser.VectorSelector) bool { return s.OriginalOffset == 24*time.Hour })
		}
	})
	for _, g := range first {
		if !g.compare {
			l.of(g.q, "shows the requests without those of the day before (offset 1d)")
		}
	}
}

// ofAllRequests reports whether a selector is of the requests of any route and status.
func ofAllRequests(s *parser.VectorSelector) bool {
	return s.Name == "resp_http_requests_total" &&
		!slices.ContainsFunc(s.LabelMatchers, func(m *labels.Matcher) bool { return m.Name == "route" || m.Name == "code" })
}

// startMarks checks that each dashboard has the starts of an app, and the replacement of its
// workers, as annotations: restarts and deployments.
func startMarks(l *linter) {
	for _, d := range l.all {
		for _, metric := range []string{"resp_app_start_time_seconds", "resp_worker_start_time_seconds"} {
			if !slices.ContainsFunc(d.Annotations, func(a Annotation) bool { return strings.Contains(a.Definition(), metric) }) {
				l.report(d, "", "no annotation is made of %s", metric)
			}
		}
	}
}

// maxOpen is the height of two screens of 1080 lines, in rows of the grid.
const maxOpen = 56

// openHeights checks that what is not in collapsed rows is at most two screens high.
func openHeights(l *linter) {
	for _, d := range l.all {
		for _, p := range d.Panels {
			if end := p.GridPos.Y + p.GridPos.H; p.Row == 0 && p.Type != "row" && end > maxOpen {
				l.report(d, p.Where(), "ends %d rows below the top, beyond two screens: collapse a row", end)
				break
			}
		}
	}
}
