package main

import (
	"fmt"
	"slices"
	"strings"
)

const (
	wide     = 24 // columns of Grafana's grid
	tag      = "resp-exporter"
	from     = "resp_exporter_build_info"
	anyValue = ".+"
)

// The units of the panels, by Grafana's ids.
const (
	unitRatio    = "percentunit"
	unitSeconds  = "s"
	unitBytes    = "bytes"
	unitNumber   = "short"
	unitCount    = "locale" // of large counts: 1,500, where short has 1.5 K
	unitRate     = "ops"
	unitRequest  = "reqps"
	unitPlain    = "none"
	unitByteRate = "Bps"
	unitAgo      = "dateTimeFromNow"
)

// newDashboard returns a dashboard that answers a question. It has the variables
// datasource, job and instance, and the given ones.
func newDashboard(uid, title, question string, variables ...variable) *dashboard {
	d := &dashboard{
		UID: uid, Title: title, Description: question, Tags: []string{tag}, SchemaVersion: 41, GraphTooltip: 1,
		Refresh: "30s", Time: span{From: "now-1h", To: "now"}, Timezone: "browser",
		Links: []dashLink{{
			Title: "Responsiveness", Type: "dashboards", Tags: []string{tag}, AsDropdown: true, IncludeVars: true, KeepTime: true, Icon: "external link",
		}},
	}
	instance := chosen("instance", "Instance", "Instances of the exporter (hosts).", from+`{job=~"$job"}`)
	if ofManyHosts(uid) {
		variables = append(variables, variable{
			Name: "host", Label: "Host of links", Description: "The first of the chosen instances with one of the chosen apps: links to the details show it.", Type: "query", Datasource: instance.Datasource,
			Query: varQuery{Query: hostOfLinks, RefID: "variable-host"}, Definition: hostOfLinks, Refresh: 2, Sort: 1, Hide: 2,
		})
	} else { // Grafana begins with the first value if All is not offered
		instance.IncludeAll, instance.Current = false, nil
	}
	d.Templating.List = append([]variable{
		{Name: "datasource", Label: "Data source", Description: "The Prometheus that scrapes the exporter.", Type: "datasource", Query: "prometheus", Refresh: 1},
		chosen("job", "Job", "Jobs of Prometheus that scrape an exporter.", from),
		instance,
	}, variables...)
	d.Annotations.List = marks(slices.ContainsFunc(variables, func(v variable) bool { return v.Name == "app" }))
	return d
}

const hostOfLinks = `label_values(resp_app_info{job=~"$job", instance=~"$instance", app=~"$app"}, instance)`

// chosen returns a variable whose values are those of the label with its name.
func chosen(name, label, description, series string) variable {
	ds, query := prometheus(), fmt.Sprintf("label_values(%s, %s)", series, name)
	return variable{
		Name: name, Label: label, Description: description, Type: "query", Datasource: &ds, Query: varQuery{Query: query, RefID: "variable-" + name}, Definition: query,
		Refresh: 2, Sort: 1, Multi: true, IncludeAll: true, AllValue: anyValue,
		Current: &varSelected{Selected: true, Text: []string{"All"}, Value: []string{"$__all"}},
	}
}

func varApp() variable {
	return chosen("app", "App", "Apps that the exporter watches.", `resp_app_info{job=~"$job", instance=~"$instance"}`)
}

func varMySQL() variable {
	return chosen("mysql", "Database", "Databases of the exporter's configuration.", `resp_mysql_max_connections{job=~"$job", instance=~"$instance"}`)
}

func varRedis() variable {
	return chosen("redis", "Redis", "Redis servers of the exporter's configuration.", `resp_redis_ping_seconds{job=~"$job", instance=~"$instance"}`)
}

