package heal

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// guard asks each guard in turn whether an action may begin on a key now: ""
// if so, else the first that says no, and why. It is asked when an alert comes
// and again when its run begins; the fleet is asked only then, for that takes a
// round trip to its Redis. r.mu is held.
func (r *Runner) guard(action, key string, now time.Time) (journal.Decision, string) {
	b := r.set.Budgets
	switch mode := r.mode(); {
	case r.pause.On(now):
		return journal.DecisionPaused, "paused until " + r.pause.Until.UTC().Format(time.RFC3339) + ": " + r.pause.Reason
	case r.set.Mode == config.HealOff:
		return journal.DecisionOff, "the mode is off"
	case mode == config.HealOff:
		return "", "" // no journal: what needs one is refused when it is written
	}
	if left := r.started.Add(r.set.Warmup).Sub(now); left > 0 {
		return journal.DecisionWarmup, "the exporter started " + rounded(now.Sub(r.started)) + " ago and watches for " + rounded(left) + " more"
	}
	if until := r.breakerUntil(action, now); until.After(now) {
		return journal.DecisionBreaker, fmt.Sprintf("%s failed %d times or more within %s; it rests for %s more",
			action, r.set.Breaker.Failures, rounded(r.set.Breaker.Window), rounded(until.Sub(now)))
	}
	if left := r.cooling(key).Sub(now); left > 0 {
		return journal.DecisionCooldown, "the target was acted on " + rounded(now.Sub(r.last[key])) + " ago; the cooldown has " + rounded(left) + " left"
	}
	if n := r.spent(now); n >= b.MaxRuns {
		return journal.DecisionBudget, fmt.Sprintf("%d actions within %s are all that the budget allows", n, rounded(b.Per))
	}
	return "", ""
}

func rounded(d time.Duration) string { return d.Round(time.Second).String() }

// cooling is when a key may be acted on again, by the longest cooldown of the
// rules that could: two rules on one target share it. r.mu is held.
func (r *Runner) cooling(key string) time.Time {
	last, ok := r.last[key]
	if !ok {
		return time.Time{}
	}
	var longest time.Duration
	for _, rl := range r.set.rules {
		for _, s := range rl.Steps {
			if len(key) > len(s.Action) && key[:len(s.Action)+1] == s.Action+"/" {
				longest = max(longest, rl.Cooldown)
			}
		}
	}
	return last.Add(longest)
}

// breakerUntil is until when an action rests. r.mu is held.
func (r *Runner) breakerUntil(action string, now time.Time) time.Time {
	br := r.set.Breaker
	recent := slices.DeleteFunc(r.failures[action], func(t time.Time) bool { return now.Sub(t) > max(br.Window, br.Hold) })
	r.failures[action] = recent
	// The last of them within one window.
	n := len(recent)
	if n < br.Failures || recent[n-1].Sub(recent[n-br.Failures]) > br.Window {
		return time.Time{}
	}
	return recent[n-1].Add(br.Hold)
}

// spent counts the acts of the budget's time. r.mu is held.
func (r *Runner) spent(now time.Time) int {
	r.applied = slices.DeleteFunc(r.applied, func(t time.Time) bool { return now.Sub(t) >= r.set.Budgets.Per })
	return len(r.applied)
}

// acted notes that a step began to act. r.mu is held.
func (r *Runner) acted(key string, at time.Time) {
	r.memory.acted(key, at)
	if len(r.last) > maxDedup || len(r.acts) > maxDedup {
		r.forgetLast(at)
	}
}

// actsOf returns when an action was done, the oldest first, by target.
func (r *Runner) actsOf(action string) map[string][]time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string][]time.Time)
	for key, list := range r.acts { // a list is never changed, but replaced
		if target, ok := strings.CutPrefix(key, action+"/"); ok {
			out[target] = list
		}
	}
	return out
}

func (r *Runner) forgetLast(now time.Time) {
	for k := range r.last {
		if !r.cooling(k).After(now) {
			delete(r.last, k)
		}
	}
	for k, list := range r.acts {
		if now.Sub(list[len(list)-1]) > actsFor {
			delete(r.acts, k)
		}
	}
}

// fleetGuard tells why the fleet keeps an action from being done; "": it does not.
func fleetGuard(f Fleet, action string, b config.Budgets) string {
	n := max(f.Firing, f.Repairing)
	switch {
	case f.Members < 1 || n < 1:
		return "the fleet's Redis does not know of this exporter"
	case float64(n) > b.FleetMaxFraction*float64(f.Members):
		return fmt.Sprintf("%d of %d exporters are asked for %s or carry it out; more than a part of %v has a common cause", n, f.Members, action, b.FleetMaxFraction)
	case f.Members-n < b.FleetMinHealthy:
		return fmt.Sprintf("%d of %d exporters would be left without %s, fewer than %d", f.Members-n, f.Members, action, b.FleetMinHealthy)
	}
	return ""
}
