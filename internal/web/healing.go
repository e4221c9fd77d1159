package web

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/heal/relay"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/text"
	"github.com/resp-exporter/resp-exporter/internal/web/display"
)

const (
	temporaryUpTo = 20 // temporary settings

	runsUpTo    = 8  // runs on the page, the newest first
	firingUpTo  = 10 // alerts, the oldest first
	victimsUpTo = 20 // of one run
	missingUpTo = 5  // hosts without an exporter, the last one first
)

type (
	healingView struct {
		Show         bool
		Mode         string
		Level        display.Level
		Why, Waiting string
		Asking       string // how many plans wait for approval
		Paused       *pauseView
		Ordered      bool // there is a token to order with
		Human        []string
		Resting      []string
		Firing       []firingView
		HiddenFiring int
		Runs         []runView
		HiddenRuns   int
		Relay        []string // what is wrong with the relay, a sentence each
		Temporary    []temporaryView
		HiddenTemps  int // temporary settings that are not shown
	}
	temporaryView struct {
		Action, Target, What string
		Since, Until         display.Clock // at the latest, for a throttle unless it is renewed
	}
	pauseView struct {
		Reason, By   string
		Since, Until display.Clock
	}
	firingView struct {
		Name, Summary string
		Runbook       string // the anchor of its section; "": it is none of ours
		Level         display.Level
		Since         display.Clock
	}
	runView struct {
		ID, Rule, Word, Reason string
		Plan                   string // the id of its plan, which an approval names
		Did                    string // what the plan is, unless the reason says it
		At                     display.Clock
		Asks                   bool
		Steps                  []stepView
		Victims                []string
		Took                   display.Shown
	}
	stepView struct{ Action, Target, Plan, Came string }
)

// healing returns what the page's section about healing shows: alerts and what is done
// about them, the first of each list and how many are hidden. Show is false if no healing
// is configured and no alert fires.
func (w *Web) healing() healingView {
	if w.opts.Healing == nil {
		return healingView{}
	}
	s := w.opts.Healing()
	v := healingView{
		Show: s.Used || len(s.Firing) > 0, Mode: modeWord(s.Mode), Level: display.LevelHealthy, Why: s.Why, Ordered: s.Approve, Human: s.Human, Resting: s.Breakers,
	}
	if s.Queue > 0 {
		v.Waiting = text.Plural(float64(s.Queue), "run waits", "runs wait")
	}
	if s.Awaiting > 0 {
		v.Asking = text.Plural(float64(s.Awaiting), "plan waits for approval", "plans wait for approval")
	}
	if s.Why != "" {
		v.Level = display.LevelCritical
	}
	if s.Mode == config.HealOff && s.Why == "" {
		v.Level = display.LevelUnknown
	}
	if p := s.Paused; p != nil {
		v.Mode, v.Level = "paused", display.LevelWarning
		v.Paused = &pauseView{p.Reason, p.By, display.ClockOf(p.Since), display.ClockOf(p.Until)}
	}
	for _, f := range s.Firing[:min(len(s.Firing), firingUpTo)] {
		v.Firing = append(v.Firing, firingView{f.Name, f.Summary, w.books.Anchor(f.Name), severityOf(f.Severity), display.ClockOf(f.Since)})
	}
	v.HiddenFiring = max(0, len(s.Firing)-firingUpTo)
	for i := range s.Runs[:min(len(s.Runs), runsUpTo)] {
		v.Runs = append(v.Runs, runOf(&s.Runs[i]))
	}
	v.HiddenRuns = max(0, len(s.Runs)-runsUpTo)
	v.Relay = relayFaults(s.Relay)
	all := temporaryOf(&s)
	v.Temporary = all[:min(len(all), temporaryUpTo)]
	v.HiddenTemps = len(all) - len(v.Temporary)
	return v
}

// temporaryOf returns the settings that are in force for a time: throttles first.
func temporaryOf(s *heal.Snapshot) (out []temporaryView) {
	for _, x := range s.Throttles {
		what := "as many requests are shed as keep the queue time at its target"
		if x.Percent > 0 {
			what = strconv.FormatFloat(x.Percent, 'f', -1, 64) + " % of the requests are shed"
		}
		out = append(out, temporaryView{config.ActionThrottle, "app:" + x.App, what, display.ClockOf(x.Since), display.ClockOf(x.Until)})
	}
	for i := range s.Holds {
		h := &s.Holds[i]
		what := fmt.Sprintf("%d instead of %d", h.To, h.From)
		out = append(out, temporaryView{h.Action, h.Target, what, display.ClockOf(h.Since), display.ClockOf(h.Since.Add(action.MaxHold))})
	}
	return out
}

// relayFaults returns what is wrong with the relay of alerts about other hosts, one
// sentence each; of the hosts without an exporter at most missingUpTo. nil: nothing is, or
// there is no relay.
func relayFaults(r *relay.Summary) (out []string) {
	if r == nil {
		return nil
	}
	if !r.Up {
		out = append(out, "The relay's Redis does not answer: alerts about other hosts are refused, and Alertmanager sends them again")
	}
	if r.Waiting > 0 {
		out = append(out, text.Plural(float64(r.Waiting), "alert about another host waits", "alerts about other hosts wait")+" for the acknowledgement of an exporter")
	}
	for _, m := range r.Missing[:min(len(r.Missing), missingUpTo)] {
		if m.Away {
			out = append(out, fmt.Sprintf("The exporter of host %s does not answer: %s for it for an hour each, the last one %s", m.Host, text.Plural(float64(m.Alerts), "alert waits", "alerts wait"), m.Alert))
			continue
		}
		out = append(out, fmt.Sprintf("No exporter is registered for host %s: %s dropped, the last one %s", m.Host, text.Plural(float64(m.Alerts), "alert was", "alerts were"), m.Alert))
	}
	if n := len(r.Missing) - missingUpTo; n > 0 {
		out = append(out, fmt.Sprintf("And %d more hosts without an exporter", n))
	}
	return out
}

