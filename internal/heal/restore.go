package heal

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// restore reads the journal of a start before: runs that had not begun are queued
// again, those that were cut off are looked after, and the guards go by what was
// done. r.mu is not held while files are read.
func (r *Runner) restore(s *journal.Store, now time.Time) {
	r.mu.Lock()
	past := newRecall(r.set, now)
	r.mu.Unlock()
	err := s.Replay(now, past.feed)
	if err != nil {
		r.mu.Lock()
		r.storeErr = err
		r.mu.Unlock()
		r.log.Error("Healing is off: its journal cannot be read", "err", err)
		_ = s.Close()
		return
	}
	runs, pause := past.finish(), s.Pause(now)
	if past.bad > 0 {
		r.log.Warn("Lines of the journal were passed over", "lines", past.bad)
		r.count.badLines(past.bad)
	}
	s.Begins(runs, r.carried)
	r.mu.Lock()
	r.store, r.storeErr, r.noWrite = s, nil, nil
	r.pause, r.memory = pause, past.memory
	r.forgetLast(now)
	var changed []journal.Entry
	for _, run := range runs {
		before := past.over[run.ID]
		if !run.Terminal() {
			run = r.resume(run, now)
		} else {
			r.publish(run)
		}
		if run.Terminal() && !before {
			changed = append(changed, journal.EntryOf(&run))
		}
	}
	r.mu.Unlock()
	if err := r.write(changed...); err != nil { // then they are cancelled anew at the next start
		r.log.Debug("Cancelled runs are not in the journal", "runs", len(changed), "err", err)
	}
	if past.renew {
		s.Renew()
	}
}

// resume takes up a run that had not ended, and returns it as it stands then.
// r.mu is held.
func (r *Runner) resume(run journal.Run, now time.Time) journal.Run {
	rl := r.set.named(run.Rule)
	if rl == nil || run.Step < 0 || run.Step >= len(rl.Steps) || rl.Steps[run.Step].Action != run.Action || run.Action == config.ActionEscalate && run.State.Begun() {
		run.State, run.Reason, run.Updated = journal.DecisionCancelled, "its rule is another one since the exporter started again", now
		r.publish(run)
		return run
	}
	w := &work{run: run, rule: rl, alert: run.Alert.Alert(), verify: run.State.Begun()}
	r.publish(run)
	switch {
	case run.State == journal.DecisionAwaiting:
		r.awaiting[run.ID] = w
	case w.verify: // what was cut off comes first: a lease or a half-done repair may stand
		r.queue = slices.Insert(r.queue, 0, w)
	default:
		r.queue = append(r.queue, w)
	}
	return run
}
