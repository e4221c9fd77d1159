package actions

import (
	"slices"
	"strings"
	"time"
)

// restore takes up what the journal of a start before tells: runs that had not
// begun are queued again, those that were cut off are looked after, and the
// guards know what was done.
func (r *Runner) restore(s *Store, now time.Time) {
	past, err := replayed(s)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.storeErr = err
		r.log.Error("Healing is off: its journal cannot be read", "err", err)
		_ = s.Close()
		return
	}
	if past.bad > 0 {
		r.log.Warn("Lines of the journal were passed over", "lines", past.bad)
	}
	r.store, r.storeErr = s, nil
	r.pause = s.Pause(now)
	for _, known := range past.told {
		r.told[known] = now
	}
	for _, id := range past.order {
		run := past.runs[id]
		r.remember(run)
		if past.resolved[run.Rule+" "+run.Alert.Fingerprint].After(run.Updated) {
			delete(r.human, run.Rule)
		}
		r.knowAgain(run, now)
		if run.terminal() {
			r.publish(*run)
			continue
		}
		r.resume(*run, now)
	}
}

// past is what a journal tells.
type past struct {
	runs     map[string]*Run // as each was told of last
	order    []string        // of their ids, as they began
	told     []string
	resolved map[string]time.Time // by rule and fingerprint
	bad      int                  // lines that could not be read
}

func replayed(s *Store) (p past, err error) {
	p.runs, p.resolved = make(map[string]*Run), make(map[string]time.Time)
	p.bad, err = s.Replay(func(e Entry) {
		switch {
		case e.Run != nil && e.Run.ID != "":
			if before := p.runs[e.Run.ID]; before == nil {
				p.order = append(p.order, e.Run.ID)
			} else if len(e.Run.Facts) == 0 && before.Step == e.Run.Step {
				e.Run.Facts = before.Facts
			}
			p.runs[e.Run.ID] = e.Run
		case e.Alert != nil && e.Decision == DecisionResolved:
			p.resolved[e.Rule+" "+e.Alert.Fingerprint] = e.At
		case e.Alert != nil && len(p.told) < maxTold:
			p.told = append(p.told, e.Alert.knownTo(e.Rule, string(e.Decision)))
		}
	})
	return p, err
}

// knowAgain lets the alert of a run be a duplicate for as long as it was one
// before. r.mu is held.
func (r *Runner) knowAgain(run *Run, now time.Time) {
	rl := r.set.named(run.Rule)
	if rl == nil {
		return
	}
	w := work{rule: rl, alert: run.Alert.alert()}
	if until := run.Created.Add(rl.dedupFor()); until.After(now) {
		r.dedup[run.Alert.knownTo(rl.Name, w.key())] = until
	}
}

// remember lets the guards know what a run did. r.mu is held.
func (r *Runner) remember(run *Run) {
	for _, b := range run.Before {
		if b.Applied.IsZero() {
			continue
		}
		r.rememberAct(keyOf(run.Rule, b.Action, b.Target), b.Applied, b.Done > 0 || b.Result == DecisionVerified || strings.HasPrefix(b.Reason, cutOff))
		switch b.Result {
		case DecisionVerified:
			delete(r.failures, b.Action)
		case DecisionRefused: // nothing was done
		default:
			r.failed(b.Action, b.Ended)
		}
	}
	if run.State == DecisionEscalated {
		r.human[run.Rule] = run.Alert.Fingerprint
	}
	if run.State == DecisionVerified {
		delete(r.human, run.Rule)
	}
	if run.Applied.IsZero() {
		return
	}
	r.rememberAct(keyOf(run.Rule, run.Action, run.Target), run.Applied,
		run.Done > 0 || run.State == DecisionVerified || run.State == DecisionRunning || strings.HasPrefix(run.Reason, cutOff))
	switch {
	case run.State == DecisionVerified:
		delete(r.failures, run.Action)
	case run.terminal() && run.State != DecisionRefused:
		r.failed(run.Action, run.Updated)
	}
}

// rememberAct notes that a step began to act on a key; done tells whether it did
// something, or may have. r.mu is held.
func (r *Runner) rememberAct(key string, at time.Time, done bool) {
	if done {
		r.didAct(key, at)
	}
	if at.After(r.last[key]) {
		r.acted(key, at)
	}
}

// resume takes up a run that had not ended. r.mu is held.
func (r *Runner) resume(run Run, now time.Time) {
	rl := r.set.named(run.Rule)
	if rl == nil || run.Step >= len(rl.Steps) || rl.Steps[run.Step].Action != run.Action || rl.actions[run.Step] == nil && run.State.begun() {
		run.State, run.Reason, run.Updated = DecisionCancelled, "its rule is another one since the exporter started again", now
		r.publish(run)
		if err := r.store.Append(entryOf(&run)); err != nil { // then it is cancelled anew at the next start
			r.log.Debug("A cancelled run is not in the journal", "run", run.ID, "err", err)
		}
		return
	}
	w := &work{run: run, rule: rl, alert: run.Alert.alert(), verify: run.State.begun()}
	r.publish(run)
	if run.State == DecisionAwaiting {
		r.awaiting[run.ID] = w
		return
	}
	// What was cut off comes first: a lease or a half-done repair may stand.
	if w.verify {
		r.queue = slices.Insert(r.queue, 0, w)
		return
	}
	r.queue = append(r.queue, w)
}