// person returns, for the banner, why healing needs a person, with the names of maxAlso
// rules at most; nil if it does not.
func (v *healingView) person() []string {
	var out []string
	if n := len(v.Human); n > 0 {
		rules := v.Human[:min(n, maxAlso)]
		line := "no action of the rules " + strings.Join(rules, ", ")
		if n == 1 {
			line = "no action of the rule " + rules[0]
		} else if n > len(rules) {
			line += fmt.Sprintf(" and %d more", n-len(rules))
		}
		out = append(out, line+" helped, and the alert still fires")
	}
	if v.Asking != "" {
		out = append(out, v.Asking)
	}
	return out
}

// modeWord returns the mode as the page shows it: "dry-run" for dry_run, any other as it is.
func modeWord(mode string) string {
	if mode == config.HealDryRun {
		return "dry-run"
	}
	return mode
}

// severityOf returns the level of an alert by its label severity, in any case: critical for
// critical, page and error, warning for warning and ticket; unknown for any other value.
func severityOf(s string) display.Level {
	switch strings.ToLower(s) {
	case "critical", "page", "error":
		return display.LevelCritical
	case "warning", "ticket":
		return display.LevelWarning
	default:
		return display.LevelUnknown
	}
}

// runOf returns a run as the page shows it, with at most victimsUpTo victims, or with all
// of its plan while it waits for approval; a last line has the number of the others.
func runOf(r *journal.Run) runView {
	took := r.Updated.Sub(r.Created).Seconds()
	v := runView{
		ID: r.ID, Rule: r.Rule, Word: wordOf(r.State), Reason: r.Reason, At: display.ClockOf(r.Created.Truncate(time.Second)),
		Asks: r.State == journal.DecisionAwaiting, Took: display.Seconds(&took),
	}
	for _, b := range r.Before {
		came := wordOf(b.Result)
		if b.Reason != "" {
			came += ", " + b.Reason
		}
		v.Steps = append(v.Steps, stepView{b.Action, b.Target, b.Summary, came})
	}
	now := stepView{Action: r.Action, Target: r.Target}
	if r.Plan != nil {
		now.Plan, v.Plan = r.Plan.Summary, r.Plan.ID
		if !strings.Contains(r.Reason, r.Plan.Summary) {
			v.Did = r.Plan.Summary
		}
		upTo := victimsUpTo
		if v.Asks { // who approves sees all of them
			upTo = len(r.Plan.Victims)
		}
		for _, x := range r.Plan.Victims[:min(len(r.Plan.Victims), upTo)] {
			v.Victims = append(v.Victims, victimWords(x))
		}
		if more := r.Plan.Total - len(v.Victims); more > 0 && len(v.Victims) > 0 {
			v.Victims = append(v.Victims, fmt.Sprintf("%d more", more))
		}
	}
	if !r.Applied.IsZero() {
		now.Came = fmt.Sprintf("applied to %d", r.Done)
	}
	v.Steps = append(v.Steps, now)
	return v
}

// victimWords returns a victim as text, e.g. "worker 2 (pid 4711)".
func victimWords(x action.Victim) string {
	if pid := x.Info["pid"]; pid != "" && pid != x.ID {
		return x.Kind + " " + x.ID + " (pid " + pid + ")"
	}
	return x.Kind + " " + x.ID
}

// wordOf returns a decision in words for people; any other decision as it is.
func wordOf(d journal.Decision) string {
	switch d {
	case journal.DecisionDryRun:
		return "dry-run"
	case journal.DecisionAwaiting:
		return "waits for approval"
	case journal.DecisionStepFailed:
		return "next step"
	case journal.DecisionVerifying:
		return "done, verifying the result"
	case journal.DecisionUnwritten:
		return "waits until the journal is writable"
	case journal.DecisionUnplanned:
		return "could not make a plan"
	default:
		return string(d)
	}
}

// informs reports whether an alert of that severity is about nothing wrong: none, info,
// informational, debug or notice, in any case.
func informs(severity string) bool {
	switch strings.ToLower(severity) {
	case "none", "info", "informational", "debug", "notice":
		return true
	}
	return false
}

// reported returns a copy of a status with the alerts that Alertmanager sent about the app
// added, as warnings unless they are critical; with name "" those about no app in apps.
// Alerts that inform only are left out. The level stays as it is: the judgement is the
// exporter's own. nil for nil; st itself if healing is off.
func (w *Web) reported(st *health.Status, name string, apps []app) *health.Status {
	if st == nil || w.opts.Healing == nil {
		return st
	}
	out := *st
	out.Alerts = slices.Clone(st.Alerts)
	for _, f := range w.opts.Healing().Firing {
		about := f.Labels["app"]
		if informs(f.Severity) || about != name && (name != "" || slices.ContainsFunc(apps, func(a app) bool { return a.Name == about })) {
			continue
		}
		a := health.Alert{Name: f.Name, Component: "alertmanager", Summary: f.Summary, Since: f.Since, Severity: health.Warning}
		if severityOf(f.Severity) == display.LevelCritical {
			a.Severity = health.Critical
		}
		out.Alerts = append(out.Alerts, a)
	}
	return &out
}
