package heal

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/guard"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// restore restores the state from the journal: runs that had not begun are queued again,
// interrupted ones are verified, and the guards count what was done. If the journal
// cannot be read, healing stays off.
func (s *state) restore(store *journal.Store, now time.Time) {
	set := s.settings()
	past := guard.NewRecovery(set, now)
	if err := store.Replay(now, past.Add); err != nil {
		s.storage.fail(err)
		s.log.Error("Healing is off: journal not readable", "err", err)
		_ = store.Close()
		return
	}
	runs := past.Finish()
	if past.Bad > 0 {
		s.log.Warn("Journal lines skipped", "lines", past.Bad)
		s.count.BadLines(past.Bad)
	}
	store.SetHead(runs, func() []journal.Entry { return s.guards.Entries(s.settings(), time.Now()) })
	s.guards.Restore(set, past.Memory, now)
	s.pause.Store(store.Pause(now))
	var changed []journal.Entry
	for _, run := range runs {
		ended := past.Ended[run.ID]
		if !run.Terminal() {
			run = s.resume(set, run, now)
		}
		s.index.publish(run)
		if run.Terminal() && !ended {
			changed = append(changed, journal.EntryOf(&run))
		}
	}
	s.storage.use(store)
	if err := s.storage.append(changed...); err != nil { // then they are cancelled anew at the next start
		s.log.Debug("Cancelled runs not written to the journal", "runs", len(changed), "err", err)
	}
	if past.Rotate {
		store.Rotate()
	}
}

// resume queues a run that had not ended, as the first if it was acting, or lets it go on waiting for its approval.
// It returns it as it is, or cancelled and not queued if its rule was changed or it was calling a person.
func (s *state) resume(set *guard.Settings, run journal.Run, now time.Time) journal.Run {
	rl := set.RuleNamed(run.Rule)
	if rl == nil || run.Step < 0 || run.Step >= len(rl.Steps) || rl.Steps[run.Step].Action != run.Action || run.Action == config.ActionEscalate && run.State.Inflight() {
		run.Interrupted = run.State.Inflight() // it may have acted: the next start must know that, too
		run.State, run.Reason, run.Updated = journal.DecisionCancelled, "its rule was changed while the exporter was down", now
		return run
	}
	e := newExecution(run, rl, run.Alert.Alert())
	switch {
	case run.State == journal.DecisionAwaiting:
		s.runs.await(e)
	case run.State.Inflight(): // first: a lease or a half-done repair may stand
		s.runs.enqueueFirst(e)
	default:
		s.runs.enqueue(e)
	}
	return run
}
