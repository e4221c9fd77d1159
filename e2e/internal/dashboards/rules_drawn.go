package dashboards

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// The rules of this file are about what only shows once a panel is drawn.

// stateColors checks that a state timeline takes its colors from its mappings. With
// merged values and the color mode thresholds Grafana merges by threshold and ignores the
// mappings: all states have one color (grafana/grafana#71804).
func stateColors(l *linter) {
	for d, p := range l.panels() {
		if p.Type != "state-timeline" && p.Type != "status-history" {
			continue
		}
		if c := p.FieldConfig.Defaults.Color; c == nil || c.Mode != "fixed" {
			l.report(d, p.Where(), "the color mode is not fixed: the colors of the mappings are ignored")
		}
	}
}

// staleStats checks that a panel of one value per series queries the end of the time range.
// The last value of a range is shown for as long as the range lasts, also when nothing
// reports it any more.
func staleStats(l *linter) {
	for d, p := range l.panels() {
		if !slices.Contains([]string{"stat", "gauge", "bargauge", "table"}, p.Type) {
			continue
		}
		for _, t := range p.Targets {
			if !t.Instant || t.Range {
				l.report(d, p.Where(), "target %s is not instant: a value that ended stays for the whole range", t.RefID)
			}
		}
	}
}

// minIntervals checks that no panel and no query has a minimum step. Grafana takes it for
// the scrape interval, so that each rate becomes the mean of at least four of them. Slow
// scrapes are a setting of the data source, timeInterval.
func minIntervals(l *linter) {
	for d, p := range l.panels() {
		for _, t := range append([]Target{{Interval: p.Interval}}, p.Targets...) {
			if t.Interval != "" {
				l.report(d, p.Where(), "has a minimum step of %s; the data source has the scrape interval", t.Interval)
			}
		}
	}
}

// annotationPoints checks that annotations are points in time, by the value of a series,
// and that only critical alerts are drawn by default.
func annotationPoints(l *linter) {
	for d, a := range l.annotations() {
		if a.BuiltIn != 0 {
			continue
		}
		where := "annotation " + a.Name
		if !a.UseValueForTime {
			l.report(d, where, "does not use the value as the time: each sample becomes a part of a band")
		}
		if a.Enable && !strings.Contains(a.Definition(), `severity="critical"`) {
			l.report(d, where, "is drawn by default, and is not about critical alerts alone")
		}
	}
	l.each(func(q parsed) {
		if strings.HasPrefix(q.Where, "annotation ") && !l.known.unit(q.expr).milli {
			l.of(q, "the value is not a time in milliseconds")
		}
	})
}

// tableUnits checks that a unit of dates is one of a column: Grafana formats each text of
// a table with the panel's unit, and a text is no date.
func tableUnits(l *linter) {
	for d, p := range l.panels() {
		if u := p.FieldConfig.Defaults.Unit; p.Type == "table" && strings.HasPrefix(u, "date") {
			l.report(d, p.Where(), "the unit %s applies to the text columns, too; set it by an override", u)
		}
	}
}

// tableCells checks that a column of a label that may be empty has a text of its own for
// no value: else its cells show that of the panel.
func tableCells(l *linter) {
	l.each(func(q parsed) {
		if q.panel == nil || q.panel.Type != "table" {
			return
		}
		left := l.known.labels(q.expr, func(string, ...any) {})
		for _, s := range q.selectors() {
			series, _ := l.known.find(s.Name)
			for _, label := range []string{"app", "mysql", "redis"} {
				if series.empty[label] && left.has(label) && left != nil && !q.panel.overrides(label, "noValue") {
					l.of(q, "the column %s may be empty, and would show the text %q", label, q.panel.FieldConfig.Defaults.NoValue)
				}
			}
		}
	})
}

// overrides reports whether an override by name changes a property of a field.
func (p Panel) overrides(name, property string) bool {
	return slices.ContainsFunc(p.FieldConfig.Overrides, func(o Override) bool {
		return o.Matcher.ID == "byName" && o.Matcher.Options == name && o.sets(property)
	})
}

// sets reports whether the override sets a property.
func (o Override) sets(property string) bool {
	return slices.ContainsFunc(o.Properties, func(x Property) bool { return x.ID == property })
}

