package dashboards

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// uids checks that uids are unique, short and readable in an address.
func uids(l *linter) {
	readable := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	seen := map[string]string{}
	for _, d := range l.all {
		if !readable.MatchString(d.UID) || len(d.UID) > 40 {
			l.report(d, "", "the uid %q is not in small letters, digits and hyphens, at most 40", d.UID)
		}
		if other, ok := seen[d.UID]; ok {
			l.report(d, "", "%s and %s have the same uid", other, d.File)
		}
		seen[d.UID] = d.File
		if id, ok := d.Raw["id"]; !ok || id != nil {
			l.report(d, "", "the id is %v, it must be null", id)
		}
	}
}

// models checks for the classic model, in a version that all current versions of Grafana
// read.
func models(l *linter) {
	for _, d := range l.all {
		if v, ok := d.Raw["schemaVersion"].(float64); !ok || v != 41 {
			l.report(d, "", "schemaVersion is %v, it must be 41", d.Raw["schemaVersion"])
		}
		for _, key := range []string{"version", "iteration", "gnetId"} {
			if _, ok := d.Raw[key]; ok {
				l.report(d, "", "the key %s changes with each export", key)
			}
		}
	}
}

// uneditable reports dashboards that can be changed in Grafana.
func uneditable(l *linter) {
	for _, d := range l.all {
		if d.Raw["editable"] != false {
			l.report(d, "", "editable is not false: what is changed in Grafana is lost")
		}
	}
}

// inputs checks for what only Grafana's import form fills in.
func inputs(l *linter) {
	for _, d := range l.all {
		for _, key := range []string{"__inputs", "__requires", "__elements"} {
			if _, ok := d.Raw[key]; ok {
				l.report(d, "", "the key %s is for export", key)
			}
		}
		text, err := json.Marshal(d.Raw)
		if err != nil || strings.Contains(string(text), "${DS_") {
			l.report(d, "", "${DS_…} is for export")
		}
	}
}

// described checks that a panel describes what it shows and what a bad value looks like.
func described(l *linter) {
	for _, d := range l.all {
		if text, ok := d.Raw["description"].(string); !ok || text == "" || d.Title == "" {
			l.report(d, "", "no title or no description")
		}
		for _, p := range d.Panels {
			if p.Title == "" || p.Description == "" && p.Type != "row" {
				l.report(d, p.Where(), "no title or no description")
			}
		}
	}
}

const datasourceVariable = "${datasource}"

// prometheusSource reports whether a data source is the one of the variable datasource.
func prometheusSource(s *Datasource) bool {
	return s != nil && s.Type == "prometheus" && s.UID == datasourceVariable
}

// templateDatasource reports dashboards whose first variable is not the data source.
func templateDatasource(l *linter) {
	for _, d := range l.all {
		if len(d.Variables) == 0 || d.Variables[0].Name != "datasource" || d.Variables[0].Type != "datasource" || d.Variables[0].Query != "prometheus" || d.Variables[0].Label == "" {
			l.report(d, "", "the first variable is not datasource, of type datasource, for prometheus, with a label")
		}
	}
}

// hidden is how Grafana marks a variable that is not shown.
const hidden = 2

// templates checks the variables job and instance: all, several or one, each limited by
// those before it. A new variable must be added to the queries too, see selectors.
func templates(l *linter) {
	for _, d := range l.all {
		for _, name := range []string{"job", "instance"} {
			if !slices.ContainsFunc(d.Variables, func(v Variable) bool { return v.Name == name && v.Type == "query" }) {
				l.report(d, "", "no variable %s", name)
			}
		}
	}
	for d, v := range l.variables() {
		where := "variable " + v.Name
		if v.Hide == hidden {
			continue // nobody chooses it
		}
		if !v.ofMany() {
			l.report(d, where, "no label, not of many values, or All is not .+")
		}
		if _, label, ok := LabelValues(v.Definition()); ok && label != v.Name {
			l.report(d, where, "has the values of the label %s", label)
		}
	}
}

// ofMany reports whether a variable has a label and several values, of which All is .+; an
// instance may be without All.
func (v Variable) ofMany() bool {
	return v.Label != "" && v.Multi && (v.IncludeAll || v.Name == "instance") && v.AllValue != nil && *v.AllValue == ".+"
}

// reloads checks that a variable of series is reloaded with the time range.
func reloads(l *linter) {
	for d, v := range l.variables() {
		if v.Refresh != 2 {
			l.report(d, "variable "+v.Name, "refresh is %d, it must be 2: when the time range changes", v.Refresh)
		}
	}
}

