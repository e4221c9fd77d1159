package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func newPanel(kind, title, description, unit string) *panel {
	ds := prometheus()
	return &panel{
		Type: kind, Title: title, Description: description, Datasource: &ds,
		FieldConfig: &fieldConfig{Defaults: field{Unit: unit, NoValue: "no data"}, Overrides: []override{}},
	}
}

// longestGap is the longest time without values, in milliseconds, across which a graph
// draws its line: one scrape of each 15 s that failed leaves 30 s. Scrapes that are a minute
// apart need none of it: the step of a graph is at least the scrape interval of the data
// source.
const longestGap = 31_000

// graph returns a panel that shows values over time, from zero on.
func graph(title, description, unit string) *panel {
	p, zero := newPanel("timeseries", title, description, unit), 0.0
	p.FieldConfig.Defaults.Min = &zero
	p.FieldConfig.Defaults.Color = &color{Mode: "palette-classic"}
	p.FieldConfig.Defaults.Custom = map[string]any{"drawStyle": "line", "lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "spanNulls": longestGap, "stacking": map[string]any{"mode": "none", "group": "A"}}
	if least := map[string]float64{unitRatio: 1, unitNumber: 1, unitCount: 1, unitRate: 1, unitRequest: 1, unitSeconds: 0.01, unitBytes: 1 << 10, unitByteRate: 1 << 10}[unit]; least > 0 {
		p.upTo(least)
	}
	p.Options = map[string]any{
		"legend":  map[string]any{"showLegend": true, "displayMode": "list", "placement": "bottom", "calcs": []string{}},
		"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
	}
	return p
}

// upTo makes the axis reach at least a value, so that zeros are at its lower end.
func (p *panel) upTo(value float64) *panel {
	p.FieldConfig.Defaults.Custom["axisSoftMax"] = value
	return p
}

// stat returns a panel that shows the last value of each series, large.
func stat(title, description, unit string) *panel {
	p := newPanel("stat", title, description, unit)
	p.FieldConfig.Defaults.Color = &color{Mode: "thresholds"}
	p.FieldConfig.Defaults.Thresholds = &thresholds{Mode: "absolute", Steps: []step{{Color: quiet}}}
	p.Options = map[string]any{
		"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
		"orientation":   "auto", "textMode": "auto", "colorMode": "value", "graphMode": "none", "justifyMode": "auto", "wideLayout": true, "showPercentChange": false,
	}
	return p
}

// table returns a panel that shows the last values as lines, one label a column.
func table(title, description, unit string) *panel {
	p := newPanel("table", title, description, unit)
	p.FieldConfig.Defaults.Color = &color{Mode: "thresholds"}
	p.FieldConfig.Defaults.Thresholds = &thresholds{Mode: "absolute", Steps: []step{{Color: "text"}}}
	p.FieldConfig.Defaults.Custom = map[string]any{"align": "auto", "cellOptions": map[string]any{"type": "auto"}, "minWidth": 50}
	p.Options = map[string]any{"showHeader": true, "cellHeight": "sm"}
	return p
}

// timeline returns a panel that shows states over time, a line a series.
func timeline(title, description string) *panel {
	p := newPanel("state-timeline", title, description, unitPlain)
	// The mappings have the colors. With the mode thresholds, merged values would ignore them.
	p.FieldConfig.Defaults.Color = &color{Mode: "fixed", FixedColor: "text"}
	p.FieldConfig.Defaults.Custom = map[string]any{"lineWidth": 0, "fillOpacity": 70}
	p.Options = map[string]any{
		"mergeValues": true, "showValue": "never", "alignValue": "left", "rowHeight": 0.9,
		"legend":  map[string]any{"showLegend": false, "displayMode": "list", "placement": "bottom", "calcs": []string{}},
		"tooltip": map[string]any{"mode": "single", "sort": "none"},
	}
	return p
}

// heatmap returns a panel that shows a histogram over time; unit is that of its buckets.
func heatmap(title, description, unit string) *panel {
	p := newPanel("heatmap", title, description, unitRate)
	p.FieldConfig.Defaults.Custom = map[string]any{"scaleDistribution": map[string]any{"type": "linear"}}
	p.Options = map[string]any{
		"calculate": false, "cellGap": 1, "showValue": "never",
		"color":        map[string]any{"mode": "scheme", "scheme": "Blues", "steps": 64, "reverse": false, "exponent": 0.5, "fill": "dark-blue"},
		"yAxis":        map[string]any{"unit": unit, "axisPlacement": "left"},
		"rowsFrame":    map[string]any{"layout": "auto"},
		"filterValues": map[string]any{"le": 1e-9},
		"legend":       map[string]any{"show": true},
		"tooltip":      map[string]any{"mode": "single", "yHistogram": false, "showColorScale": false},
		"exemplars":    map[string]any{"color": "rgba(255,0,255,0.7)"},
	}
	return p
}

// heat adds the buckets of a heatmap.
func (p *panel) heat(expr string) *panel { return p.ask(expr, "{{le}}", false, "heatmap") }

// query adds what to show over time.
func (p *panel) query(expr, legend string) *panel { return p.ask(expr, legend, false, "") }

// now adds what to show as it is at the end of the time range.
func (p *panel) now(expr, legend string) *panel {
	format := ""
	if p.Type == "table" {
		format = "table"
	}
	return p.ask(expr, legend, true, format)
}

// byInstance matches queries of tables with a column of instances.
var byInstance = regexp.MustCompile(`\b(by|on) \([^)]*instance|^up\b`)

func (p *panel) ask(expr, legend string, instant bool, format string) *panel {
	t := target{
		RefID: string(rune('A' + len(p.Targets))), Datasource: prometheus(), Expr: expr, LegendFormat: legend,
		EditorMode: "code", Range: !instant, Instant: instant, Format: format,
	}
	if p.Type == "table" && len(p.Targets) == 0 && byInstance.MatchString(expr) {
		p.sized("instance", 120)
	}
	if u := p.FieldConfig.Defaults.Unit; (u == unitNumber || u == unitCount) && strings.Contains(expr, "increase(") { // it extrapolates: 4.01 events
		p.FieldConfig.Defaults.Decimals = new(int)
	}
	p.Targets = append(p.Targets, t)
	return p
}

// limits draws where a resource is called worth a warning, and critical: the
// lines that the shipped rules compare with. Those of apps have values of their own,
// of which the highest is drawn.
func (p *panel) limits(resource string) *panel {
	matcher := fmt.Sprintf("resource=%q", resource)
	drawn := on("resp_threshold", matcher)
	switch {
	case !p.onlyOfApps():
	case strings.Contains(p.Targets[0].Expr, `app=~"$app"`):
		drawn = of("resp_app_threshold", matcher)
	default:
		drawn = on("resp_app_threshold", matcher)
	}
	if resource == "response_time" || resource == "query_time" { // what is normal is far below
		p.decades()
	}
	p.query(fmt.Sprintf("max by (severity) (%s)", drawn), "{{severity}} from")
	p.dashed("warning from", "dark-orange")
	return p.dashed("critical from", "red")
}

// where draws the limits only where an expression has a value: alone they are no graph, and
// take the place of the text for no value.
func (p *panel) where(expr string) *panel {
	p.Targets[len(p.Targets)-1].Expr += " and on () (" + expr + ")"
	return p
}

// onlyOfApps reports whether everything that the panel shows is of apps, and nothing of
// the host or a server.
func (p *panel) onlyOfApps() bool {
	return !slices.ContainsFunc(p.Targets, func(t target) bool {
		return slices.ContainsFunc([]string{"resp_host_", "resp_disk_", "resp_mysql_", "resp_redis_"}, func(prefix string) bool { return strings.Contains(t.Expr, prefix) })
	})
}

// dashed draws a series as a limit: a dashed line of its own color.
func (p *panel) dashed(name, paint string) *panel {
	return p.override(name,
		property{"color", color{Mode: "fixed", FixedColor: paint}},
		property{"custom.lineStyle", map[string]any{"fill": "dash", "dash": []int{8, 8}}},
		property{"custom.fillOpacity", 0},
		property{"custom.stacking", map[string]any{"mode": "none", "group": "limit"}},
		property{"custom.hideFrom", map[string]bool{"legend": true, "tooltip": false, "viz": false}},
	)
}

// dashedLike draws the series whose name matches a regular expression as dashed lines.
func (p *panel) dashedLike(pattern, paint string) *panel {
	p.dashed("/"+pattern+"/", paint)
	p.FieldConfig.Overrides[len(p.FieldConfig.Overrides)-1].Matcher.ID = "byRegexp"
	return p
}

// painted sets the color of a series, by its meaning.
func (p *panel) painted(name, paint string) *panel {
	return p.override(name, property{"color", color{Mode: "fixed", FixedColor: paint}})
}

// shaded sets shades of one color for the series whose name matches a regular expression.
func (p *panel) shaded(pattern, paint string) *panel {
	p.override("/"+pattern+"/", property{"color", color{Mode: "shades", FixedColor: paint}})
	p.FieldConfig.Overrides[len(p.FieldConfig.Overrides)-1].Matcher.ID = "byRegexp"
	return p
}

func (p *panel) override(name string, properties ...property) *panel {
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, override{Matcher: matcher{ID: "byName", Options: name}, Properties: properties})
	return p
}

