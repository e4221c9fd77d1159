package heal

import (
	"context"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// batch is what one notification comes to, before it is written down.
type batch struct {
	entries []journal.Entry
	begin   []*work
	keys    map[string]bool // of begin: what they are known again by, and their targets
	full    bool
}

// Take decides on each alert of a notification, and returns when all is written
// down. With an error some or all were refused and are to be sent again; those
// that were taken will be known again then. What an action comes to later is
// nowhere in it.
func (r *Runner) Take(ctx context.Context, alerts []action.Alert) ([]journal.Decision, error) {
	select {
	case r.taking <- struct{}{}:
		defer func() { <-r.taking }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	now := time.Now()
	b := &batch{keys: make(map[string]bool)}
	out := make([]journal.Decision, len(alerts))
	r.mu.Lock()
	if len(r.dedup) > maxDedup/2 {
		r.prune(now)
	}
	for i, a := range alerts {
		out[i] = r.handle(b, a, now)
	}
	r.mu.Unlock()
	err := r.write(b.entries...)
	if err == nil {
		r.mu.Lock()
		r.commit(b, now)
		r.mu.Unlock()
	}
	for i, d := range out {
		if err != nil && d == journal.DecisionQueued {
			out[i], d = journal.DecisionUnwritten, journal.DecisionUnwritten
		}
		r.count.alert(d)
	}
	r.poke()
	switch {
	case err != nil && len(b.begin) > 0:
		return out, err
	case b.full:
		return out, ErrFull
	}
	return out, nil
}

// handle is the way of one alert: each guard in turn, and every way out is one
// decision. r.mu is held.
func (r *Runner) handle(b *batch, a action.Alert, now time.Time) journal.Decision {
	id := r.set.Identity
	if id.Label != "" && a.Labels[id.Label] != id.Value {
		return journal.DecisionNotMine
	}
	r.noteFiring(a, now)
	rl := r.set.find(a)
	if rl == nil {
		return journal.DecisionUnmatched
	}
	if a.Resolved {
		r.resolved(b, rl, a, now)
		return journal.DecisionResolved
	}
	step := rl.Steps[0]
	target := rl.target(0, a)
	key := keyOf(rl.Name, step.Action, target)
	s := journal.SubjectOf(a)
	known := s.KnownTo(rl.Name, key)
	if r.dedup[known].After(now) || b.keys[known] {
		return journal.DecisionDuplicate
	}
	if r.onTarget(key) || b.keys[key] {
		return journal.DecisionDuplicate
	}
	if d, why := r.guard(step.Action, key, now); d != "" {
		return r.held(rl, d, why)
	}
	if why := r.planTooMany(b, rl, now); why != "" {
		return r.held(rl, journal.DecisionBudget, why)
	}
	if r.full(b, rl) || len(r.dedup)+len(b.begin) >= maxDedup {
		b.full = true
		return journal.DecisionQueueFull // nothing of it is remembered
	}
	w := &work{rule: rl, alert: a, run: journal.Run{
		ID: journal.NewRunID(), Rule: rl.Name, Alert: s, State: journal.DecisionQueued, Created: now, Updated: now, Action: step.Action, Target: target,
	}}
	b.begin = append(b.begin, w)
	b.keys[known], b.keys[key] = true, true
	b.entries = append(b.entries, journal.EntryOf(&w.run))
	return journal.DecisionQueued
}

// commit makes what was written down so. r.mu is held.
func (r *Runner) commit(b *batch, now time.Time) {
	for _, w := range b.begin {
		r.dedup[w.run.Alert.KnownTo(w.rule.Name, w.key())] = now.Add(w.rule.dedupFor())
		r.queue = append(r.queue, w)
		r.publish(w.run)
		r.willPlan(w.rule, now)
	}
}

// key is what the first step of a run is about, as far as the alert told.
func (w *work) key() string {
	return keyOf(w.rule.Name, w.rule.Steps[0].Action, w.rule.target(0, w.alert))
}

// resolved cancels what has not begun for an alert. What acts goes on: to be cut
// off in the middle is worse than to be late. r.mu is held.
func (r *Runner) resolved(b *batch, rl *rule, a action.Alert, now time.Time) {
	if s := journal.SubjectOf(a); r.human[rl.Name] == s.Fingerprint {
		delete(r.human, rl.Name)
		b.entries = append(b.entries, journal.Entry{At: now, Decision: journal.DecisionResolved, Rule: rl.Name, Alert: &s})
	}
	cancel := func(w *work) bool {
		if w.rule.Name != rl.Name || w.run.Alert.Fingerprint != a.Fingerprint || w.verify {
			return false
		}
		w.run.State, w.run.Reason, w.run.Updated = journal.DecisionCancelled, "the alert was resolved", now
		b.entries = append(b.entries, journal.EntryOf(&w.run))
		r.publish(w.run)
		r.count.ended(RunKey{w.run.Rule, w.run.Action, journal.DecisionCancelled}, 0, now)
		return true
	}
	keep := r.queue[:0]
	for _, w := range r.queue {
		if !cancel(w) {
			keep = append(keep, w)
		}
	}
	clear(r.queue[len(keep):])
	r.queue = keep
	for id, w := range r.awaiting {
		if cancel(w) {
			delete(r.awaiting, id)
		}
	}
	for _, w := range r.active { // looked at again before it acts
		w.cancelled = w.cancelled || w.rule.Name == rl.Name && w.run.Alert.Fingerprint == a.Fingerprint
	}
}

// onTarget reports whether a run that has not ended is about a key. r.mu is held.
func (r *Runner) onTarget(key string) bool {
	if _, busy := r.turns[key]; busy {
		return true
	}
	same := func(w *work) bool { return w.key() == key }
	if slices.ContainsFunc(r.queue, same) {
		return true
	}
	for _, list := range []map[string]*work{r.awaiting, r.active} {
		for _, w := range list {
			if same(w) {
				return true
			}
		}
	}
	return false
}

// prune forgets what is past. r.mu is held.
func (r *Runner) prune(now time.Time) {
	for k, until := range r.dedup {
		if !until.After(now) {
			delete(r.dedup, k)
		}
	}
	for k, f := range r.firing {
		if now.Sub(f.Seen) > firingFor {
			delete(r.firing, k)
		}
	}
}
