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

// NewGuards returns guards that remember nothing, so that they block nothing.
func NewGuards() *Guards {
	return &Guards{memory: newMemory(), planned: make(map[string][]time.Time)}
}

// Check returns the first of breaker, cooldown and budget that blocks an action on a key
// now, and why as a sentence; "" and "": none does.
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

// IsDuplicate reports whether an alert with this key was accepted before, and its window
// is not over.
func (g *Guards) IsDuplicate(key string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.memory.dedup[key].After(now)
}

// DedupSize returns how many alerts are kept for de-duplication, also those that are over
// and not pruned yet.
func (g *Guards) DedupSize() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.memory.dedup)
}

// Accepted records that an alert was accepted: it is a duplicate until a moment, and
// counts as one plan of the rule.
func (g *Guards) Accepted(key, rule string, until, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.memory.dedup[key] = until
	list := append(g.planned[rule], now)
	g.planned[rule] = list[max(0, len(list)-MaxPlans):]
}

// PlansLeft returns how many plans dry-run may still make for a rule now: MaxPlans without
// those of the last PlansPer.
func (g *Guards) PlansLeft(rule string, now time.Time) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	recent := slices.DeleteFunc(g.planned[rule], func(t time.Time) bool { return now.Sub(t) >= PlansPer })
	g.planned[rule] = recent
	return MaxPlans - len(recent)
}

// Prune removes the alerts that are no duplicates any more.
func (g *Guards) Prune(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.memory.dedup, func(_ string, until time.Time) bool { return !until.After(now) })
}

// Began records that a step begins to act on a key, for cooldown and budget.
func (g *Guards) Began(set *Settings, key string, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.memory.began(key, at)
	if len(g.memory.last) > MaxDedup || len(g.memory.acts) > MaxDedup {
		g.memory.forget(set, at)
	}
}

// Did records that something was done to a key, or may have been, for [Guards.ActsOf].
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

// Settled records how a step that acted ended, and whether it helped. One that its action
// refused, or could not do here, is no failure; one that only observed is verified and did
// not help.
func (g *Guards) Settled(run journal.Run, d journal.Decision, helped bool, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch d {
	case journal.DecisionVerified:
		delete(g.memory.failures, run.Action)
		if helped {
			g.memory.calls.end(run.Rule, run.Alert.Fingerprint)
		}
	case journal.DecisionRefused, journal.DecisionUnavailable:
	default:
		g.memory.failed(run.Action, now)
	}
	g.memory.learn(run.Action, run.Alert.Cause(), d, now)
}

// FailedInRow returns how often in a row an action failed for a cause, since it helped
// last; at most twice MaxInRow are counted. 0 too if it is not kept any more.
func (g *Guards) FailedInRow(action, cause string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.memory.inRow[action+"/"+cause])
}

// ActsOf returns when an action was done, the oldest first, by target: the last
// journal.MaxActs times of each. The caller must not change the lists.
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
	g.memory.calls.add(rule, fingerprint)
}

// Resolved reports whether a rule needed a person for an alert, and ends that need. It is
// false too for a need that was not kept, beyond maxCalls.
func (g *Guards) Resolved(rule, fingerprint string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.memory.calls.end(rule, fingerprint)
}

// KeepRules removes the calls for a person of rules that are no longer in the settings.
func (g *Guards) KeepRules(set *Settings) {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.memory.calls, func(rule string, _ map[string]bool) bool { return set.RuleNamed(rule) == nil })
}

// RulesInNeed returns the names of the rules that need a person, sorted.
func (g *Guards) RulesInNeed() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(maps.Keys(g.memory.calls))
}

// OpenBreakers returns the names of the actions whose breaker is open, sorted; nil: of none.
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

// Restore replaces all that the guards remember by what the journal says, without what is
// over.
func (g *Guards) Restore(set *Settings, m Memory, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m.forget(set, now)
	g.memory = m
}

// Entries returns the lines with which a new file of the journal begins, at least one: all
// that the guards remember, without acts, cooldowns and duplicates that are over.
func (g *Guards) Entries(set *Settings, now time.Time) []journal.Entry {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.memory.entries(set, now)
}
