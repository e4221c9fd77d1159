package main

import (
	"regexp"
	"slices"
	"strings"
)

// all returns every panel of the dashboard, those of collapsed rows too.
func (d *dashboard) all() []*panel {
	var out []*panel
	for _, p := range d.Panels {
		out = append(out, p)
		if p.Panels != nil {
			out = append(out, *p.Panels...)
		}
	}
	return out
}

// ofManyHosts reports whether a dashboard begins with all hosts. The others begin with one.
func ofManyHosts(uid string) bool { return uid == "resp-overview" || uid == "resp-fleet" }

// subject is a label whose value has a dashboard of its own.
type subject struct{ label, title, uid, variable string }

func subjects() []subject {
	return []subject{
		{"app", "App", "resp-app", "app"},
		{"worker", "Workers of the app", "resp-workers", ""},
		{"mysql", "Database", "resp-database", "mysql"},
		{"redis", "Redis", "resp-redis", "redis"},
		{"queue", "Tasks of the app", "resp-tasks", ""},
	}
}

// atThatTime is the page of the exporter at the time of the point that was clicked.
const atThatTime = "http://${__field.labels.instance}/?at=${__value.time:date:iso}"

// linkData adds links to series and table cells, to what they are about: the app, its
// workers or tasks, the server, and the exporter's page. Links on dashboards of all hosts
// lead to one host.
func (d *dashboard) linkData() {
	for _, p := range d.all() {
		switch p.Type {
		case "timeseries", "state-timeline", "stat":
			p.linkSeries(ofManyHosts(d.UID))
		case "table":
			p.linkColumns(ofManyHosts(d.UID))
		}
		if !ofManyHosts(d.UID) {
			continue
		}
		toOneHost(p.Links)
		if p.FieldConfig != nil {
			toOneHost(p.FieldConfig.Defaults.Links)
		}
	}
}

// toOneHost sets the instance of links that hand on all variables to a dashboard of one host.
func toOneHost(links []panelLink) {
	for i := range links {
		if to := strings.TrimPrefix(links[i].URL, "/d/"); !ofManyHosts(strings.SplitN(to, "?", 2)[0]) {
			links[i].URL = strings.ReplaceAll(links[i].URL, "${__all_variables}", sameSource+"&${app:queryparam}&var-instance=${host}")
		}
	}
}

// sameSource keeps the data source and the jobs.
const sameSource = "${datasource:queryparam}&${job:queryparam}"

// chosenHosts keeps the instances.
const chosenHosts = "${instance:queryparam}"

// subjectsOf returns those that can be linked. What is of many hosts and is about an app
// leads to the overview of this app: no single host has the details.
func subjectsOf(many bool) []subject {
	if many {
		return []subject{{"app", "Only app", "resp-overview", "app"}}
	}
	return subjects()
}

// linkSeries adds links to each series by its labels, which are those in its legend; many
// reports whether the panel may show many hosts.
func (p *panel) linkSeries(many bool) {
	instance := chosenHosts
	named := func(label string) bool {
		return slices.ContainsFunc(p.Targets, func(t target) bool { return strings.Contains(t.LegendFormat, "{{"+label+"}}") })
	}
	if named("instance") {
		instance, many = "var-instance=${__field.labels.instance}", false
	}
	for _, s := range subjectsOf(many) {
		if named(s.label) {
			p.FieldConfig.Defaults.Links = append(p.FieldConfig.Defaults.Links, s.link(instance, "${__field.labels.app}", "${__field.labels."+s.label+"}"))
		}
	}
	if named("instance") {
		page := panelLink{Title: "Page of the exporter at that time", URL: atThatTime, TargetBlank: true}
		if p.Type == "stat" {
			page.Title, page.URL = "Page of the exporter", "http://${__field.labels.instance}/"
		}
		p.FieldConfig.Defaults.Links = append(p.FieldConfig.Defaults.Links, page)
	}
}

// link returns a link to the dashboard of one value. instance is a parameter; app and
// value are Grafana's names for values.
func (s subject) link(instance, app, value string) panelLink {
	url := "/d/" + s.uid + "?${__url_time_range}&" + sameSource + "&" + instance
	if s.variable == "" {
		return panelLink{Title: s.title, URL: url + "&var-app=" + app}
	}
	return panelLink{Title: s.title + " " + value, URL: url + "&var-" + s.variable + "=" + value}
}

// grouped matches the labels that a query keeps. topk and bottomk keep all.
var grouped = regexp.MustCompile(`[^k] by \(([a-z_, ]+)\)`)

// linkColumns adds links to the cells of table columns that have no link yet.
func (p *panel) linkColumns(many bool) {
	instance, hosts := chosenHosts, p.column("instance")
	if hosts {
		instance, many = "var-instance=${__data.fields.instance}", false
	}
	for _, s := range subjectsOf(many) {
		if p.column(s.label) && !p.linked(s.label) && (s.variable != "" || p.column("app")) {
			p.override(s.label, property{"links", []panelLink{s.link(instance, "${__data.fields.app}", "${__value.raw}")}})
		}
	}
	if hosts && !p.linked("instance") {
		p.override("instance", property{"links", []panelLink{{Title: "Page of the exporter", URL: "http://${__value.raw}/", TargetBlank: true}}})
	}
}

// column reports whether a table has a column for a label: its first query keeps it.
func (p *panel) column(label string) bool {
	m := grouped.FindStringSubmatch(p.Targets[0].Expr)
	if m == nil {
		return label == "instance"
	}
	return slices.Contains(strings.Split(m[1], ", "), label)
}

func (p *panel) linked(name string) bool {
	return slices.ContainsFunc(p.FieldConfig.Overrides, func(o override) bool {
		return o.Matcher.Options == name && slices.ContainsFunc(o.Properties, func(x property) bool { return x.ID == "links" })
	})
}

// listMany makes the legend a table with the last and the highest value where a graph can
// have many series.
func (d *dashboard) listMany() {
	for _, p := range d.all() {
		if p.Type == "timeseries" && p.many() {
			place := "bottom"
			if p.GridPos.W >= 12 {
				place = "right"
			}
			p.Options.(map[string]any)["legend"] = map[string]any{"showLegend": true, "displayMode": "table", "placement": place, "calcs": []string{"lastNotNull", "max"}}
		}
	}
}

// many reports whether a graph can have many series: the legend of a query without an upper
// bound has a label with many values.
func (p *panel) many() bool {
	bounded := regexp.MustCompile(`^(topk|bottomk)\([1-6],`)
	return slices.ContainsFunc(p.Targets, func(t target) bool {
		return !bounded.MatchString(t.Expr) && slices.ContainsFunc([]string{"action", "collector", "component", "db", "family", "listener", "mountpoint", "pool", "queue", "route", "view", "worker"}, func(label string) bool {
			return strings.Contains(t.LegendFormat, "{{"+label+"}}")
		})
	})
}