// marks returns the annotations, with ofApp of the chosen apps; only critical alerts are enabled.
func marks(ofApp bool) []annotation {
	starts := on("resp_app_start_time_seconds")
	incidents := on("resp_incident_start_timestamp_seconds")
	if ofApp {
		starts, incidents = of("resp_app_start_time_seconds"), of("resp_incident_start_timestamp_seconds")
	}
	active := func(severity string) string {
		alerts := selector("", `alertname=~"Resp.+"`, `severity="`+severity+`"`)
		const by = "alertname, severity, app, instance"
		firing := strings.TrimSuffix(alerts, "}") + `, alertstate="firing"}`
		return "max by (" + by + ") (ALERTS_FOR_STATE" + alerts + ") * 1000 and on (" + by + ") ALERTS" + firing
	}
	return []annotation{
		marked("Critical alerts", "red", active("critical"), "{{alertname}}", "{{app}} {{instance}}"),
		marked("Warnings", "orange", active("warning"), "{{alertname}}", "{{app}} {{instance}}"),
		marked("Incidents", "yellow", incidents+" * 1000", "{{app}} is held up: {{cause}}", "{{instance}}"),
		marked("Starts of an app", "blue", starts+" * 1000", "{{app}} started", "{{instance}}"),
		marked("Reloads of an app", "semi-dark-blue", reloads(ofApp), "{{app}} was reloaded: all its workers are new", "{{instance}}"),
		marked("Actions", "purple", on("resp_heal_last_success_timestamp_seconds")+" * 1000", "{{action}}: verified", "{{instance}}"),
	}
}

// reloads returns the query of the times, in milliseconds, at which all workers of an app
// were replaced within a minute, as a reload does. For an app with a single worker this
// cannot be distinguished from a worker that was recycled.
func reloads(ofApp bool) string {
	workers, app := on("resp_worker_start_time_seconds"), on("resp_app_start_time_seconds")
	if ofApp {
		workers, app = of("resp_worker_start_time_seconds"), of("resp_app_start_time_seconds")
	}
	const by = "app, instance"
	first := "min by (" + by + ") (" + workers + ")"
	return "(" + first + " and (max by (" + by + ") (" + workers + ") - " + first + " < 60) and (" + first + " - min by (" + by + ") (" + app + ") > 60) and count by (" + by + ") (" + workers + ") > 1) * 1000"
}

// marked returns an annotation at the times that expr returns, in milliseconds.
func marked(name, color, expr, title, text string) annotation {
	return annotation{
		Name: name, Datasource: prometheus(), Enable: strings.HasPrefix(name, "Critical"), IconColor: color, Expr: expr,
		TitleFormat: title, TextFormat: text, UseValueForTime: true,
	}
}

// row adds a row with a heading.
func (d *dashboard) row(title string) {
	no, none := false, []*panel{}
	d.add(&panel{Type: "row", Title: title, GridPos: gridPos{H: 1, W: wide, Y: d.y}, Collapsed: &no, Panels: &none})
	d.y++
}

// fold adds a collapsed row with the panels that add adds.
func (d *dashboard) fold(title string, add func(*dashboard)) {
	yes, begin := true, len(d.Panels)
	d.row(title)
	add(d)
	row, inside := d.Panels[begin], append([]*panel{}, d.Panels[begin+1:]...)
	row.Collapsed, row.Panels = &yes, &inside
	d.Panels = d.Panels[:begin+1]
	d.folded += len(inside)
	d.y = row.GridPos.Y + 1
}

// line adds panels of one height side by side. Panels without a width share the rest of
// the row.
func (d *dashboard) line(height int, panels ...*panel) {
	free, unset := wide, 0
	for _, p := range panels {
		free -= p.GridPos.W
		if p.GridPos.W == 0 {
			unset++
		}
	}
	x := 0
	for _, p := range panels {
		w := p.GridPos.W
		if w == 0 {
			w = free / unset
			free, unset = free-w, unset-1
		}
		p.GridPos = gridPos{H: height, W: w, X: x, Y: d.y}
		x += w
		d.add(p)
	}
	d.y += height
}

func (d *dashboard) add(p *panel) {
	p.ID = len(d.Panels) + d.folded + 1
	d.Panels = append(d.Panels, p)
}

// unseen returns a table of what the collectors of a part cannot read; names are alternatives.
func unseen(of, collectors string) *panel {
	return table("Missing data", "Reasons why values of "+of+" are missing here. Run `resp-exporter doctor` on the host for the remedy of each.", unitPlain).
		now("max by (collector, reason, instance) ("+on("resp_collector_available", fmt.Sprintf("collector=~%q", collectors))+" == 0)", "").
		arranged("Time Value").none("nothing is reported missing").to("resp-exporter", "The exporter")
}
