package heal

import (
	"fmt"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// rule is one rule of the configuration, ready to be used. A run keeps the one
// that it began with.
type rule struct {
	config.HealingRule

	match   map[string]func(string) bool
	actions []action.Action // one a step
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
			a, err := build(step)
			if err != nil {
				return nil, fmt.Errorf("rule %s: steps[%d]: %w", r.Name, i, err)
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
	return slices.IndexFunc(r.Steps, func(s config.HealingStep) bool { return s.Action == config.ActionEscalate })
}

// target returns what a step is about, as far as settings and labels say.
func (r *rule) target(step int, a action.Alert) string { return r.actions[step].Target(a) }

// dedupFor is how long an alert that was taken is known again: until after the
// cooldown, with room for a second sender that comes late.
func (r *rule) dedupFor() time.Duration { return r.Cooldown + 2*time.Minute }

// keyOf is what cooldown, lease and turn are kept by. URLs, commands and calls for
// a person have no name of their own, so their rule's stands in.
func keyOf(rule, action, target string) string {
	if target == "url" || target == "command" || target == "" {
		target += ":" + rule
	}
	return action + "/" + target
}
