package heal

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// Plans that dry-run makes for one rule: who may send alerts without a token could
// fill the journal with them.
const (
	maxPlans = 60
	plansPer = time.Hour
)

// noteWrite keeps what the last write of the journal came to. A directory that
// was replaced ends healing until a restart. r.mu is not held.
func (r *Runner) noteWrite(s *journal.Store, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store != s || errors.Is(err, journal.ErrClosed) {
		return
	}
	before := r.noWrite
	r.noWrite = err
	switch {
	case errors.Is(err, journal.ErrLost):
		r.store, r.lost, r.storeErr = nil, s, err
		r.log.Error("Healing is off until a restart: its state directory was replaced", "dir", r.o.StateDir, "err", err)
	case err != nil && before == nil:
		r.log.Error("Healing is off: its journal cannot be written", "dir", r.o.StateDir, "err", err)
	case err == nil && before != nil:
		r.log.Info("The journal of healing can be written again", "dir", r.o.StateDir)
	}
}

// holds checks that the state directory is still held and, after a write that
// failed, whether one works again. r.mu is not held.
func (r *Runner) holds() {
	r.mu.Lock()
	s, failed := r.store, r.noWrite != nil
	r.mu.Unlock()
	if s == nil {
		return
	}
	err := s.Held()
	if err == nil && failed {
		err = s.Probe()
	}
	if err != nil || failed {
		r.noteWrite(s, err)
	}
}

// shownMode is the mode in force: nothing begins while the journal cannot be
// written. r.mu is held.
func (r *Runner) shownMode() string {
	if r.noWrite != nil && r.set.used() {
		return config.HealOff
	}
	return r.mode()
}

// held notes in the log why an alert started no run.
func (r *Runner) held(rl *rule, d journal.Decision, why string) journal.Decision {
	r.log.Debug("An alert started no run", "rule", rl.Name, "decision", string(d), "reason", why)
	return d
}

// planTooMany returns why no further plan is made in dry-run for a rule; "": one is.
// r.mu is held.
func (r *Runner) planTooMany(b *batch, rl *rule, now time.Time) string {
	recent := slices.DeleteFunc(r.planned[rl.Name], func(t time.Time) bool { return now.Sub(t) >= plansPer })
	r.planned[rl.Name] = recent
	n := len(recent)
	for _, w := range b.begin {
		if w.rule.Name == rl.Name {
			n++
		}
	}
	if r.mode() == config.HealDryRun && n >= maxPlans {
		return fmt.Sprintf("dry-run makes at most %d plans for a rule within %s", maxPlans, plansPer)
	}
	return ""
}

// willPlan counts a run that begins. r.mu is held.
func (r *Runner) willPlan(rl *rule, now time.Time) {
	list := append(r.planned[rl.Name], now)
	r.planned[rl.Name] = list[max(0, len(list)-maxPlans):]
}

// full reports whether the queue has no place for a run of a rule. A rule that
// has one there leaves a place for each of the others, up to half of all, so that
// alerts of one rule do not keep out those of the others. r.mu is held.
func (r *Runner) full(b *batch, rl *rule) bool {
	waiting := make(map[string]bool)
	for _, list := range [][]*work{r.queue, b.begin} {
		for _, w := range list {
			waiting[w.rule.Name] = true
		}
	}
	places := r.set.QueueSize
	if waiting[rl.Name] {
		idle := 0
		for _, other := range r.set.rules {
			if !waiting[other.Name] {
				idle++
			}
		}
		places -= min(idle, places/2)
	}
	return len(r.queue)+len(b.begin) >= places
}

// oldestOfMost returns the place in r.order of the oldest run that ended, of the
// rule that has the most of these; -1: none ended. r.mu is held.
func (r *Runner) oldestOfMost() int {
	count, first := make(map[string]int), make(map[string]int)
	most := ""
	for i, id := range r.order {
		run := r.runs[id]
		if run == nil || !run.Terminal() {
			continue
		}
		if count[run.Rule]++; count[run.Rule] == 1 {
			first[run.Rule] = i
		}
		if count[run.Rule] > count[most] {
			most = run.Rule
		}
	}
	if count[most] == 0 {
		return -1
	}
	return first[most]
}
