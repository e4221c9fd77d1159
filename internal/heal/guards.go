package heal

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

const (
	// Plans that dry-run makes for one rule: who may send alerts without a token could
	// fill the journal with them.
	maxPlans = 60
	plansPer = time.Hour
)

// guards have the state of breakers, cooldowns, budgets and de-duplication.
type guards struct {
	mu      sync.Mutex
	memory  memory
	planned map[string][]time.Time // dry-run's plans, by rule
}

func newGuards() *guards {
	return &guards{memory: newMemory(), planned: make(map[string][]time.Time)}
}

// check returns the first of breaker, cooldown and budget that keeps an action from a
// key now, and why; "": none does.
func (g *guards) check(set *settings, action, key string, now time.Time) (journal.Decision, string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := &g.memory
	if until := m.breakerUntil(set.Breaker, action, now); until.After(now) {
		return journal.DecisionBreaker, fmt.Sprintf("%s failed %d times or more within %s; its breaker is open for %s more",
			action, set.Breaker.Failures, rounded(set.Breaker.Window), rounded(until.Sub(now)))
	}
	if left := m.cooldownUntil(set, key).Sub(now); left > 0 {
		return journal.DecisionCooldown, "the target was acted on " + rounded(now.Sub(m.last[key])) + " ago; the cooldown has " + rounded(left) + " left"
	}
	if n := m.spent(set.Budgets, now); n >= set.Budgets.MaxRuns {
		return journal.DecisionBudget, fmt.Sprintf("the budget of actions is used up: %d within %s", n, rounded(set.Budgets.Per))
	}
	return "", ""
}

func rounded(d time.Duration) string { return d.Round(time.Second).String() }

// isDuplicate reports whether an alert was accepted before, within its window.
func (g *guards) isDuplicate(key string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.memory.dedup[key].After(now)
}

// dedupSize returns how many alerts are kept for de-duplication.
func (g *guards) dedupSize() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.memory.dedup)
}

// accepted makes an alert a duplicate until a moment, and counts the plan that will be
// made for it.
func (g *guards) accepted(key, rule string, until, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.memory.dedup[key] = until
	list := append(g.planned[rule], now)
	g.planned[rule] = list[max(0, len(list)-maxPlans):]
}

// plansLeft returns how many plans dry-run may still make for a rule.
func (g *guards) plansLeft(rule string, now time.Time) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	recent := slices.DeleteFunc(g.planned[rule], func(t time.Time) bool { return now.Sub(t) >= plansPer })
	g.planned[rule] = recent
	return maxPlans - len(recent)
}

// prune removes what is over: alerts that are no duplicates any more.
func (g *guards) prune(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.memory.dedup, func(_ string, until time.Time) bool { return !until.After(now) })
}

// began notes that a step begins to act on a key.
func (g *guards) began(set *settings, key string, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.memory.began(key, at)
	if len(g.memory.last) > maxDedup || len(g.memory.acts) > maxDedup {
		g.memory.forget(set, at)
	}
}

// did notes that something was done to a key, or may have been.
func (g *guards) did(key string, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.memory.did(key, at)
}

// escalated starts the cooldown of a rule that only calls for a person.
func (g *guards) escalated(key string, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.memory.last[key] = at
}

// settled notes how a step that acted ended. One that its action refused is none.
func (g *guards) settled(run journal.Run, d journal.Decision, now time.Time) {
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

// actsOf returns when an action was done, the oldest first, by target.
func (g *guards) actsOf(action string) map[string][]time.Time {
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

// needPerson notes that a rule needs a person for the alert of a fingerprint.
func (g *guards) needPerson(rule, fingerprint string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.memory.human[rule] = fingerprint
}

// resolved reports whether a rule needed a person for an alert, and no longer does.
func (g *guards) resolved(rule, fingerprint string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if needed, ok := g.memory.human[rule]; !ok || needed != fingerprint {
		return false
	}
	delete(g.memory.human, rule)
	return true
}

// keepRules forgets which rules need a person that are no longer in the settings.
func (g *guards) keepRules(set *settings) {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.memory.human, func(rule, _ string) bool { return set.ruleNamed(rule) == nil })
}

// rulesInNeed returns the rules that need a person, sorted.
func (g *guards) rulesInNeed() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(maps.Keys(g.memory.human))
}

// openBreakers returns the actions whose breaker is open, sorted.
func (g *guards) openBreakers(set *settings, now time.Time) (open []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, action := range slices.Sorted(maps.Keys(g.memory.failures)) {
		if g.memory.breakerUntil(set.Breaker, action, now).After(now) {
			open = append(open, action)
		}
	}
	return open
}

// restore replaces the state by that of the journal.
func (g *guards) restore(set *settings, m memory, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m.forget(set, now)
	g.memory = m
}

// entries returns the lines with which a file of the journal begins.
func (g *guards) entries(set *settings, now time.Time) []journal.Entry {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.memory.entries(set, now)
}