// stacked adds the series up: parts of a whole.
func (p *panel) stacked() *panel {
	p.FieldConfig.Defaults.Custom["stacking"] = map[string]any{"mode": "normal", "group": "A"}
	p.FieldConfig.Defaults.Custom["fillOpacity"] = 40
	return p
}

// decades makes the axis one of powers of ten: for values far below their
// limit. It has no zero.
func (p *panel) decades() *panel {
	p.FieldConfig.Defaults.Min = nil
	delete(p.FieldConfig.Defaults.Custom, "axisSoftMax")
	p.FieldConfig.Defaults.Custom["scaleDistribution"] = map[string]any{"type": "log", "log": 10}
	return p
}

// atMost ends the axis at a value, a ratio's at 1.
func (p *panel) atMost(value float64) *panel {
	p.FieldConfig.Defaults.Max = &value
	return p
}

// none sets the text that is shown if there is no value.
func (p *panel) none(text string) *panel {
	p.FieldConfig.Defaults.NoValue = text
	return p
}

// columns makes panels that many columns wide.
func (p *panel) columns(n int) *panel {
	p.GridPos.W = n
	return p
}

// to adds a link to the dashboard that has the details.
func (p *panel) to(uid, title string) *panel {
	p.Links = append(p.Links, panelLink{Title: title, URL: "/d/" + uid + "?${__url_time_range}&${__all_variables}"})
	return p
}

