// Package guard has the rules of healing and what keeps their actions from being done:
// breakers, cooldowns, budgets and de-duplication, with the recovery of their state from
// the journal.
package guard

import (
	"fmt"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// Rule is one rule of the configuration with its actions built. A run keeps the one
// that it began with.
type Rule struct {
	config.HealingRule

	match   map[string]func(string) bool
	Actions []action.Action // one a step
}

// Settings are the section healing of one configuration. They are never changed.
type Settings struct {
	config.Healing

	Rules []*Rule
}

// Compile returns the settings of a checked section. build returns the action of a step.
// The error names the rule, or the step that build cannot build.
func Compile(h config.Healing, build func(config.HealingStep) (action.Action, error)) (*Settings, error) {
	s := &Settings{Healing: h}
	for _, r := range h.Rules {
		c := &Rule{HealingRule: r, match: make(map[string]func(string) bool, len(r.Match))}
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
			c.Actions = append(c.Actions, a)
		}
		s.Rules = append(s.Rules, c)
	}
	return s, nil
}

// Used reports whether the section has rules or a token: without either the state
// directory is never opened.
func (s *Settings) Used() bool { return len(s.Rules) > 0 || s.TokenFile != "" }

// RuleFor returns the first rule that matches an alert; nil if none does.
func (s *Settings) RuleFor(a action.Alert) *Rule {
	for _, r := range s.Rules {
		if r.matches(a) {
			return r
		}
	}
	return nil
}

// RuleNamed returns the rule of a name; nil if there is none.
func (s *Settings) RuleNamed(name string) *Rule {
	for _, r := range s.Rules {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// dedupWindow returns the longest of the rules' windows; 0 without a rule.
func (s *Settings) dedupWindow() (longest time.Duration) {
	for _, r := range s.Rules {
		longest = max(longest, r.DedupWindow())
	}
	return longest
}

// matches reports whether each label of an alert is as the rule wants it; a missing one counts as
// empty. A rule without matchers matches nothing: an empty selector must never mean everything.
func (r *Rule) matches(a action.Alert) bool {
	for label, ok := range r.match {
		if !ok(a.Labels[label]) {
			return false
		}
	}
	return len(r.match) > 0
}

// Escalation returns the index of the rule's step escalate; -1 if it has none.
func (r *Rule) Escalation() int {
	return slices.IndexFunc(r.Steps, func(s config.HealingStep) bool { return s.Action == config.ActionEscalate })
}

// DedupWindow returns for how long an alert is a duplicate of one that was accepted: for
// the cooldown and two minutes, as a second sender may come late.
func (r *Rule) DedupWindow() time.Duration { return r.Cooldown + 2*time.Minute }

// FirstKey returns the guard key of the first step, as far as settings and labels name its
// target; [action.TargetName] has what stands for the rest.
func (r *Rule) FirstKey(a action.Alert) string {
	return TargetKey(r.Name, r.Steps[0].Action, r.Actions[0].Target(a))
}

// TargetKey returns the key of cooldowns and leases: "action/target". URLs, commands and
// calls for a person have no name of their own, so ":" and their rule's name are added.
func TargetKey(rule, action, target string) string {
	if target == "url" || target == "command" || target == "" {
		target += ":" + rule
	}
	return action + "/" + target
}
