package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
)

const (
	checkLimit  = 10 * time.Second
	answerLimit = 16 << 20        // bytes of an answer
	oldAfter    = 2 * time.Minute // since the last look, before nothing is known any more
)

// The exit codes of monitoring plugins.
const (
	exitHealthy = iota
	exitWarning
	exitCritical
	exitUnknown
)

// checkOptions are the settings of the command check.
type checkOptions struct {
	url    string
	output string // "text" or "json"
	self   bool   // ask about the exporter only, not what it sees
}

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
}

// answer is what is read of /api/v1/status.
type answer struct {
	LastCheck *time.Time     `json:"last_check"`
	Health    *health.Status `json:"health"`
	Todo      []string       `json:"recommendations"` // of all, in their order; an older exporter has none
	Apps      []struct {
		Name       string         `json:"name"`
		Health     *health.Status `json:"health"`
		Bottleneck *struct {
			Sentence string `json:"sentence"` // null without a cause
		} `json:"bottleneck"` // an older exporter has none
	} `json:"apps"`
	Chains []chain `json:"chains"` // the worst first; an older exporter has none
}

// chain is who waits for whom, down to the root.
type chain struct {
	App      string `json:"app"` // whose workers wait
	Sentence string `json:"sentence"`
}

// check asks a running exporter how all is, prints that, and returns the exit
// code: 0 healthy, 1 warning, 2 critical, 3 unknown.
func check(o checkOptions, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithTimeout(context.Background(), checkLimit)
	defer cancel()
	if o.self {
		return checkSelf(ctx, o.url, stdout)
	}
	var r report
	a, now, err := fetch(ctx, o.url)
	if err != nil {
		r = unknownReport(err.Error())
	} else {
		r = a.report(now)
	}
	if err := r.print(o.output, stdout); err != nil {
		printLine(stderr, "resp-exporter: print the status: %v", err)
		return exitUnknown
	}
	return r.code
}

// checkSelf reports whether the exporter itself answers and is ready, whatever it
// sees: what a container's health check wants, since nobody shall restart the
// exporter because the app is ill. The code is 0 or 3.
func checkSelf(ctx context.Context, base string, stdout io.Writer) int {
	resp, _, err := get(ctx, base, "-/ready")
	if err != nil {
		printLine(stdout, "resp-exporter UNKNOWN - %v", err)
		return exitUnknown
	}
	_ = resp.Body.Close()
	printLine(stdout, "resp-exporter HEALTHY - the exporter is ready")
	return exitHealthy
}

// fetch reads the status below base; now is the exporter's own clock, so that
// the age of its last look is right from another host too.
func fetch(ctx context.Context, base string) (a answer, now time.Time, err error) {
	resp, shown, err := get(ctx, base, "api/v1/status")
	if err != nil {
		return a, now, err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(resp.Body, answerLimit)).Decode(&a); err != nil {
		return a, now, fmt.Errorf("the response of %s is not the status of an exporter: %w", shown, err)
	}
	if now, err = http.ParseTime(resp.Header.Get("Date")); err != nil {
		now = time.Now()
	}
	return a, now, nil
}

// get asks for a path below base. Without an error the answer is 200 and its
// body is the caller's to close; shown is base as it may be printed.
func get(ctx context.Context, base, path string) (resp *http.Response, shown string, err error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, "", errors.New("--url: expected http://host:port or https://host:port, with the path of the exporter if it has one")
	}
	public := *u
	public.User = nil // whoever reads the result need not know the login
	shown = public.String()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.JoinPath(path).String(), nil)
	if err != nil {
		return nil, shown, fmt.Errorf("cannot reach the exporter at %s: %w", shown, err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err = http.DefaultClient.Do(req)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok { // it names the whole URL
			err = inner.Err
		}
		return nil, shown, fmt.Errorf("cannot reach the exporter at %s: %w", shown, err)
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, shown, fmt.Errorf("the exporter at %s returned %s", shown, resp.Status)
	}
	return resp, shown, nil
}

func unknownReport(why string) report {
	return report{Status: "unknown", Summary: why, code: exitUnknown, Apps: map[string]health.Status{}, Alerts: []health.Alert{}, Recovering: []health.Recovery{}, Recommendations: []string{}}
}

// report judges what the exporter said. A finding counts even where there is
// no app; no finding is good news only of an app that was looked at lately.
func (a *answer) report(now time.Time) report {
	if a.LastCheck == nil || a.Health == nil {
		return unknownReport("the exporter has not finished its first check of the host yet")
	}
	if age := now.Sub(*a.LastCheck); age > oldAfter {
		return unknownReport("the exporter's last check is " + health.FormatSeconds(age.Seconds()) + " old")
	}
	r := report{LastCheck: a.LastCheck, Host: a.Health, Apps: make(map[string]health.Status), Alerts: []health.Alert{}, Recovering: []health.Recovery{}, Recommendations: []string{}}
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
	case worst > health.Healthy:
		r.Status, r.code, r.Summary = worst.String(), int(worst), worst.String()
		if len(r.Alerts) > 0 {
			r.Summary = cmp.Or(r.explained(a.sentences(), worst), r.Alerts[0].Summary)
		}
	case len(unknown) > 0:
		r.Status, r.code, r.Summary = "unknown", exitUnknown, "no data yet for "+strings.Join(unknown, ", ")
	case len(r.Apps) == 0:
		r.Status, r.code, r.Summary = "unknown", exitUnknown, "no app found on this host"
	default:
		r.Status, r.Summary = "healthy", "no alerts for "+strings.Join(slices.Sorted(maps.Keys(r.Apps)), ", ")
	}
	return r
}

// sentences returns what holds up the apps: the causes, then the chains.
func (a *answer) sentences() (out []chain) {
	for _, app := range a.Apps {
		if app.Bottleneck != nil {
			out = append(out, chain{app.Name, app.Bottleneck.Sentence})
		}
	}
	return append(out, a.Chains...)
}

// explained returns the first sentence that explains the worst level: one of an app that
// has it for anything but a resource of the host; "" without one.
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

// take adds what one status says and is not there yet: a full disk is in that
// of every app.
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

func (r *report) print(output string, w io.Writer) error {
	if output == "json" {
		return printJSON(r, w)
	}
	var b lines
	b.add("resp-exporter %s - %s", strings.ToUpper(r.Status), r.Summary)
	for _, app := range slices.Sorted(maps.Keys(r.Apps)) {
		s := r.Apps[app]
		b.add("%s is %s: %s", app, s.Overall, componentsText(s.Components))
	}
	if r.Host != nil && len(r.Host.Components) > 0 {
		b.add("host and stores are %s: %s", r.Host.Overall, componentsText(r.Host.Components))
	}
	if len(r.Alerts) > 0 {
		b.add("Alerts:")
		for _, a := range r.Alerts {
			b.add("  %s since %s: %s", a.Severity, utc(a.Since), a.Summary)
		}
	}
	if len(r.Recovering) > 0 {
		b.add("Recovering:")
		for _, a := range r.Recovering {
			b.add("  %s from %s to %s: %s", a.Severity, utc(a.Since), utc(a.Ended), a.Summary)
		}
	}
	if len(r.Recommendations) > 0 {
		b.add("What to do:")
		for i, l := range r.Recommendations {
			b.add("  %d. %s", i+1, l)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func componentsText(components map[string]health.Level) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(components)) {
		parts = append(parts, name+" "+components[name].String())
	}
	return strings.Join(parts, ", ")
}
