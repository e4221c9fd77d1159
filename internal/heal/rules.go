package heal

import (
	"fmt"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// rule is one rule of the configuration with its actions built. A run keeps the one
// that it began with.
type rule struct {
	config.HealingRule

	match   map[string]func(string) bool
	actions []action.Action // one a step
}

// settings are the section healing of one configuration. They are never changed.
type settings struct {
	config.Healing

	rules []*rule
}

// compile returns the settings of a checked section; build returns the action of a
// step.
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

// used reports whether the section has rules or a token: without either the state
// directory is never opened.
func (s *settings) used() bool { return len(s.rules) > 0 || s.TokenFile != "" }

// ruleFor returns the first rule that matches an alert, or nil.
func (s *settings) ruleFor(a action.Alert) *rule {
	for _, r := range s.rules {
		if r.matches(a) {
			return r
		}
	}
	return nil
}

// ruleNamed returns the rule of a name, or nil.
func (s *settings) ruleNamed(name string) *rule {
	for _, r := range s.rules {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// dedupWindow returns the longest of the rules' windows.
func (s *settings) dedupWindow() (longest time.Duration) {
	for _, r := range s.rules {
		longest = max(longest, r.dedupWindow())
	}
	return longest
}

// matches reports whether each label of an alert is as the rule wants it. A rule
// without matchers matches nothing: an empty selector must never mean everything.
func (r *rule) matches(a action.Alert) bool {
	for label, ok := range r.match {
		if !ok(a.Labels[label]) {
			return false
		}
	}
	return len(r.match) > 0
}

// escalation returns the index of the step escalate; -1: the rule has none.
func (r *rule) escalation() int {
	return slices.IndexFunc(r.Steps, func(s config.HealingStep) bool { return s.Action == config.ActionEscalate })
}

// dedupWindow returns for how long an alert is a duplicate of one that was accepted:
// the cooldown, and two minutes for a second sender that comes late.
func (r *rule) dedupWindow() time.Duration { return r.Cooldown + 2*time.Minute }

// firstKey returns the guard key of the first step, as far as settings and labels
// tell its target.
func (r *rule) firstKey(a action.Alert) string {
	return targetKey(r.Name, r.Steps[0].Action, r.actions[0].Target(a))
}

// targetKey returns the key of cooldowns and leases: the action and its target. URLs,
// commands and calls for a person have no name of their own, so their rule's is added.
func targetKey(rule, action, target string) string {
	if target == "url" || target == "command" || target == "" {
		target += ":" + rule
	}
	return action + "/" + target
}