// leads makes the values of a panel lead to the dashboard that has the details: a link of
// the panel would take room from its title.
func (p *panel) leads(uid, title string) *panel {
	p.FieldConfig.Defaults.Links = append(p.FieldConfig.Defaults.Links, panelLink{Title: title, URL: "/d/" + uid + "?${__url_time_range}&${__all_variables}"})
	return p
}

// states sets the names of values: pairs of a text and a color, for 0, 1 and so on.
func (p *panel) states(pairs ...string) *panel {
	named := map[string]shown{}
	for i := 0; i+1 < len(pairs); i += 2 {
		named[strconv.Itoa(i/2)] = shown{Text: pairs[i], Color: p.state(pairs[i+1]), Index: i / 2}
	}
	p.FieldConfig.Defaults.Mappings = append(p.FieldConfig.Defaults.Mappings, mapping{Type: "value", Options: named})
	if p.Type == "stat" {
		p.Options.(map[string]any)["colorMode"] = "background_solid"
		p.FieldConfig.Defaults.Thresholds.Steps[0].Color = "transparent" // of the text for no value
	}
	return p
}

// health sets the names and colors of the values of resp_health_status.
func (p *panel) health() *panel {
	p.states("healthy", "green", "warning", "orange", "critical", "red")
	return p.notSeen()
}

// notSeen sets the name of -1, which seen returns for a group that is no longer reported.
func (p *panel) notSeen() *panel {
	p.FieldConfig.Defaults.Mappings[0].Options.(map[string]shown)["-1"] = shown{Text: "not seen", Color: p.state("purple"), Index: 9}
	return p
}

