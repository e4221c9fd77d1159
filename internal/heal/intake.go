package heal

import (
	"context"
	"fmt"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/guard"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// intake decides on each alert that is received.
type intake struct {
	*state

	serial chan struct{} // one notification at a time
}

func newIntake(s *state) *intake { return &intake{state: s, serial: make(chan struct{}, 1)} }

// batch is what one notification starts, before it is written to the journal.
type batch struct {
	set     *guard.Settings
	now     time.Time
	entries []journal.Entry
	runs    []*execution
	keys    map[string]bool // of runs: what they are known again by, and their guard keys
	full    bool
}

// lock keeps notifications out until unlock is called.
func (in *intake) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case in.serial <- struct{}{}:
		return func() { <-in.serial }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// take implements [Runner.Take].
func (in *intake) take(ctx context.Context, alerts []action.Alert) ([]journal.Decision, error) {
	unlock, err := in.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	b := &batch{set: in.settings(), now: time.Now(), keys: make(map[string]bool)}
	if in.guards.DedupSize() > guard.MaxDedup/2 {
		in.guards.Prune(b.now)
	}
	out := make([]journal.Decision, len(alerts))
	for i, a := range alerts {
		out[i] = in.decide(b, a)
	}
	err = in.storage.append(b.entries...)
	if err == nil {
		in.commit(b)
	}
	for i, d := range out {
		if err != nil && d == journal.DecisionQueued {
			out[i], d = journal.DecisionUnwritten, journal.DecisionUnwritten
		}
		in.count.countAlert(d)
	}
	in.poke()
	switch {
	case err != nil && len(b.runs) > 0:
		return out, err
	case b.full:
		return out, ErrFull
	}
	return out, nil
}

// decide returns the decision on one alert, from the first guard that applies. A run
// that starts is added to the batch.
func (in *intake) decide(b *batch, a action.Alert) journal.Decision {
	id := b.set.Identity
	if id.Label != "" && a.Labels[id.Label] != id.Value {
		return journal.DecisionNotMine
	}
	in.firing.update(a, b.now)
	rl := b.set.RuleFor(a)
	if rl == nil {
		return journal.DecisionUnmatched
	}
	if a.Resolved {
		in.resolve(b, rl, a)
		return journal.DecisionResolved
	}
	key, subject := rl.FirstKey(a), journal.SubjectOf(a)
	known := subject.DedupKey(rl.Name, key)
	if in.guards.IsDuplicate(known, b.now) || b.keys[known] || in.runs.busy(key) || b.keys[key] {
		return journal.DecisionDuplicate
	}
	if d, why := in.checkGuards(rl.Steps[0].Action, key, b.now); d != "" {
		return in.blocked(rl, d, why)
	}
	if why := in.tooManyPlans(b, rl); why != "" {
		return in.blocked(rl, journal.DecisionBudget, why)
	}
	if in.isFull(b, rl) || in.guards.DedupSize()+len(b.runs) >= guard.MaxDedup {
		b.full = true
		return journal.DecisionQueueFull // nothing of it is remembered
	}
	run := journal.Run{
		ID: journal.NewRunID(), Rule: rl.Name, Alert: subject, State: journal.DecisionQueued, Created: b.now, Updated: b.now,
		Action: rl.Steps[0].Action, Target: rl.Actions[0].Target(a),
	}
	b.runs = append(b.runs, newExecution(run, rl, a))
	b.keys[known], b.keys[key] = true, true
	b.entries = append(b.entries, journal.EntryOf(&run))
	return journal.DecisionQueued
}

// blocked logs why an alert started no run.
func (in *intake) blocked(rl *guard.Rule, d journal.Decision, why string) journal.Decision {
	in.log.Debug("Alert did not start a run", "rule", rl.Name, "decision", string(d), "reason", why)
	return d
}

// commit queues what was written to the journal.
func (in *intake) commit(b *batch) {
	for _, e := range b.runs {
		run := e.snapshot()
		in.guards.Accepted(run.Alert.DedupKey(e.rule.Name, e.rule.FirstKey(e.alert)), e.rule.Name, b.now.Add(e.rule.DedupWindow()), b.now)
		in.index.publish(run)
	}
	in.runs.enqueue(b.runs...)
}

// resolve cancels what has not begun for an alert. What acts goes on: to be cut off in
// the middle is worse than to be late.
func (in *intake) resolve(b *batch, rl *guard.Rule, a action.Alert) {
	if s := journal.SubjectOf(a); in.guards.Resolved(rl.Name, s.Fingerprint) {
		b.entries = append(b.entries, journal.Entry{At: b.now, Decision: journal.DecisionResolved, Rule: rl.Name, Alert: &s})
	}
	for _, run := range in.runs.cancel(rl.Name, a.Fingerprint, "the alert was resolved", b.now) {
		b.entries = append(b.entries, journal.EntryOf(&run))
		in.index.publish(run)
		in.count.countStep(RunKey{run.Rule, run.Action, journal.DecisionCancelled}, 0, b.now)
	}
}

// tooManyPlans returns why no further plan is made in dry-run for a rule; "": one is.
func (in *intake) tooManyPlans(b *batch, rl *guard.Rule) string {
	left := in.guards.PlansLeft(rl.Name, b.now)
	for _, e := range b.runs {
		if e.rule.Name == rl.Name {
			left--
		}
	}
	if in.storage.mode(b.set) == config.HealDryRun && left <= 0 {
		return fmt.Sprintf("dry-run limit: at most %d plans for a rule within %s", guard.MaxPlans, guard.PlansPer)
	}
	return ""
}

// isFull reports whether the queue has no place for a run of a rule. A rule that has
// one there leaves a place for each of the others, up to half of all, so that alerts
// of one rule do not keep out those of the others.
func (in *intake) isFull(b *batch, rl *guard.Rule) bool {
	n, waiting := in.runs.queued()
	for _, e := range b.runs {
		waiting[e.rule.Name] = true
	}
	places := b.set.QueueSize
	if waiting[rl.Name] {
		idle := 0
		for _, other := range b.set.Rules {
			if !waiting[other.Name] {
				idle++
			}
		}
		places -= min(idle, places/2)
	}
	return n+len(b.runs) >= places
}
