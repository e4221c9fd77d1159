package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
)

// report is the answer of the command check, as JSON writes it.
type report struct {
	Status          string                   `json:"status"` // healthy, warning, critical, unknown
	Summary         string                   `json:"summary"`
	LastCheck       *time.Time               `json:"last_check"`
	Host            *health.Status           `json:"host"` // and the stores
	Apps            map[string]health.Status `json:"apps"`
	Alerts          []health.Alert           `json:"alerts"`          // of all, the worst first
	Recovering      []health.Recovery        `json:"recovering"`      // of all: what has ended lately
	Recommendations []string                 `json:"recommendations"` // of all

	code int
	now  time.Time // of the exporter's clock
}

// unknownReport returns the report that the state is not known, and why. Its lists are empty,
// not nil, so that JSON has [] for them.
func unknownReport(why string) report {
	return report{Status: "unknown", Summary: why, code: exitUnknown, Apps: map[string]health.Status{}, Alerts: []health.Alert{}, Recovering: []health.Recovery{}, Recommendations: []string{}}
}

// report returns what the command prints and its exit code, by the status that the exporter
// returned. The level is unknown if that has no app (whatever the host's level is), no
// level of the host, or a last check that is missing or too old; also if an app was not
// judged and nothing else is unhealthy.
func (a *answer) report(now time.Time) report {
	if a.LastCheck == nil || a.Health == nil {
		return unknownReport("the exporter has not finished its first check of the host yet")
	}
	if age := now.Sub(*a.LastCheck); age > oldAfter {
		return unknownReport("the exporter's last check is " + health.FormatSeconds(age.Seconds()) + " old")
	}
	r := report{now: now, LastCheck: a.LastCheck, Host: a.Health, Apps: make(map[string]health.Status), Alerts: []health.Alert{}, Recovering: []health.Recovery{}, Recommendations: []string{}}
	worst := health.Healthy
	var unknown []string
	for _, app := range a.Apps {
		if app.Health == nil {
			unknown = append(unknown, app.Name)
			continue
		}
		r.Apps[app.Name] = *app.Health
		worst = max(worst, r.take(app.Health))
	}
	worst = max(worst, r.take(a.Health)) // after the apps, as on the page
	slices.SortStableFunc(r.Alerts, func(a, b health.Alert) int { return cmp.Compare(b.Severity, a.Severity) })
	if a.Todo != nil {
		r.Recommendations = a.Todo
	}
	switch {
	case len(a.Apps) == 0:
		r.Status, r.code, r.Summary = "unknown", exitUnknown, "no app is found on this host"
		if len(r.Alerts) > 0 {
			r.Summary += "; " + r.Alerts[0].Summary
		}
	case worst > health.Healthy:
		r.Status, r.code, r.Summary = worst.String(), int(worst), worst.String()
		if len(r.Alerts) > 0 {
			r.Summary = cmp.Or(r.explained(a.sentences(), worst), r.Alerts[0].Summary)
		}
	case len(unknown) > 0:
		r.Status, r.code, r.Summary = "unknown", exitUnknown, "no data yet for "+strings.Join(unknown, ", ")
	default:
		r.Status, r.Summary = "healthy", "no alerts for "+strings.Join(slices.Sorted(maps.Keys(r.Apps)), ", ")
	}
	return r
}

// sentences returns what holds up the apps: the causes, then the chains. Of an app that was
// not judged there is no cause; the text of one that nothing holds up is "".
func (a *answer) sentences() (out []chain) {
	for _, app := range a.Apps {
		if app.Bottleneck != nil {
			out = append(out, chain{app.Name, app.Bottleneck.Sentence})
		}
	}
	return append(out, a.Chains...)
}

// explained returns the first sentence of an app that has an alert of the worst level for
// anything but disk, memory or CPU; "" if there is none.
func (r *report) explained(chains []chain, worst health.Level) string {
	for _, c := range chains {
		for _, a := range r.Apps[c.App].Alerts {
			if a.Severity == worst && a.Component != "disk" && a.Component != "memory" && a.Component != "cpu" && c.Sentence != "" {
				return c.Sentence
			}
		}
	}
	return ""
}

// take adds the alerts, recoveries and recommendations of one status that are not in the
// report yet, and returns the level of the status. A full disk is in the status of every
// app.
func (r *report) take(s *health.Status) health.Level {
	for _, a := range s.Alerts {
		if !slices.Contains(r.Alerts, a) {
			r.Alerts = append(r.Alerts, a)
		}
	}
	for _, a := range s.Recovering {
		if !slices.Contains(r.Recovering, a) {
			r.Recovering = append(r.Recovering, a)
		}
	}
	for _, l := range s.Recommendations {
		if !slices.Contains(r.Recommendations, l) {
			r.Recommendations = append(r.Recommendations, l)
		}
	}
	return s.Overall
}

// print writes the report to w, as JSON or, for any other output, as lines of text.
func (r *report) print(output string, w io.Writer) error {
	if output == "json" {
		return printJSON(r, w)
	}
	var b lines
	b.add("resp-exporter %s - %s", strings.ToUpper(r.Status), r.Summary)
	b.list("Problems:", len(r.Alerts), func(i int) string {
		a := &r.Alerts[i]
		return fmt.Sprintf("  %s since %s: %s", a.Severity, utc(a.Since), a.Summary)
	})
	b.list("What to do:", len(r.Recommendations), func(i int) string { return fmt.Sprintf("  %d. %s", i+1, r.Recommendations[i]) })
	b.list("Recovering:", len(r.Recovering), func(i int) string {
		a := &r.Recovering[i]
		return fmt.Sprintf("  %s from %s, ended %s ago: %s", a.Severity, utc(a.Since), health.FormatSeconds(max(0, r.now.Sub(a.Ended).Seconds())), a.Summary)
	})
	if muted := r.muted(); len(muted) > 0 {
		b.add("Not evaluated: %s", strings.Join(muted, "; "))
	}
	if well := r.well(); len(well) > 0 {
		b.add("Healthy: %s", strings.Join(well, "; "))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// list adds a title and n lines; nothing if there are none.
func (l *lines) list(title string, n int, line func(i int) string) {
	if n > 0 {
		l.add("%s", title)
	}
	for i := range n {
		l.add("%s", line(i))
	}
}

// utc returns a time in UTC as "2026-01-02 15:04:05 UTC".
func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// well returns a text for each app, by name, then one for the host and stores if they are
// in the report: the name alone if all components are healthy, else "disk, cpu of shop".
// One without a healthy component has none.
func (r *report) well() []string {
	var out []string
	of := func(name string, s *health.Status) {
		switch components := healthyOf(s); {
		case len(s.Components) > 0 && len(components) == len(s.Components):
			out = append(out, name)
		case len(components) > 0:
			out = append(out, strings.Join(components, ", ")+" of "+name)
		}
	}
	for _, app := range slices.Sorted(maps.Keys(r.Apps)) {
		s := r.Apps[app]
		of(app, &s)
	}
	if r.Host != nil {
		of("host and stores", r.Host)
	}
	return out
}

// healthyOf returns the healthy components, sorted.
func healthyOf(s *health.Status) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(s.Components)) {
		if s.Components[name] == health.Healthy {
			out = append(out, name)
		}
	}
	return out
}

// muted returns the components that are not judged, one text for each app: "disk, cpu of
// shop".
func (r *report) muted() []string {
	var out []string
	for _, app := range slices.Sorted(maps.Keys(r.Apps)) {
		if m := r.Apps[app].Muted; len(m) > 0 {
			out = append(out, strings.Join(m, ", ")+" of "+app)
		}
	}
	return out
}
