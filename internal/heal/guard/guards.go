package guard

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// The bounds of the plans that dry-run makes for one rule: who may send alerts without a
// token could fill the journal with them.
const (
	MaxPlans = 60
	PlansPer = time.Hour // for which they are counted
)

// Guards have the state of breakers, cooldowns, budgets and de-duplication.
type Guards struct {
	mu      sync.Mutex
	memory  Memory
	planned map[string][]time.Time // dry-run's plans, by rule
}

// NewGuards returns guards without a state.
func NewGuards() *Guards {
	return &Guards{memory: newMemory(), planned: make(map[string][]time.Time)}
}

// Check returns the first of breaker, cooldown and budget that keeps an action from a
// key now, and why; "": none does.
func (g *Guards) Check(set *Settings, action, key string, now time.Time) (journal.Decision, string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := &g.memory
	if until := m.breakerUntil(set.Breaker, action, now); until.After(now) {
		return journal.DecisionBreaker, fmt.Sprintf("%s failed %d times or more within %s; its breaker is open for %s more",
			action, set.Breaker.Failures, Rounded(set.Breaker.Window), Rounded(until.Sub(now)))
	}
	if left := m.cooldownUntil(set, key).Sub(now); left > 0 {
		return journal.DecisionCooldown, "the last action on the target was " + Rounded(now.Sub(m.last[key])) + " ago; the cooldown has " + Rounded(left) + " left"
	}
	if n := m.spent(set.Budgets, now); n >= set.Budgets.MaxRuns {
		return journal.DecisionBudget, fmt.Sprintf("the action budget is used up: %d within %s", n, Rounded(set.Budgets.Per))
	}
	return "", ""
}

// Rounded returns a duration as text, in whole seconds.
func Rounded(d time.Duration) string { return d.Round(time.Second).String() }

// IsDuplicate reports whether an alert was accepted before, within its window.
func (g *Guards) IsDuplicate(key string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.memory.dedup[key].After(now)
}

// DedupSize returns how many alerts are kept for de-duplication.
func (g *Guards) DedupSize() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.memory.dedup)
}

// Accepted records an alert as a duplicate until a moment, and the plan that will be
// made for it.
func (g *Guards) Accepted(key, rule string, until, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.memory.dedup[key] = until
	list := append(g.planned[rule], now)
	g.planned[rule] = list[max(0, len(list)-MaxPlans):]
}

// PlansLeft returns how many plans dry-run may still make for a rule.
func (g *Guards) PlansLeft(rule string, now time.Time) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	recent := slices.DeleteFunc(g.planned[rule], func(t time.Time) bool { return now.Sub(t) >= PlansPer })
	g.planned[rule] = recent
	return MaxPlans - len(recent)
}

// Prune removes what is over: alerts that are no duplicates any more.
func (g *Guards) Prune(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.memory.dedup, func(_ string, until time.Time) bool { return !until.After(now) })
}

// Began records that a step begins to act on a key.
func (g *Guards) Began(set *Settings, key string, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.memory.began(key, at)
	if len(g.memory.last) > MaxDedup || len(g.memory.acts) > MaxDedup {
		g.memory.forget(set, at)
	}
}

// Did records that something was done to a key, or may have been.
func (g *Guards) Did(key string, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.memory.did(key, at)
}

// Escalated starts the cooldown of a rule that only calls for a person.
func (g *Guards) Escalated(key string, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.memory.last[key] = at
}

// Settled records how a step that acted ended. One that its action refused is none.
func (g *Guards) Settled(run journal.Run, d journal.Decision, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch d {
	case journal.DecisionVerified:
		delete(g.memory.failures, run.Action)
		delete(g.memory.human, run.Rule)
	case journal.DecisionRefused:
	default:
		g.memory.failed(run.Action, now)
	}
}

// ActsOf returns when an action was done, the oldest first, by target.
func (g *Guards) ActsOf(action string) map[string][]time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make(map[string][]time.Time)
	for key, list := range g.memory.acts { // a list is never changed, but replaced
		if target, ok := strings.CutPrefix(key, action+"/"); ok {
			out[target] = list
		}
	}
	return out
}

// NeedPerson records that a rule needs a person for the alert of a fingerprint.
func (g *Guards) NeedPerson(rule, fingerprint string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.memory.human[rule] = fingerprint
}

// Resolved reports whether a rule needed a person for an alert, and no longer does.
func (g *Guards) Resolved(rule, fingerprint string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if needed, ok := g.memory.human[rule]; !ok || needed != fingerprint {
		return false
	}
	delete(g.memory.human, rule)
	return true
}

// KeepRules forgets which rules need a person that are no longer in the settings.
func (g *Guards) KeepRules(set *Settings) {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.memory.human, func(rule, _ string) bool { return set.RuleNamed(rule) == nil })
}

// RulesInNeed returns the rules that need a person, sorted.
func (g *Guards) RulesInNeed() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(maps.Keys(g.memory.human))
}

// OpenBreakers returns the actions whose breaker is open, sorted.
func (g *Guards) OpenBreakers(set *Settings, now time.Time) (open []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, action := range slices.Sorted(maps.Keys(g.memory.failures)) {
		if g.memory.breakerUntil(set.Breaker, action, now).After(now) {
			open = append(open, action)
		}
	}
	return open
}

// Restore replaces the state by that of the journal.
func (g *Guards) Restore(set *Settings, m Memory, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m.forget(set, now)
	g.memory = m
}

// Entries returns the lines with which a file of the journal begins.
func (g *Guards) Entries(set *Settings, now time.Time) []journal.Entry {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.memory.entries(set, now)
}
