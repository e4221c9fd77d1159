package heal

import (
	"fmt"
	"regexp"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// rule is one rule of the configuration, ready to be used. A run keeps the one
// that it began with.
type rule struct {
	config.HealingRule

	match   map[string]func(string) bool
	actions []action.Action // one a step; nil for escalate
}

// settings are what one configuration says. They are never changed.
type settings struct {
	config.Healing

	rules []*rule
}

// compile makes settings of a checked section; build makes the action of a step.
func compile(h config.Healing, build func(config.HealingStep) (action.Action, error)) (*settings, error) {
	s := &settings{Healing: h}
	for _, r := range h.Rules {
		c := &rule{HealingRule: r, match: make(map[string]func(string) bool, len(r.Match))}
		for label, want := range r.Match {
			f, err := config.MatchValue(want)
			if err != nil {
				return nil, fmt.Errorf("rule %s: match.%s: %w", r.Name, label, err)
			}
			c.match[label] = f
		}
		for i, step := range r.Steps {
			var a action.Action
			if step.Action != config.ActionEscalate {
				var err error
				if a, err = build(step); err != nil {
					return nil, fmt.Errorf("rule %s: steps[%d]: %w", r.Name, i, err)
				}
			}
			c.actions = append(c.actions, a)
		}
		s.rules = append(s.rules, c)
	}
	return s, nil
}

// used reports whether the section asks for anything to be kept: without it no
// state directory is touched.
func (s *settings) used() bool { return len(s.rules) > 0 || s.TokenFile != "" }

// find returns the first rule for an alert; nil: none is.
func (s *settings) find(a action.Alert) *rule {
	for _, r := range s.rules {
		if r.takes(a) {
			return r
		}
	}
	return nil
}

func (s *settings) named(name string) *rule {
	for _, r := range s.rules {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// takes reports whether each label is as the rule wants it. One that has no
// matcher takes nothing: an empty selector must never mean everything.
func (r *rule) takes(a action.Alert) bool {
	for label, ok := range r.match {
		if !ok(a.Labels[label]) {
			return false
		}
	}
	return len(r.match) > 0
}

// escalates returns the step that calls for a person; -1: none does.
func (r *rule) escalates() int {
	for i, a := range r.actions {
		if a == nil {
			return i
		}
	}
	return -1
}

// dedupFor is how long an alert that was taken is known again: until after the
// cooldown, with room for a second sender that comes late.
func (r *rule) dedupFor() time.Duration { return r.Cooldown + 2*time.Minute }

// plainName is what may stand in a target: no label's value gets further than a
// comparison with known names.
var plainName = regexp.MustCompile(`^[A-Za-z0-9._:@/~-]+$`)

// targetOf says what a step is about as far as its settings and the alert's
// labels tell, before anything was looked at; "?" stands for what only the plan
// will know.
func targetOf(s config.HealingStep, a action.Alert) string {
	pick := func(setting, label string) string {
		switch v := a.Labels[label]; {
		case setting != "":
			return setting
		case text.Matches(plainName, v, 128):
			return v
		}
		return "?"
	}
	switch {
	case s.KillLeaked != nil:
		return "app:" + pick(s.KillLeaked.App, "app") + "/pool:" + pick(s.KillLeaked.Pool, "pool")
	case s.KillLong != nil:
		return "mysql:" + pick(s.KillLong.MySQL, "mysql")
	case s.Recycle != nil:
		return "app:" + pick(s.Recycle.App, "app") + "/workers"
	case s.Purge != nil:
		return "app:" + pick(s.Purge.App, "app") + "/redis:" + pick(s.Purge.Redis, "redis")
	case s.RestartTask != nil:
		return "app:" + pick(s.RestartTask.App, "app") + "/queue:" + pick(s.RestartTask.Queue, "queue")
	case s.CallHTTP != nil:
		return "url"
	case s.RunCommand != nil:
		return "command"
	}
	return ""
}

// keyOf is what cooldown, lease and turn are kept by. URLs, commands and calls for
// a person have no name of their own, so their rule's stands in.
func keyOf(rule, action, target string) string {
	if target == "url" || target == "command" || target == "" {
		target += ":" + rule
	}
	return action + "/" + target
}