// wholeCounts checks that numbers of events are shown without a fraction: increase
// extrapolates.
func wholeCounts(l *linter) {
	l.each(func(q parsed) {
		if q.panel == nil || q.unit != "short" {
			return
		}
		decimals := q.panel.FieldConfig.Defaults.Decimals
		whole := decimals != nil && *decimals == 0 || slices.ContainsFunc(q.panel.FieldConfig.Overrides, func(o Override) bool { return o.sets("decimals") })
		q.selected(func(s *parser.VectorSelector, path []parser.Node) {
			if function, _ := around(path); function == "increase" && !whole {
				l.of(q, "increase of %s is shown with a fraction; set decimals to 0", s.Name)
			}
		})
	})
}

// axes checks that an axis fits its values: one of ratios has an end, so that zeros do
// not make it one up to 10000 %, and one of durations with limits of seconds is
// logarithmic, so that milliseconds are seen.
func axes(l *linter) {
	for d, p := range l.panels() {
		f := p.FieldConfig.Defaults
		if p.Type == "timeseries" && f.Unit == "percentunit" && f.Max == nil && f.Custom["axisSoftMax"] == nil {
			l.report(d, p.Where(), "the axis of ratios has no end: set max or axisSoftMax")
		}
	}
	l.each(func(q parsed) {
		if q.panel == nil || q.panel.Type != "timeseries" {
			return
		}
		scale, _ := q.panel.FieldConfig.Defaults.Custom["scaleDistribution"].(map[string]any)
		for _, x := range q.limits() {
			if (x.resource == "response_time" || x.resource == "query_time") && scale["type"] != "log" {
				l.of(q, "the limit of %s needs a logarithmic axis: what is normal is far below it", x.resource)
			}
		}
	})
}

// limitLegends checks that limits are not in the legend: there they take the place of
// what is measured.
func limitLegends(l *linter) {
	l.each(func(q parsed) {
		if q.panel == nil || q.panel.Type != "timeseries" || len(q.limits()) == 0 {
			return
		}
		if !slices.ContainsFunc(q.panel.overridden(), func(x Property) bool {
			var hidden struct{ Legend bool }
			return x.ID == "custom.hideFrom" && json.Unmarshal(x.Value, &hidden) == nil && hidden.Legend
		}) {
			l.of(q, "the limits are in the legend; set custom.hideFrom")
		}
	})
}

// hiddenSeries checks that a variable does not hide the series that do not have its label:
// those of a host or a server among those of apps.
func hiddenSeries(l *linter) {
	l.each(func(q parsed) {
		for _, s := range q.selectors() {
			series, _ := l.known.find(s.Name)
			byComponent := slices.ContainsFunc(s.LabelMatchers, func(m *labels.Matcher) bool {
				return m.Name == "component" && (m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp)
			})
			for _, v := range q.choices() {
				if series.empty[v] && chosen(s, v) && !byComponent {
					l.of(q, "%s=~\"$%s\" hides the series of %s without %s; expected \"$%s|\"", v, v, s.Name, v, v)
				}
			}
		}
	})
}

// figureColors checks that each key figure has a color: of its state, or of its query, which
// is that of a limit or of no limit.
func figureColors(l *linter) {
	for d, p := range l.panels() {
		if p.Type != "stat" || slices.ContainsFunc(p.FieldConfig.Defaults.Mappings, func(m Mapping) bool { return m.Type == "value" }) {
			continue
		}
		for _, t := range p.Targets {
			if !slices.ContainsFunc(p.FieldConfig.Overrides, func(o Override) bool {
				return o.sets("color") && (o.Matcher.Options == t.RefID || o.Matcher.Options == t.LegendFormat)
			}) {
				l.report(d, p.Where(), "the figure of target %s has no color", t.RefID)
			}
		}
	}
}

// longestGap is the longest time without values, in milliseconds, across which a graph may
// draw its line.
const longestGap = 60_000

// gaps checks that a graph does not hide that an exporter was dead for a while.
func gaps(l *linter) {
	for d, p := range l.panels() {
		across, set := p.FieldConfig.Defaults.Custom["spanNulls"]
		if ms, number := across.(float64); p.Type == "timeseries" && set && across != false && (!number || ms > longestGap) {
			l.report(d, p.Where(), "draws its line across %v ms without values", across)
		}
	}
}
