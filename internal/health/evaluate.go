// Package health evaluates the state of one gather: levels, alerts and advice for
// apps, stores and the host. It is pure: no clock, no I/O.
package health

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/health/locks"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// intervals is for how many monitoring intervals an alert that has ended is listed as
// recovering.
const intervals = 2

// Input is what an evaluation reads.
type Input struct {
	State    *model.State      // of one gather
	At       time.Time         // when that was
	Limits   config.Thresholds // in force for all that has none of its own
	Interval time.Duration     // monitoring_interval

	Own   func(app string) config.Thresholds // in force for an app; nil: Limits
	Muted func(app string) []string          // its components that are not judged; nil: none

	// What the configuration names. Unlike what was discovered, it is not healthy
	// while it cannot be read.
	Apps, MySQL, Redis []string
	Parts              []Part
}

// State is what an evaluation keeps for the next one. The zero value is for the
// first. A State is never changed.
type State struct{ rules map[Subject]ruleState }

// Subject is what one rule is about.
type Subject struct {
	App  string // "": the host, or a store
	Rule string // e.g. "error_rate"
	Of   string // which disk, store, pool or queue, where there may be several; else ""
}

// Evaluate returns what is wrong by the state of one gather, and the State to pass to the
// next call. It is pure. It may be called at any interval, but in the order of Input.At,
// from which it computes durations.
func Evaluate(in Input, before State) (Evaluation, State) {
	e := &evaluator{Input: in, before: before, after: State{make(map[Subject]ruleState)}, blockers: make(map[string]*locks.Blocker), tableLocks: make(map[string]*locks.Blocker)}
	e.names = e.appNames()
	for _, app := range e.names {
		e.evaluateApp(app)
	}
	e.evaluateStores()
	e.evaluateHost()
	e.addUnmeasured()
	for _, app := range e.names {
		e.adviseCapacity(app)
	}
	return e.evaluation(), e.after
}

// addUnmeasured adds a healthy rule for each subject that was unhealthy and has no value now,
// e.g. the error rate of an app without requests, so that it is listed as recovering.
func (e *evaluator) addUnmeasured() {
	seen := make(map[Subject]bool, len(e.rules))
	for i := range e.rules {
		seen[e.rules[i].Subject] = true
	}
	gone := slices.SortedFunc(maps.Keys(e.before.rules), func(a, b Subject) int {
		return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Of, b.Of))
	})
	for _, k := range gone {
		if !seen[k] && e.exists(k) {
			e.add(rule{Subject: k, component: e.before.rules[k].component})
		}
	}
}

// exists reports whether the server of a subject is configured, or its app configured or seen; true for the host.
func (e *evaluator) exists(k Subject) bool {
	switch k.Rule {
	case "mysql", "query_time", "connections":
		return slices.Contains(e.MySQL, k.Of)
	case "redis", "cache_hit_rate":
		return slices.Contains(e.Redis, k.Of)
	}
	return k.App == "" || slices.Contains(e.names, k.App)
}

// result is a finding with its advice.
type result struct {
	Finding
	advice []given
	ended  *time.Time // when it was last unhealthy; nil: it is present
}

// evaluation returns the statuses, findings and advice by all rules that were added.
func (e *evaluator) evaluation() Evaluation {
	statuses := map[string]*Status{"": e.status("")}
	all := e.advance(statuses)
	slices.SortStableFunc(all, func(a, b result) int { return cmp.Compare(b.Severity, a.Severity) })
	out := Evaluation{At: e.At}
	todo := e.bottlenecks("")
	for i := range all {
		switch t := &all[i]; {
		case t.ended != nil:
			out.recovering = append(out.recovering, Ended{t.Finding, *t.ended})
		case !t.inhibited:
			out.findings = append(out.findings, t.Finding)
		}
		todo = append(todo, all[i].advice...)
	}
	out.advice = ranked(append(todo, e.hints...))
	for _, app := range slices.Sorted(maps.Keys(statuses)) {
		s := statuses[app]
		disk, bounds := statuses[""].Components["disk"]
		if bounds = bounds && !e.ownDisk(app); bounds {
			s.Components["disk"] = disk
		}
		s.fill(all, e.bottlenecks(app), e.hints, bounds)
		if app == "" {
			out.Host = *s
		} else {
			out.Apps = append(out.Apps, *s)
		}
	}
	return out
}

// advance computes the next state of each rule from the one before, and sets the levels
// of components in statuses. It returns what is unhealthy or has ended lately.
func (e *evaluator) advance(statuses map[string]*Status) []result {
	var all []result
	for i := range e.rules {
		r := &e.rules[i]
		h := e.before.rules[r.Subject].next(r, e.At)
		s := statuses[r.App]
		if s == nil {
			s = e.status(r.App)
			statuses[r.App] = s
		}
		s.Components[r.component] = max(s.Components[r.component], h.level)
		if h.level == Healthy && (h.last.IsZero() || e.At.Sub(h.last) >= intervals*e.Interval) {
			continue
		}
		e.after.rules[r.Subject] = h
		all = append(all, e.result(r, &h))
	}
	return all
}

// result returns the finding of a rule, present or ended; advice only if its level now, not a kept one, is unhealthy.
func (e *evaluator) result(r *rule, h *ruleState) result {
	t := result{Finding: Finding{r.App, Alert{
		Name: r.title(), Severity: h.level, Component: r.component, Summary: h.summary, Since: h.since,
		Subject: r.Subject, inhibited: r.inhibited && h.level == r.level,
	}}}
	if h.level == Healthy {
		last := h.last
		t.Severity, t.ended = h.worst, &last
	}
	if r.level > Healthy && r.advice != nil {
		for _, a := range r.advice(e.At.Sub(h.since)) {
			t.advice = append(t.advice, given{a, r.Subject})
		}
	}
	return t
}

// fill sets a status from the results about its app and, if disks is set, about the
// host's disks, which concern each app without limits of its own. todo is advice that
// comes before theirs; hints is advice also for healthy apps.
func (s *Status) fill(all []result, todo, hints []given, disks bool) {
	for i := range all {
		t := &all[i]
		switch {
		case t.App != s.App && (t.App != "" || t.Component != "disk" || !disks):
		case t.ended != nil:
			s.Recovering = append(s.Recovering, Recovery{t.Alert, t.ended.UTC()})
		default:
			s.Alerts = append(s.Alerts, t.Alert)
			todo = append(todo, t.advice...)
		}
	}
	for _, h := range hints {
		if h.rule.App == s.App {
			todo = append(todo, h)
		}
	}
	s.Recommendations = texts(ranked(todo))
	for _, l := range s.Components {
		s.Overall = max(s.Overall, l)
	}
}

// status returns the status of an app in which no rule has been evaluated.
func (e *evaluator) status(app string) *Status {
	s := &Status{App: app, Components: make(map[string]Level), Alerts: []Alert{}, Recovering: []Recovery{}, Muted: []string{}, Recommendations: []string{}, LastCheck: e.At.UTC()}
	s.Muted = append(s.Muted, e.muted(app)...)
	return s
}
