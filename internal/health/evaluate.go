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
type State struct{ held map[key]held }

// key is one rule of one app, "" for the host and the stores; of tells which
// disk or store, where there are several.
type key struct{ app, name, of string }

// rule is what one look says of one thing.
type rule struct {
	key
	component string
	level     Level // by the limits
	calm      Level // by limits that are the margin lower
	summary   string
	told      bool
	// advice says what to do, given for how long it has not been well.
	advice adviser
}

// held is what is kept of one rule from look to look.
type held struct {
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
func (h held) step(r *rule, at time.Time) held {
	level := max(r.level, min(h.level, r.calm))
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
	c := &court{Input: in, before: before, after: State{make(map[key]held)}, blockers: make(map[string]*blocker), tableLocks: make(map[string]*blocker)}
	c.names = c.appNames()
	for _, app := range c.names {
		c.judgeApp(app)
	}
	c.judgeStores()
	c.judgeHost()
	c.fade()
	return c.judgement(), c.after
}

// court is one judgement in the making.
type court struct {
	Input
	before, after State
	names         []string
	rules         []rule
	blockers      map[string]*blocker // by server; one that is there and nil: none
	tableLocks    map[string]*blocker // the same
}

func (c *court) add(r rule) { c.rules = append(c.rules, r) }

// fade keeps what was not well and cannot be told any more, e.g. the share of
// errors where there are no requests, until that has been so for long.
func (c *court) fade() {
	seen := make(map[key]bool, len(c.rules))
	for i := range c.rules {
		seen[c.rules[i].key] = true
	}
	gone := slices.SortedFunc(maps.Keys(c.before.held), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.app, b.app), cmp.Compare(a.name, b.name), cmp.Compare(a.of, b.of))
	})
	for _, k := range gone {
		if !seen[k] && c.lives(k) {
			c.add(rule{key: k, component: c.before.held[k].component})
		}
	}
}

// lives reports whether there is still somebody to have a rule.
func (c *court) lives(k key) bool {
	switch k.name {
	case "mysql", "query_time", "connections":
		return slices.Contains(c.MySQL, k.of)
	case "redis", "cache_hit_rate":
		return slices.Contains(c.Redis, k.of)
	}
	return k.app == "" || slices.Contains(c.names, k.app)
}

// told is a finding with its advice.
type told struct {
	Finding
	advice []advice
	ended  *time.Time // when it was last seen; nil: it is present
}

// judgement steps all rules and puts what they say together.
func (c *court) judgement() Judgement {
	statuses := map[string]*Status{"": c.status("")}
	all := c.step(statuses)
	slices.SortStableFunc(all, func(a, b told) int { return cmp.Compare(b.Severity, a.Severity) })
	out := Judgement{At: c.At}
	var todo []advice
	for i := range all {
		switch t := &all[i]; {
		case t.ended != nil:
			out.recovering = append(out.recovering, Ended{t.Finding, *t.ended})
		case !t.told:
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
func (c *court) step(statuses map[string]*Status) []told {
	var all []told
	for i := range c.rules {
		r := &c.rules[i]
		h := c.before.held[r.key].step(r, c.At)
		s := statuses[r.app]
		if s == nil {
			s = c.status(r.app)
			statuses[r.app] = s
		}
		s.Components[r.component] = max(s.Components[r.component], h.level)
		if h.level == Healthy && (h.last.IsZero() || c.At.Sub(h.last) >= intervals*c.Interval) {
			continue
		}
		c.after.held[r.key] = h
		all = append(all, c.tell(r, &h))
	}
	return all
}

// tell returns the finding of a rule at this look: what is present, or what has
// ended.
func (c *court) tell(r *rule, h *held) told {
	t := told{Finding: Finding{r.app, Alert{r.title(), h.level, r.component, h.summary, h.since, r.told && h.level == r.level, r.of}}}
	if h.level == Healthy {
		last := h.last
		t.Severity, t.ended = h.worst, &last
	}
	if r.level > Healthy && r.advice != nil {
		t.advice = r.advice(c.At.Sub(h.since))
	}
	return t
}

// fill takes what concerns the app: its own, and full disks, which bound all.
func (s *Status) fill(all []told) {
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

func (c *court) status(app string) *Status {
	return &Status{App: app, Components: make(map[string]Level), Alerts: []Alert{}, Recovering: []Recovery{}, Recommendations: []string{}, LastCheck: c.At.UTC()}
}

func (k key) title() string {
	if k.of == "" {
		return k.name
	}
	return k.name + " " + k.of
}
