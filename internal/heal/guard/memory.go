package guard

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// The bounds of the state of the guards.
const (
	MaxDedup = 10_000        // alerts that are known again, and keys that were acted on
	actsFor  = 2 * time.Hour // for which the acts of a key are kept after the newest
	// MaxInRow is how often in a row an action may fail for a cause before it is a
	// person's to decide.
	MaxInRow  = 3
	maxCauses = 500 // actions and causes for which failures are kept; the oldest go
)

// Memory is the state of the guards. It outlives the process.
type Memory struct {
	dedup    map[string]time.Time   // until when an alert is a duplicate
	last     map[string]time.Time   // when a key was last acted on
	acts     map[string][]time.Time // when something was done to a key, the newest last
	applied  []time.Time            // all acts, for the budget
	failures map[string][]time.Time // by action
	inRow    map[string][]time.Time // failures since it helped last, by action and cause; a list is never changed, but replaced
	holds    map[string]action.Hold // temporary settings in force, by key
	calls    calls
}

// newMemory returns a memory without entries.
func newMemory() Memory {
	return Memory{
		dedup: make(map[string]time.Time), last: make(map[string]time.Time), acts: make(map[string][]time.Time),
		failures: make(map[string][]time.Time), inRow: make(map[string][]time.Time), calls: make(calls), holds: make(map[string]action.Hold),
	}
}

// began records that a step began to act on a key. Only the latest of these acts are
// kept.
func (m *Memory) began(key string, at time.Time) {
	m.last[key] = at
	if m.applied = append(m.applied, at); len(m.applied) > journal.MaxApplied {
		m.applied = slices.Delete(m.applied, 0, journal.MaxApplied/2)
	}
}

// did records that something was done to a key: a worker signalled, a
// connection ended.
func (m *Memory) did(key string, at time.Time) {
	m.acts[key] = insertTime(m.acts[key], at)
}

// failed records that an action did not help. Only the latest failures are kept.
func (m *Memory) failed(action string, at time.Time) {
	list := append(m.failures[action], at)
	m.failures[action] = list[max(0, len(list)-journal.MaxActs):]
}

// learn records whether an action helped against a cause.
func (m *Memory) learn(action, cause string, d journal.Decision, at time.Time) {
	key := action + "/" + cause
	switch d {
	case journal.DecisionVerified:
		delete(m.inRow, key)
	case journal.DecisionRefused, journal.DecisionUnavailable: // nothing was done
	default:
		list := insertTime(m.inRow[key], at)
		m.inRow[key] = list[max(0, len(list)-2*MaxInRow):]
		if len(m.inRow) > maxCauses {
			m.forgetOldestCause()
		}
	}
}

// forgetOldestCause removes the action and cause that failed longest ago.
func (m *Memory) forgetOldestCause() {
	oldest := ""
	for key, list := range m.inRow {
		if oldest == "" || list[len(list)-1].Before(m.inRow[oldest][len(m.inRow[oldest])-1]) {
			oldest = key
		}
	}
	delete(m.inRow, oldest)
}

// insertTime returns a new list with a time added in order, of the newest journal.MaxActs
// times. If the time is in the list, it returns the list itself.
func insertTime(list []time.Time, at time.Time) []time.Time {
	if slices.ContainsFunc(list, at.Equal) {
		return list
	}
	list = append(slices.Clone(list), at)
	slices.SortFunc(list, time.Time.Compare)
	return list[max(0, len(list)-journal.MaxActs):]
}

// cooldownUntil returns when a key may be acted on again, by the longest cooldown of the
// rules that could: two rules on one target share it. The zero time: it was not acted on.
// Without such a rule it is when the key was acted on.
func (m *Memory) cooldownUntil(set *Settings, key string) time.Time {
	last, ok := m.last[key]
	if !ok {
		return time.Time{}
	}
	var longest time.Duration
	for _, rl := range set.Rules {
		for _, s := range rl.Steps {
			if strings.HasPrefix(key, s.Action+"/") {
				longest = max(longest, rl.Cooldown)
			}
		}
	}
	return last.Add(longest)
}

// breakerUntil returns until when the breaker of an action is open: for br.Hold after the last
// of br.Failures failures within one br.Window. The zero time, or one that is past: it is
// closed. Failures that are too old to count are forgotten.
func (m *Memory) breakerUntil(br config.Breaker, action string, now time.Time) time.Time {
	// The first of the failures that opened it may be a window older than the last.
	recent := slices.DeleteFunc(m.failures[action], func(t time.Time) bool { return now.Sub(t) > br.Window+br.Hold })
	m.failures[action] = recent
	n := len(recent)
	if n < br.Failures || recent[n-1].Sub(recent[n-br.Failures]) > br.Window {
		return time.Time{}
	}
	return recent[n-1].Add(br.Hold)
}

