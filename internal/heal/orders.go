package heal

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

const approveFor = 10 * time.Minute // an older plan expires without approval

// startPause starts a pause. With an error it is in force all the same, but cannot be
// written, so a restart ends it.
func (s *state) startPause(p journal.Pause) error {
	p.Reason, p.By = text.Clip(p.Reason, action.MaxText), text.Clip(p.By, action.MaxValue)
	s.pause.Store(&p)
	return s.storage.setPause(&p)
}

// endPause ends the pause, once that is written. With an error it stays in force: a
// restart would bring it back.
func (s *state) endPause() error {
	if err := s.storage.setPause(nil); err != nil {
		return err
	}
	s.pause.Store(nil)
	return nil
}

// approve implements [Runner.Approve]: the run, queued to go on. With an error nothing of it changes.
func (s *state) approve(id, plan string) (journal.Run, error) {
	e, err := s.runs.takeAwaiting(id, plan)
	if err != nil {
		return journal.Run{}, err
	}
	if e == nil {
		if _, known := s.index.get(id); known {
			return journal.Run{}, ErrNotWaiting
		}
		return journal.Run{}, ErrUnknownRun
	}
	run := e.approved(time.Now())
	if err := s.storage.append(journal.EntryOf(&run)); err != nil {
		s.runs.await(e)
		return journal.Run{}, err
	}
	e.approve(run)
	s.index.publish(run)
	s.runs.enqueue(e)
	s.poke()
	return run, nil
}

// expire ends the runs that nobody approved in time, and forgets alerts that are over.
func (s *state) expire(now time.Time) {
	s.guards.Prune(now)
	s.firing.Prune(now)
	for _, e := range s.runs.takeExpired(now.Add(-approveFor)) {
		r := result{journal.DecisionExpired, "not approved within " + approveFor.String(), flowEnd}
		s.settle(e, r)
		s.end(e, r)
	}
}
