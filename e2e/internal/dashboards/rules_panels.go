package dashboards

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

// panelIDs checks that panel ids are unique: links and the address of a panel use them.
func panelIDs(l *linter) {
	for _, d := range l.all {
		seen := map[int]bool{}
		for _, p := range d.Panels {
			if p.ID < 1 || seen[p.ID] {
				l.report(d, p.Where(), "the id %d is there twice, or is none", p.ID)
			}
			seen[p.ID] = true
		}
	}
}

const columns = 24

// grid checks that no panel overlaps another or the edge. The panels of a collapsed row
// have their own grid.
func grid(l *linter) {
	for _, d := range l.all {
		for i, p := range d.Panels {
			g := p.GridPos
			if g.X < 0 || g.Y < 0 || g.W < 1 || g.H < 1 || g.X+g.W > columns {
				l.report(d, p.Where(), "is %d wide and %d high at %d, %d, beyond the grid", g.W, g.H, g.X, g.Y)
			}
			for _, other := range d.Panels[:i] {
				if p.Row == other.Row && g.overlaps(other.GridPos) {
					l.report(d, p.Where(), "lies on %s", other.Where())
				}
			}
		}
	}
}

// overlaps reports whether two panels overlap.
func (g Grid) overlaps(o Grid) bool {
	return g.X < o.X+o.W && o.X < g.X+g.W && g.Y < o.Y+o.H && o.Y < g.Y+g.H
}

// noValues checks that a panel has a text for "no value", because a missing series is not
// zero.
func noValues(l *linter) {
	for _, d := range l.all {
		for _, p := range d.Panels {
			if p.hasData() && p.FieldConfig.Defaults.NoValue == "" {
				l.report(d, p.Where(), "no text for no value")
			}
		}
	}
}

// targets checks that every panel has queries, each with its own name.
func targets(l *linter) {
	for _, d := range l.all {
		if !slices.ContainsFunc(d.Panels, Panel.hasData) {
			l.report(d, "", "shows nothing")
		}
	}
	for d, p := range l.panels() {
		if p.hasData() == (len(p.Targets) == 0) {
			l.report(d, p.Where(), "%d queries in a panel of type %s", len(p.Targets), p.Type)
		}
		seen := map[string]bool{}
		for _, t := range p.Targets {
			if t.RefID == "" || seen[t.RefID] || t.Expr == "" {
				l.report(d, p.Where(), "target %q has no refId of its own, or no expression", t.RefID)
			}
			if t.Hide {
				l.report(d, p.Where(), "target %s is hidden", t.RefID)
			}
			seen[t.RefID] = true
		}
	}
}

// valid returns the ids of Grafana's units that suit metrics in base units: see
// grafana/packages/grafana-data/src/valueFormats/categories.ts.
func valid() []string {
	return []string{
		"none", "short", "sishort", "locale", "string", "bool", "bool_yes_no", "bool_on_off", "percentunit",
		"bytes", "decbytes", "Bps", "binBps", "s", "dtdurations", "ops", "reqps", "cps", "rps", "wps", "iops", "eps", "rowsps",
		"dateTimeFromNow", "dateTimeAsIso", "dateTimeAsIsoNoDateIfToday", "dateTimeAsLocal", "dateTimeAsLocalNoDateIfToday", "dateTimeAsSystem",
	}
}

// units reports panels with a unit that Grafana does not have.
func units(l *linter) {
	for d, p := range l.panels() {
		if !p.hasData() {
			continue
		}
		all := []string{p.FieldConfig.Defaults.Unit}
		for _, o := range p.FieldConfig.Overrides {
			if u, ok := o.unit(); ok {
				all = append(all, u)
			}
		}
		for _, u := range all {
			if !slices.Contains(valid(), u) {
				l.report(d, p.Where(), "the unit %q is none that is known", u)
			}
		}
	}
}

// unit returns the unit that the override sets; false if it sets none.
func (o Override) unit() (string, bool) {
	for _, p := range o.Properties {
		var u string
		if p.ID == "unit" && json.Unmarshal(p.Value, &u) == nil {
			return u, true
		}
	}
	return "", false
}

