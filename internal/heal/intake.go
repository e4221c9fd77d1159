package heal

import (
	"context"
	"fmt"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/counts"
	"github.com/resp-exporter/resp-exporter/internal/heal/guard"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// intake decides on each alert that is received.
type intake struct {
	*state

	serial chan struct{}        // one notification at a time
	told   map[notice]time.Time // when an alert without a run was last logged; serial guards it
}

// notice is what is logged once per tellEvery about alerts that start no run. Its rule is
// one of the configuration, or "" if no rule was looked for.
type notice struct {
	rule     string
	decision journal.Decision
}

const (
	tellEvery = time.Hour
	maxTold   = 1000 // rules may come and go with each reload
)

func newIntake(s *state) *intake {
	return &intake{state: s, serial: make(chan struct{}, 1), told: make(map[notice]time.Time)}
}

// batch is what one notification starts, before it is written to the journal.
type batch struct {
	set     *guard.Settings
	now     time.Time
	entries []journal.Entry
	runs    []*execution
	keys    map[string]bool // of runs: what they are known again by, and their guard keys
	full    bool
}

// lock acquires the intake's lock, so that no notification is accepted until unlock is
// called. It fails only if ctx ends first.
func (in *intake) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case in.serial <- struct{}{}:
		return func() { <-in.serial }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// take implements [Runner.Take]: one decision for each alert, in order, also with an error; none if ctx ends first.
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
		in.count.Alert(d)
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

// decide returns queued for an alert that starts a run, which is only added to the batch (commit queues it once it is
// written), else why not: not this exporter's, no rule, resolved, duplicate (or its target is busy), a guard, full.
func (in *intake) decide(b *batch, a action.Alert) journal.Decision {
	id := b.set.Identity
	if id.Label != "" && a.Labels[id.Label] != id.Value {
		return in.blocked(b, "", journal.DecisionNotMine, fmt.Sprintf("its label %s is %q, and healing.identity is %q", id.Label, text.Clip(a.Labels[id.Label], action.MaxText), id.Value))
	}
	in.firing.Update(a, b.now)
	rl := b.set.RuleFor(a)
	if rl == nil {
		in.log.Debug("Alert did not start a run", "decision", string(journal.DecisionUnmatched), "alertname", text.Clip(a.Labels["alertname"], action.MaxText))
		return journal.DecisionUnmatched
	}
	if a.Resolved {
		in.resolve(b, rl, a)
		return journal.DecisionResolved
	}
	key, subject := rl.FirstKey(a), journal.SubjectOf(a)
	known := subject.DedupKey(rl.Name, key)
	if in.guards.IsDuplicate(known, b.now) || b.keys[known] || in.runs.busy(key) || b.keys[key] {
		in.log.Debug("Alert did not start a run", "rule", rl.Name, "decision", string(journal.DecisionDuplicate))
		return journal.DecisionDuplicate
	}
	if d, why := in.checkGuards(rl.Steps[0].Action, key, b.now); d != "" {
		return in.blocked(b, rl.Name, d, why)
	}
	if why := in.tooManyPlans(b, rl); why != "" {
		return in.blocked(b, rl.Name, journal.DecisionBudget, why)
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

// blocked logs why an alert started no run, and returns the decision. Each decision about
// a rule is logged at level info once an hour, since whoever sends an alert may send many.
func (in *intake) blocked(b *batch, rule string, d journal.Decision, why string) journal.Decision {
	log, n := in.log.Debug, notice{rule, d}
	if at, ok := in.told[n]; !ok || b.now.Sub(at) >= tellEvery {
		if len(in.told) >= maxTold {
			clear(in.told)
		}
		log, in.told[n] = in.log.Info, b.now
	}
	log("Alert did not start a run", "rule", rule, "decision", string(d), "reason", why)
	return d
}

// commit queues the runs of a batch, once they are in the journal, and records their
// alerts as accepted.
func (in *intake) commit(b *batch) {
	for _, e := range b.runs {
		run := e.snapshot()
		in.guards.Accepted(run.Alert.DedupKey(e.rule.Name, e.rule.FirstKey(e.alert)), e.rule.Name, b.now.Add(e.rule.DedupWindow()), b.now)
		in.index.publish(run)
	}
	in.runs.enqueue(b.runs...)
}

// resolve cancels the runs of an alert that have not begun. Runs that act continue to their
// end.
func (in *intake) resolve(b *batch, rl *guard.Rule, a action.Alert) {
	if s := journal.SubjectOf(a); in.guards.Resolved(rl.Name, s.Fingerprint) {
		b.entries = append(b.entries, journal.Entry{At: b.now, Decision: journal.DecisionResolved, Rule: rl.Name, Alert: &s})
	}
	for _, run := range in.runs.cancel(rl.Name, a.Fingerprint, "the alert was resolved", b.now) {
		b.entries = append(b.entries, journal.EntryOf(&run))
		in.index.publish(run)
		in.count.Step(counts.RunKey{Rule: run.Rule, Action: run.Action, Result: journal.DecisionCancelled}, 0, b.now)
	}
}

// callPerson implements [Runner.CallPerson]. No notification is decided on meanwhile, so
// that one that resolves the alert comes before or after it.
func (in *intake) callPerson(ctx context.Context, rule, fingerprint string) {
	unlock, err := in.lock(ctx)
	if err != nil {
		return
	}
	defer unlock()
	alert, fires := in.firing.Subject(fingerprint)
	if !fires || in.settings().RuleNamed(rule) == nil {
		in.log.Warn("Nobody called: the alert is not among those known to fire, or its rule is gone", "rule", rule, "alert", fingerprint)
		return
	}
	line := journal.Entry{At: time.Now(), Decision: journal.DecisionEscalated, Rule: rule, Alert: &alert}
	if err := in.storage.append(line); err != nil { // a restart forgets the call
		in.log.Error("Call for a person not written to the journal", "rule", rule, "err", err)
	}
	in.guards.NeedPerson(rule, alert.Fingerprint)
	in.guards.KeepRules(in.settings()) // a reload may have removed it meanwhile
}

// tooManyPlans returns why dry-run makes no further plan for a rule; "" if it may make
// one, or the mode is another.
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

// isFull reports whether the queue has no place for a run of a rule. A rule that has one
// in the queue leaves a place for each of the others, up to half of all, so that alerts
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
