// Package health turns the state of one gather into what a person asks for:
// models and a verdict. It is pure: no clock, no I/O.
package health

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// A level is left when the value is this much below its limit (above it for what
// warns when it falls). What has ended is listed for this many monitoring intervals.
const (
	margin    = 0.05
	intervals = 2
)

// Input is all that a judgement is made of.
type Input struct {
	State    *model.State      // of one gather
	At       time.Time         // when that was
	Limits   config.Thresholds // in force
	Interval time.Duration     // monitoring_interval

	// What the configuration names: it must be readable to be healthy.
	Apps, MySQL, Redis []string
	Parts              []Part
}

// State is what a judgement must know of those before. The zero value is a
// judge's first day; a State is never changed.
type State struct{ rules map[Subject]ruleState }

// Subject is what one rule is about.
type Subject struct {
	App  string // "": the host, or a store
	Rule string // e.g. "error_rate"
	Of   string // which disk, store, pool or queue, where there may be several; else ""
}

// rule is what one look says of one thing.
type rule struct {
	Subject

	component string
	level     Level // by the limits
	release   Level // by limits that are the margin lower
	summary   string
	inhibited bool
	// advice says what to do, given for how long it has not been well.
	advice adviser
}

// held is what is kept of one rule from look to look.
type ruleState struct {
	level     Level // at the last look
	component string
	since     time.Time // it is not healthy; of what has ended, it was not
	worst     Level     // since then
	last      time.Time // the last look at which it was not healthy
	summary   string    // of that look
}

// step returns what is held after one more look at a rule. A worse level holds
// at once, and until the value is the margin below its limit. What comes back
// after it was healthy is a new finding.
func (h ruleState) next(r *rule, at time.Time) ruleState {
	level := max(r.level, min(h.level, r.release))
	if level > Healthy {
		if h.level == Healthy {
			h.since, h.worst = at, level
		}
		h.worst, h.last, h.summary = max(h.worst, level), at, cmp.Or(r.summary, h.summary)
	}
	h.level, h.component = level, r.component
	return h
}

// Judge judges one look, given the state that the judgement before it left,
// and returns the state for the next. It is pure, and it may be called as
// often as there are looks: the intervals are counted by their times. One
// state must be used with looks in the order of their times.
func Judge(in Input, before State) (Judgement, State) {
	e := &evaluator{Input: in, before: before, after: State{make(map[Subject]ruleState)}, blockers: make(map[string]*blocker), tableLocks: make(map[string]*blocker)}
	e.names = e.appNames()
	for _, app := range e.names {
		e.evaluateApp(app)
	}
	e.evaluateStores()
	e.evaluateHost()
	e.addUnmeasured()
	return e.evaluation(), e.after
}

// court is one judgement in the making.
type evaluator struct {
	Input
	before, after State
	names         []string
	rules         []rule
	blockers      map[string]*blocker // by server; one that is there and nil: none
	tableLocks    map[string]*blocker // the same
}

func (e *evaluator) add(r rule) { e.rules = append(e.rules, r) }

// fade keeps what was not well and cannot be told any more, e.g. the share of
// errors where there are no requests, until that has been so for long.
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

// lives reports whether there is still somebody to have a rule.
func (e *evaluator) exists(k Subject) bool {
	switch k.Rule {
	case "mysql", "query_time", "connections":
		return slices.Contains(e.MySQL, k.Of)
	case "redis", "cache_hit_rate":
		return slices.Contains(e.Redis, k.Of)
	}
	return k.App == "" || slices.Contains(e.names, k.App)
}

// told is a finding with its advice.
type result struct {
	Finding
	advice []advice
	ended  *time.Time // when it was last seen; nil: it is present
}

// judgement steps all rules and puts what they say together.
func (e *evaluator) evaluation() Judgement {
	statuses := map[string]*Status{"": e.status("")}
	all := e.advance(statuses)
	slices.SortStableFunc(all, func(a, b result) int { return cmp.Compare(b.Severity, a.Severity) })
	out := Judgement{At: e.At}
	var todo []advice
	for i := range all {
		switch t := &all[i]; {
		case t.ended != nil:
			out.recovering = append(out.recovering, Ended{t.Finding, *t.ended})
		case !t.inhibited:
			out.findings = append(out.findings, t.Finding)
		}
		todo = append(todo, all[i].advice...)
	}
	out.advice = lines(todo)
	disk, bounds := statuses[""].Components["disk"]
	for _, app := range slices.Sorted(maps.Keys(statuses)) {
		s := statuses[app]
		if bounds {
			s.Components["disk"] = disk
		}
		s.fill(all)
		if app == "" {
			out.Host = *s
		} else {
			out.Apps = append(out.Apps, *s)
		}
	}
	return out
}

// step steps all rules, notes the components' levels in statuses, and returns
// what is not well, and what has ended lately.
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

// tell returns the finding of a rule at this look: what is present, or what has
// ended.
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
		t.advice = r.advice(e.At.Sub(h.since))
	}
	return t
}

// fill takes what concerns the app: its own, and full disks, which bound all.
func (s *Status) fill(all []result) {
	var todo []advice
	for i := range all {
		t := &all[i]
		switch {
		case t.App != s.App && t.Component != "disk":
		case t.ended != nil:
			s.Recovering = append(s.Recovering, Recovery{t.Alert, t.ended.UTC()})
		default:
			s.Alerts = append(s.Alerts, t.Alert)
			todo = append(todo, t.advice...)
		}
	}
	s.Recommendations = lines(todo)
	for _, l := range s.Components {
		s.Overall = max(s.Overall, l)
	}
}

func (e *evaluator) status(app string) *Status {
	return &Status{App: app, Components: make(map[string]Level), Alerts: []Alert{}, Recovering: []Recovery{}, Recommendations: []string{}, LastCheck: e.At.UTC()}
}

func (k Subject) title() string {
	if k.Of == "" {
		return k.Rule
	}
	return k.Rule + " " + k.Of
}