// unitOf returns the unit in which a target's values are shown: by the last
// override that names its frame, its series, or its column of a table.
func (p Panel) unitOf(refID string) string {
	names := p.names(refID)
	out := p.FieldConfig.Defaults.Unit
	for _, o := range p.FieldConfig.Overrides {
		u, ok := o.unit()
		name, text := o.Matcher.Options.(string)
		if !ok || !text {
			continue
		}
		switch o.Matcher.ID {
		case "byFrameRefID":
			if name == refID {
				out = u
			}
		case "byName":
			if slices.Contains(names, name) {
				out = u
			}
		case "byRegexp", "byType", "byNames":
			return "" // which it is, only Grafana knows
		}
	}
	return out
}

// names returns the possible names of a target's values: its legend if that is fixed, or
// the value's column, even if renamed.
func (p Panel) names(refID string) []string {
	column := "Value"
	if len(p.Targets) > 1 {
		column += " #" + refID
	}
	out := []string{column}
	for _, t := range p.Targets {
		if t.RefID == refID {
			out = append(out, t.LegendFormat)
		}
	}
	for _, t := range p.Transformations {
		var organize struct{ RenameByName map[string]string }
		if json.Unmarshal(t.Options, &organize) != nil {
			continue
		}
		for _, c := range slices.Clone(out) {
			if renamed := organize.RenameByName[c]; renamed != "" {
				out = append(out, renamed)
			}
		}
	}
	return out
}

// unitsAgree checks the unit against the name of the metric and the functions applied to
// it.
func unitsAgree(l *linter) {
	l.each(func(q parsed) {
		allowed := l.known.unit(q.expr).allowed()
		if !suits(q.unit, allowed) && slices.Contains(valid(), q.unit) {
			l.of(q, "is shown in %s, expected %s", q.unit, strings.Join(allowed, " or "))
		}
	})
}

// suits reports whether a unit is allowed; an empty one is, and any is if there is no list.
func suits(unit string, allowed []string) bool {
	return unit == "" || allowed == nil || slices.Contains(allowed, unit)
}

// oneUnit checks that a metric has the same unit in every panel. A rate, a total or the
// number of its series is another value.
func oneUnit(l *linter) {
	type shown struct {
		metrics string
		as      unit
	}
	first := map[shown]parsed{}
	l.each(func(q parsed) {
		if q.panel == nil || q.unit == "" || counts(q.expr) || !suits(q.unit, l.known.unit(q.expr).allowed()) {
			return // the other rule reports it
		}
		key := shown{strings.Join(q.names(), " "), l.known.unit(q.expr)}
		before, ok := first[key]
		if !ok {
			first[key] = q
			return
		}
		if before.unit != q.unit && key.as.known && key.metrics != "" {
			l.of(q, "%s is shown in %s, but in %s in %s, %s", key.metrics, q.unit, before.unit, before.Dashboard, before.Where)
		}
	})
}

// counts reports whether an expression is a number of series.
func counts(e parser.Expr) bool {
	a, ok := e.(*parser.AggregateExpr)
	return ok && a.Op == parser.COUNT
}