// named sets that a stat shows names beside its values.
func (p *panel) named() *panel {
	p.Options.(map[string]any)["textMode"] = "value_and_name"
	return p
}

// pages sets how many lines a timeline shows at once, 20 by default.
func (p *panel) pages(lines int) *panel {
	p.Options.(map[string]any)["perPage"] = lines
	return p
}

// listed makes the legend a table with these calculations.
func (p *panel) listed(calcs ...string) *panel {
	p.Options.(map[string]any)["legend"] = map[string]any{"showLegend": true, "displayMode": "table", "placement": "right", "calcs": calcs}
	return p
}

// rounded sets one decimal: 0.1 %, not 0.0821 %, beside a long name.
func (p *panel) rounded() *panel {
	one := 1
	p.FieldConfig.Defaults.Decimals = &one
	return p
}

// sized sets the width of a column of a table, in pixels. The others share the rest.
func (p *panel) sized(column string, width int) *panel {
	return p.override(column, property{"custom.width", width})
}

// measured sets the unit of a column of a table.
func (p *panel) measured(column, unit string) *panel {
	if unit == unitNumber {
		return p.override(column, property{"unit", unit}, property{"decimals", 0})
	}
	return p.override(column, property{"unit", unit})
}

// merged merges the lines of several queries that have the same labels into one, with a
// column "Value #A" and so on for each query.
func (p *panel) merged() *panel {
	p.Transformations = append(p.Transformations, transformation{ID: "merge", Options: map[string]any{}})
	return p
}

// arranged hides table columns, and renames others: pairs of the old and the new name.
func (p *panel) arranged(hidden string, renamed ...string) *panel {
	hide, names := map[string]bool{}, map[string]string{}
	for h := range strings.FieldsSeq(hidden) {
		hide[h] = true
	}
	for i := 0; i+1 < len(renamed); i += 2 {
		names[renamed[i]] = renamed[i+1]
	}
	p.Transformations = append(p.Transformations, transformation{ID: "organize", Options: map[string]any{"excludeByName": hide, "indexByName": map[string]int{}, "renameByName": names}})
	return p
}

// firing returns a table of firing alerts, critical ones first, with their age and their runbook.
func firing(selected string) *panel {
	const by, alert = "severity, alertname, app, instance", "severity, alertname, app"
	active := strings.TrimSuffix(selected, "}") + `, alertname=~"Resp.+", alertname!="RespWatchdog"}`
	age := "(time() - max by (" + by + ") (ALERTS_FOR_STATE" + active + ") and on (" + by + ") ALERTS" + strings.TrimSuffix(active, "}") + `, alertstate="firing"})`
	p := table("Firing alerts", "Alerts of the shipped rules that fire, critical ones first: on how many hosts, the host on which it has been active longest, and for how long. The name of an alert links to its runbook, which the exporter serves.", unitSeconds).
		now("topk by ("+alert+") (1, "+age+")", "").now("count by ("+alert+") ("+age+")", "").
		merged().arranged("Time", "alertname", "alert", "Value #A", "for", "Value #B", "hosts").measured("hosts", unitNumber).sized("hosts", 60).none("no alert fires")
	p.Options.(map[string]any)["sortBy"] = []map[string]any{{"displayName": "severity", "desc": false}}
	severities := map[string]shown{"critical": {Text: "critical", Color: asState("red")}, "warning": {Text: "warning", Color: asState("orange"), Index: 1}}
	p.override("severity", property{"mappings", []mapping{{Type: "value", Options: severities}}},
		property{"custom.cellOptions", map[string]string{"type": "color-background", "mode": "basic"}}, property{"custom.width", 84})
	p.override("alert", property{"links", []panelLink{{Title: "Runbook", URL: "http://${__data.fields.instance}/runbooks?alert=${__value.raw}", TargetBlank: true}}})
	p.override("app", property{"noValue", "–"}, property{"custom.width", 120})
	return p.override("for", property{"custom.width", 80})
}