// spent returns how many acts are within the time of the budget, of at most
// journal.MaxApplied that are kept, and forgets those before.
func (m *Memory) spent(b config.Budgets, now time.Time) int {
	m.applied = slices.DeleteFunc(m.applied, func(t time.Time) bool { return now.Sub(t) >= b.Per })
	return len(m.applied)
}

// forget removes keys whose cooldown is over, and acts that are long past.
func (m *Memory) forget(set *Settings, now time.Time) {
	maps.DeleteFunc(m.last, func(key string, _ time.Time) bool { return !m.cooldownUntil(set, key).After(now) })
	maps.DeleteFunc(m.acts, func(_ string, list []time.Time) bool { return now.Sub(list[len(list)-1]) > actsFor })
}

// hold records a temporary setting as it is now, if there is room for one more.
func (m *Memory) hold(key string, h action.Hold) {
	if _, ok := m.holds[key]; ok || len(m.holds) < action.MaxHolds {
		m.holds[key] = h
	}
}

// rememberRun records the acts of a run from one of its lines; before is the line ahead
// of it, nil for the first.
func (m *Memory) rememberRun(before, run *journal.Run) {
	known := 0
	if before != nil {
		known = len(before.Before)
	}
	for _, b := range run.Before[min(known, len(run.Before)):] {
		if b.Applied.IsZero() {
			continue
		}
		m.rememberAct(TargetKey(run.Rule, b.Action, b.Target), b.Applied, b.Done > 0 || b.Result == journal.DecisionVerified || b.Interrupted)
		m.rememberEnd(b.Action, b.Result, b.Ended)
		m.learn(b.Action, run.Alert.Cause(), b.Result, b.Ended)
	}
	if run.State == journal.DecisionEscalated {
		m.calls.add(run.Rule, run.Alert.Fingerprint)
	}
	if run.State == journal.DecisionVerified {
		m.calls.end(run.Rule, run.Alert.Fingerprint)
	}
	if run.Applied.IsZero() {
		return
	}
	m.rememberAct(TargetKey(run.Rule, run.Action, run.Target), run.Applied,
		run.Terminal() && (run.Done > 0 || run.State == journal.DecisionVerified || run.Interrupted))
	if run.Terminal() {
		at := run.Settled
		if at.IsZero() {
			at = run.Updated
		}
		m.rememberEnd(run.Action, run.State, at)
		m.learn(run.Action, run.Alert.Cause(), run.State, at)
	}
}

// rememberEnd records how a step that acted ended, as Settled does; a failure that is
// known is not counted twice.
func (m *Memory) rememberEnd(action string, result journal.Decision, at time.Time) {
	if result == journal.DecisionVerified {
		delete(m.failures, action)
		return
	}
	if result == journal.DecisionRefused || result == journal.DecisionUnavailable { // nothing was done
		return
	}
	m.failures[action] = insertTime(m.failures[action], at) // the file may have begun with it
}

// rememberAct records that a step began to act on a key; done reports whether it
// did something, or may have.
func (m *Memory) rememberAct(key string, at time.Time, done bool) {
	if done {
		m.did(key, at)
	}
	for _, t := range slices.Backward(m.applied) {
		if t.Equal(at) { // another line of the same step
			m.last[key] = laterOf(m.last[key], at)
			return
		}
	}
	last := laterOf(m.last[key], at)
	m.began(key, at)
	m.last[key] = last
}

// laterOf returns the later of two times.
func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// merge adds the state at the beginning of a file. Alerts are known until latest at most.
func (m *Memory) merge(g *journal.GuardState, latest time.Time) {
	for k, t := range g.Last {
		if t.After(m.last[k]) {
			m.last[k] = t
		}
	}
	for k, list := range g.Acts {
		for _, t := range list {
			m.did(k, t)
		}
	}
	m.mergeApplied(g.Applied)
	mergeTimes(m.failures, g.Failures)
	mergeTimes(m.inRow, g.InRow)
	for rule, alerts := range g.Calls {
		for _, fingerprint := range alerts {
			m.calls.add(rule, fingerprint)
		}
	}
	for k, h := range g.Holds {
		m.hold(k, h)
	}
	m.mergeKnown(g.Known, latest)
}

// mergeTimes adds the times of each key, in order.
func mergeTimes(into, from map[string][]time.Time) {
	for k, list := range from {
		for _, t := range list {
			into[k] = insertTime(into[k], t)
		}
	}
}

// mergeApplied adds the times that are not there yet, up to journal.MaxApplied.
func (m *Memory) mergeApplied(list []time.Time) {
	for _, t := range list {
		if len(m.applied) < journal.MaxApplied && !slices.ContainsFunc(m.applied, t.Equal) {
			m.applied = append(m.applied, t)
		}
	}
}

// mergeKnown adds alerts with their times, of which none is after latest, up to MaxDedup.
func (m *Memory) mergeKnown(known map[string]time.Time, latest time.Time) {
	for k, t := range known {
		if t.After(latest) {
			t = latest
		}
		if len(m.dedup) < MaxDedup && t.After(m.dedup[k]) {
			m.dedup[k] = t
		}
	}
}