// names returns the metrics of the query, without the limits.
func (q parsed) names() []string {
	var out []string
	for _, s := range q.selectors() {
		if s.Name != "" && !isThreshold(s.Name) {
			out = append(out, s.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// isThreshold reports whether a metric is a limit.
func isThreshold(name string) bool { return name == "resp_threshold" || name == "resp_app_threshold" }

// thresholdOf returns the metric of the limits of a metric, in a panel that shows some
// of the host or of a server, or of apps only.
func thresholdOf(ofApps bool) string {
	if ofApps {
		return "resp_app_threshold"
	}
	return "resp_threshold"
}

// isOfApp reports whether a metric is of an app.
func isOfApp(name string) bool {
	return !slices.ContainsFunc([]string{"resp_host_", "resp_disk_", "resp_mysql_", "resp_redis_", "instance_mysql:", "instance_redis:"}, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// limited returns which metrics, shown in a unit, are compared with which resource of
// resp_threshold and resp_app_threshold.
func limited() []struct{ metric, unit, resource string } {
	return []struct{ metric, unit, resource string }{
		{"resp_host_memory_usage_ratio", "percentunit", "memory"},
		{"resp_app_memory_usage_ratio", "percentunit", "memory"},
		{"resp_redis_maxmemory_bytes", "percentunit", "memory"},
		{"resp_host_cpu_usage_ratio", "percentunit", "cpu"},
		{"resp_app_cpu_usage_ratio", "percentunit", "cpu"},
		{"resp_disk_usage_ratio", "percentunit", "disk"},
		{"resp_pool_utilization_ratio", "percentunit", "connection_pool"},
		{"resp_listener_queue_length", "short", "request_queue"},
		{"resp_http_request_duration_seconds_sum", "s", "response_time"},
		{"instance_app:resp_http_request_duration_seconds:mean5m", "s", "response_time"},
		{"instance_app:resp_http_errors:rate5m", "percentunit", "error_rate"},
		{"instance_app:resp_http_errors:ratio_rate5m", "percentunit", "error_rate"},
		{"resp_mysql_query_seconds_total", "s", "query_time"},
		{"resp_mysql_longest_query_seconds", "s", "query_time"},
		{"instance_mysql:resp_mysql_query_seconds:mean5m", "s", "query_time"},
		{"resp_redis_keyspace_hits_total", "percentunit", "cache_hit_rate"},
		{"instance_redis:resp_redis_keyspace_hits:ratio_rate5m", "percentunit", "cache_hit_rate"},
		{"resp_task_oldest_age_seconds", "s", "task_age"},
	}
}

// thresholdsDrawn checks that a graph of a value with a limit shows the limit: that of
// apps if it shows nothing else.
func thresholdsDrawn(l *linter) {
	type limit struct {
		panel            *Panel
		metric, resource string
	}
	drawn, mixed := map[limit]bool{}, map[*Panel]bool{}
	l.each(func(q parsed) {
		for _, x := range q.limits() {
			drawn[limit{q.panel, x.metric, x.resource}] = true
		}
		for _, name := range q.names() {
			mixed[q.panel] = mixed[q.panel] || !isOfApp(name)
		}
	})
	l.each(func(q parsed) {
		if q.panel == nil || q.panel.Type != "timeseries" {
			return
		}
		for _, s := range q.selectors() {
			metric := thresholdOf(!mixed[q.panel])
			if resource := resourceOf(s, q.unit); resource != "" && !drawn[limit{q.panel, metric, resource}] {
				l.of(q, "shows %s without %s{resource=%q}", s.Name, metric, resource)
			}
		}
	})
}

// shownLimit is a limit that a query shows.
type shownLimit struct{ metric, resource string }

// limits returns the limits that the query shows.
func (q parsed) limits() []shownLimit {
	var out []shownLimit
	for _, s := range q.selectors() {
		for _, m := range s.LabelMatchers {
			if isThreshold(s.Name) && m.Name == "resource" {
				out = append(out, shownLimit{s.Name, m.Value})
			}
		}
	}
	return out
}

// staticThresholds checks for limits that are written into a panel, which alerts do not
// use. Colors of states are not limits.
func staticThresholds(l *linter) {
	for d, p := range l.panels() {
		steps, states := 0, slices.ContainsFunc(p.FieldConfig.Defaults.Mappings, func(m Mapping) bool { return m.Type == "value" })
		if t := p.FieldConfig.Defaults.Thresholds; t != nil {
			steps = len(t.Steps)
		}
		for _, property := range p.overridden() {
			var t Thresholds
			if property.ID == "thresholds" && json.Unmarshal(property.Value, &t) == nil {
				steps = max(steps, len(t.Steps))
			}
			states = states || property.ID == "mappings"
		}
		if steps > 1 && !states {
			l.report(d, p.Where(), "has thresholds of its own; draw resp_threshold")
		}
	}
}