// datasources checks that each data source is the variable's.
func datasources(l *linter) {
	const fault = "the data source is not prometheus, ${datasource}"
	for d, p := range l.panels() {
		if p.hasData() && !prometheusSource(p.Datasource) {
			l.report(d, p.Where(), fault)
		}
		if i := slices.IndexFunc(p.Targets, func(t Target) bool { return t.Datasource != nil && !prometheusSource(t.Datasource) }); i >= 0 {
			l.report(d, p.Where(), "target %s: %s", p.Targets[i].RefID, fault)
		}
	}
	for d, v := range l.variables() {
		if !prometheusSource(v.Datasource) {
			l.report(d, "variable "+v.Name, fault)
		}
	}
	for d, a := range l.annotations() {
		if a.BuiltIn == 0 && !prometheusSource(a.Datasource) {
			l.report(d, "annotation "+a.Name, fault)
		}
	}
}

// links checks that links lead to dashboards that exist, with the time range and the
// variables.
func links(l *linter) {
	uids, tags := map[string]bool{}, map[string]int{}
	for _, d := range l.all {
		uids[d.UID] = true
		for _, t := range d.Tags {
			tags[t]++
		}
	}
	for _, d := range l.all {
		if len(d.Links) == 0 {
			l.report(d, "", "no link to the other dashboards")
		}
		for _, link := range d.Links {
			l.dashboardLink(d, link, tags, uids)
		}
		for _, p := range d.Panels {
			for _, link := range p.allLinks() {
				l.panelLink(d, p.Where(), link, uids)
			}
		}
	}
}

// dashboardLink reports a link of a dashboard that loses the time or the variables, or
// leads to no dashboard.
func (l *linter) dashboardLink(d Dashboard, link Link, tags map[string]int, uids map[string]bool) {
	where := "link " + link.Title
	if !link.KeepTime || !link.IncludeVars {
		l.report(d, where, "does not keep the time or the variables")
	}
	if link.Type == "link" {
		if uid, ok := linked(link.URL); ok && !uids[uid] {
			l.report(d, where, "leads to %s, which is no dashboard", uid)
		}
		return
	}
	if len(link.Tags) == 0 {
		l.report(d, where, "leads to dashboards of no tag")
	}
	for _, t := range link.Tags {
		if tags[t] == 0 || !slices.Contains(d.Tags, t) {
			l.report(d, where, "the tag %s is not on all dashboards", t)
		}
	}
}

// ofExporter reports whether an address is of a page of the exporter that a line of a
// table, a cell or a series is about.
func ofExporter(url string) bool {
	for _, instance := range []string{"__data.fields.instance", "__value.raw", "__field.labels.instance"} {
		if strings.HasPrefix(url, "http://${"+instance+"}/") {
			return true
		}
	}
	return false
}

// panelLink reports a link of a panel that loses the time or the variables, or leads to no
// dashboard and no page.
func (l *linter) panelLink(d Dashboard, where string, link Link, uids map[string]bool) {
	uid, ok := linked(link.URL)
	switch {
	case !ok && (strings.HasPrefix(link.URL, "https://") || ofExporter(link.URL)):
	case !ok:
		l.report(d, where, "the link %s is not to /d/UID", link.URL)
	case !uids[uid]:
		l.report(d, where, "links to %s, which is no dashboard", uid)
	case !strings.Contains(link.URL, "${__url_time_range}"), !strings.Contains(link.URL, "${__all_variables}") && !strings.Contains(link.URL, "var-"):
		l.report(d, where, "the link to %s does not keep the time or the variables", uid)
	}
}

var dashboardURL = regexp.MustCompile(`^/d/([^/?#]+)`)

// linked returns the UID of the dashboard that a URL leads to; false if it leads to none.
func linked(url string) (string, bool) {
	m := dashboardURL.FindStringSubmatch(url)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// allLinks returns the panel's links and those of its values.
func (p Panel) allLinks() []Link {
	out := slices.Concat(p.Links, p.FieldConfig.Defaults.Links)
	for _, property := range p.overridden() {
		var more []Link
		if property.ID == "links" && json.Unmarshal(property.Value, &more) == nil {
			out = append(out, more...)
		}
	}
	return out
}

// overridden returns what all overrides of the panel change.
func (p Panel) overridden() []Property {
	var out []Property
	for _, o := range p.FieldConfig.Overrides {
		out = append(out, o.Properties...)
	}
	return out
}

// hasData reports whether a panel shows series.
func (p Panel) hasData() bool {
	return !slices.Contains([]string{"row", "text", "dashlist", "alertlist", "annolist", "news"}, cmp.Or(p.Type, "row"))
}
