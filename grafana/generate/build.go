package main

import (
	"fmt"
	"slices"
)

const (
	wide     = 24 // columns of Grafana's grid
	tag      = "resp-exporter"
	slowest  = "1m" // the longest scrape interval at which every panel shows something
	from     = "resp_exporter_build_info"
	anyValue = ".+"
)

// The units of the panels, by Grafana's ids.
const (
	unitRatio    = "percentunit"
	unitSeconds  = "s"
	unitBytes    = "bytes"
	unitNumber   = "short"
	unitRate     = "ops"
	unitRequest  = "reqps"
	unitPlain    = "none"
	unitByteRate = "Bps"
	unitAgo      = "dateTimeFromNow"
)

// newDashboard begins one that answers a question. Beside datasource, job and
// instance it has the variables that are named.
func newDashboard(uid, title, question string, variables ...variable) *dashboard {
	d := &dashboard{
		UID: uid, Title: title, Description: question, Tags: []string{tag}, SchemaVersion: 41, GraphTooltip: 1,
		Refresh: "30s", Time: span{From: "now-1h", To: "now"}, Timezone: "browser",
		Links: []dashLink{{
			Title: "Responsiveness", Type: "dashboards", Tags: []string{tag}, AsDropdown: true, IncludeVars: true, KeepTime: true, Icon: "external link",
		}},
	}
	d.Templating.List = append([]variable{
		{Name: "datasource", Label: "Data source", Description: "The Prometheus that scrapes the exporter.", Type: "datasource", Query: "prometheus", Refresh: 1},
		chosen("job", "Job", "Jobs of Prometheus that scrape an exporter.", from),
		chosen("instance", "Instance", "Instances of the exporter (hosts).", from+`{job=~"$job"}`),
	}, variables...)
	apps := ""
	if slices.ContainsFunc(variables, func(v variable) bool { return v.Name == "app" }) {
		apps = "app"
	}
	d.Annotations.List = []annotation{
		noted("Alerts", "red", `ALERTS{job=~"$job", instance=~"$instance", alertname=~"Resp.+", alertname!="RespWatchdog", alertstate="firing"}`, "{{alertname}}", "{{severity}} {{app}} {{instance}}"),
		noted("Worker restarts", "blue", gain("resp_worker_restarts_total"+selector(apps))+" > 0", "Workers of {{app}} were replaced", "{{instance}}"),
		noted("Healing", "purple", gain(on("resp_heal_runs_total"))+" > 0", "{{action}}: {{result}}", "{{rule}} {{instance}}"),
	}
	return d
}

// chosen is a variable with the values of the label of its own name.
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

func noted(name, color, expr, title, text string) annotation {
	return annotation{Name: name, Datasource: prometheus(), Enable: true, IconColor: color, Expr: expr, Step: slowest, TitleFormat: title, TextFormat: text}
}

// row begins a part with a heading.
func (d *dashboard) row(title string) {
	no, none := false, []*panel{}
	d.add(&panel{Type: "row", Title: title, GridPos: gridPos{H: 1, W: wide, Y: d.y}, Collapsed: &no, Panels: &none})
	d.y++
}

// line puts panels of one height side by side. Those without a width share what
// the others leave.
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
	p.ID = len(d.Panels) + 1
	d.Panels = append(d.Panels, p)
}

// unseen lists what the collectors of a part do not give; names are alternatives.
func unseen(of, collectors string) *panel {
	return table("Not seen", "Reasons why values of "+of+" are missing here. Run `resp-exporter doctor` on the host for the remedy of each.", unitPlain).
		now("max by (collector, reason, instance) ("+on("resp_collector_available", fmt.Sprintf("collector=~%q", collectors))+" == 0)", "").
		arranged("Time Value").none("nothing is missing").to("resp-exporter", "The exporter")
}
