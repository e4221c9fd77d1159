package main

import (
	"fmt"
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

// graph shows values over time, from zero on.
func graph(title, description, unit string) *panel {
	p, zero := newPanel("timeseries", title, description, unit), 0.0
	p.FieldConfig.Defaults.Min = &zero
	p.FieldConfig.Defaults.Color = &color{Mode: "palette-classic"}
	p.FieldConfig.Defaults.Custom = map[string]any{"drawStyle": "line", "lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "spanNulls": 180_000, "stacking": map[string]any{"mode": "none", "group": "A"}}
	p.Options = map[string]any{
		"legend":  map[string]any{"showLegend": true, "displayMode": "list", "placement": "bottom", "calcs": []string{}},
		"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
	}
	return p
}

// stat shows the last value of each series, large.
func stat(title, description, unit string) *panel {
	p := newPanel("stat", title, description, unit)
	p.FieldConfig.Defaults.Color = &color{Mode: "thresholds"}
	p.FieldConfig.Defaults.Thresholds = &thresholds{Mode: "absolute", Steps: []step{{Color: "text"}}}
	p.Options = map[string]any{
		"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
		"orientation":   "auto", "textMode": "auto", "colorMode": "value", "graphMode": "none", "justifyMode": "auto", "wideLayout": true, "showPercentChange": false,
	}
	return p
}

// table shows the last values as lines, one label a column.
func table(title, description, unit string) *panel {
	p := newPanel("table", title, description, unit)
	p.FieldConfig.Defaults.Color = &color{Mode: "thresholds"}
	p.FieldConfig.Defaults.Thresholds = &thresholds{Mode: "absolute", Steps: []step{{Color: "text"}}}
	p.FieldConfig.Defaults.Custom = map[string]any{"align": "auto", "cellOptions": map[string]any{"type": "auto"}, "filterable": true}
	p.Options = map[string]any{"showHeader": true, "cellHeight": "sm"}
	return p
}

// timeline shows states over time, a line a series.
func timeline(title, description string) *panel {
	p := newPanel("state-timeline", title, description, unitPlain)
	p.FieldConfig.Defaults.Color = &color{Mode: "thresholds"}
	p.FieldConfig.Defaults.Thresholds = &thresholds{Mode: "absolute", Steps: []step{{Color: "text"}}}
	p.FieldConfig.Defaults.Custom = map[string]any{"lineWidth": 0, "fillOpacity": 70}
	p.Options = map[string]any{
		"mergeValues": true, "showValue": "never", "alignValue": "left", "rowHeight": 0.9,
		"legend":  map[string]any{"showLegend": false, "displayMode": "list", "placement": "bottom", "calcs": []string{}},
		"tooltip": map[string]any{"mode": "single", "sort": "none"},
	}
	return p
}

// heatmap shows a histogram over time; unit is that of its buckets.
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

// query adds what to show over time. A query over a range of samples asks for
// one that holds several even at the slowest scrape.
func (p *panel) query(expr, legend string) *panel { return p.ask(expr, legend, false, "") }

// now adds what to show as it is at the end of the time range.
func (p *panel) now(expr, legend string) *panel {
	format := ""
	if p.Type == "table" {
		format = "table"
	}
	return p.ask(expr, legend, true, format)
}

func (p *panel) ask(expr, legend string, instant bool, format string) *panel {
	t := target{
		RefID: string(rune('A' + len(p.Targets))), Datasource: prometheus(), Expr: expr, LegendFormat: legend,
		EditorMode: "code", Range: !instant, Instant: instant, Format: format,
	}
	if strings.Contains(expr, "$__rate_interval") {
		t.Interval, p.Interval = slowest, slowest
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
	p.query(fmt.Sprintf("max by (severity) (%s)", drawn), "{{severity}} from")
	p.dashed("warning from", "orange")
	return p.dashed("critical from", "red")
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
	)
}

// dashedLike does that to all series whose name matches a regular expression.
func (p *panel) dashedLike(pattern, paint string) *panel {
	p.dashed("/"+pattern+"/", paint)
	p.FieldConfig.Overrides[len(p.FieldConfig.Overrides)-1].Matcher.ID = "byRegexp"
	return p
}

// painted sets the color of a series, by its meaning.
func (p *panel) painted(name, paint string) *panel {
	return p.override(name, property{"color", color{Mode: "fixed", FixedColor: paint}})
}

// shaded gives the series whose name matches a regular expression shades of one
// color: kinds of the same.
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
	p.FieldConfig.Defaults.Custom["scaleDistribution"] = map[string]any{"type": "log", "log": 10}
	return p
}

// atMost ends the axis at a value, a ratio's at 1.
func (p *panel) atMost(value float64) *panel {
	p.FieldConfig.Defaults.Max = &value
	return p
}

// none says what is meant when there is no value.
func (p *panel) none(text string) *panel {
	p.FieldConfig.Defaults.NoValue = text
	return p
}

// columns makes panels that many columns wide.
func (p *panel) columns(n int) *panel {
	p.GridPos.W = n
	return p
}

// to links a panel with the dashboard that has the details.
func (p *panel) to(uid, title string) *panel {
	p.Links = append(p.Links, panelLink{Title: title, URL: "/d/" + uid + "?${__url_time_range}&${__all_variables}"})
	return p
}

// states names values: pairs of a text and a color, for 0, 1 and so on.
func (p *panel) states(pairs ...string) *panel {
	named := map[string]shown{}
	for i := 0; i+1 < len(pairs); i += 2 {
		named[strconv.Itoa(i/2)] = shown{Text: pairs[i], Color: pairs[i+1], Index: i / 2}
	}
	p.FieldConfig.Defaults.Mappings = append(p.FieldConfig.Defaults.Mappings, mapping{Type: "value", Options: named})
	if p.Type == "stat" {
		p.Options.(map[string]any)["colorMode"] = "background"
	}
	return p
}

// health is the scale of resp_health_status.
func (p *panel) health() *panel {
	return p.states("healthy", "green", "warning", "orange", "critical", "red")
}

// named shows names beside the values of a stat.
func (p *panel) named() *panel {
	p.Options.(map[string]any)["textMode"] = "value_and_name"
	return p
}

// onlyNames shows the names of a stat's series in place of their values: what
// there is, is the answer.
func (p *panel) onlyNames() *panel {
	p.Options.(map[string]any)["textMode"] = "name"
	return p
}

// listed makes the legend a table with these calculations.
func (p *panel) listed(calcs ...string) *panel {
	p.Options.(map[string]any)["legend"] = map[string]any{"showLegend": true, "displayMode": "table", "placement": "right", "calcs": calcs}
	return p
}

// measured sets the unit of a column of a table.
func (p *panel) measured(column, unit string) *panel {
	return p.override(column, property{"unit", unit})
}

// merged puts the lines of several queries that have the same labels into one,
// with a column "Value #A" and so on for each query.
func (p *panel) merged() *panel {
	p.Transformations = append(p.Transformations, transformation{ID: "merge", Options: map[string]any{}})
	return p
}

// arranged hides columns of a table that say nothing, and renames others: pairs.
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
