package heal

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/counts"
	"github.com/resp-exporter/resp-exporter/internal/heal/firing"
	"github.com/resp-exporter/resp-exporter/internal/heal/guard"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// current are the settings in force, with what belongs to them. It is replaced, never changed.
type current struct {
	*guard.Settings

	leases  Leases                   // nil: without a fleet
	holders map[string]action.Holder // the actions whose effect is temporary, by name
}

// state is what intake, executor and runner share. Each part owns its lock.
type state struct {
	log     *slog.Logger
	started time.Time
	wake    chan struct{} // a run may be able to start

	current atomic.Pointer[current]
	pause   atomic.Pointer[journal.Pause] // nil: none
	storm   atomic.Pointer[time.Time]     // until when nothing begins, for the fleet's sake; nil: there was none
	heard   atomic.Pointer[time.Time]     // the same as the fleet's Redis said last; nil: it was not read
	storage *storage
	guards  *guard.Guards
	runs    *runTable
	index   *runIndex
	firing  *firing.Alerts
	count   *counts.Counters
}

// newState returns a state without runs, in the mode off.
func newState(o Options) *state {
	s := &state{
		log: o.Logger, started: time.Now(), wake: make(chan struct{}, 1),
		storage: &storage{dir: o.StateDir, size: o.JournalSize, log: o.Logger},
		guards:  guard.NewGuards(), runs: newRunTable(), index: newRunIndex(), firing: firing.New(), count: counts.New(),
	}
	s.current.Store(&current{Settings: &guard.Settings{Healing: config.Healing{Mode: config.HealOff}}})
	return s
}

// settings returns the settings in force.
func (s *state) settings() *guard.Settings { return s.current.Load().Settings }

// poke wakes [Runner.Run], which starts the runs that may start.
func (s *state) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// warm returns the end of the warm-up, by the settings in force.
func (s *state) warm() time.Time { return s.started.Add(s.settings().Warmup) }

// checkGuards returns the first guard that refuses an action on a key, and why; "": none does, or there is no
// journal, for which only pause and mode off are checked before. It is called when an alert arrives, and before
// its run begins; the fleet is checked only the second time, because that needs a round trip to its Redis.
func (s *state) checkGuards(action, key string, now time.Time) (journal.Decision, string) {
	set := s.settings()
	pause := s.pause.Load()
	switch {
	case pause.Active(now):
		return journal.DecisionPaused, "paused until " + pause.Until.UTC().Format(time.RFC3339) + ": " + pause.Reason
	case set.Mode == config.HealOff:
		return journal.DecisionOff, "the mode is off"
	case s.storage.mode(set) == config.HealOff:
		return "", "" // no journal: what needs one is refused when it is written
	}
	if left := s.warm().Sub(now); left > 0 {
		return journal.DecisionWarmup, "the exporter started " + guard.Rounded(now.Sub(s.started)) + " ago; the warm-up has " + guard.Rounded(left) + " left"
	}
	return s.guards.Check(set, action, key, now)
}

// dryRun reports whether nothing may be changed now, since the mode is not enforce or
// there is no journal.
func (s *state) dryRun() bool { return s.storage.mode(s.settings()) != config.HealEnforce }

// record publishes a run and writes it to the journal, with more lines after it. false:
// not written, though published; a caller that may not act unwritten checks it.
func (s *state) record(run journal.Run, more ...journal.Entry) bool {
	err := s.storage.append(append([]journal.Entry{journal.EntryOf(&run)}, more...)...)
	if err != nil {
		s.log.Error("Step not written to the journal", "run", run.ID, "state", string(run.State), "err", err)
	}
	s.index.publish(run)
	return err == nil
}

// settle counts a step that ended, and returns a copy of its run.
func (s *state) settle(e *execution, r result) journal.Run {
	now := time.Now()
	run := e.settle(now)
	s.count.Step(counts.RunKey{Rule: run.Rule, Action: run.Action, Result: r.decision}, run.Done, now)
	if !run.Applied.IsZero() {
		s.count.Observe(now.Sub(run.Created))
		s.guards.Settled(run, r.decision, r.decision == journal.DecisionVerified && r.flow == flowEnd, now)
	}
	return run
}

// end ends a run with a result, and records, publishes and logs that.
func (s *state) end(e *execution, r result) {
	run := e.end(r, time.Now())
	s.record(run)
	s.log.Info("Run ended", "run", run.ID, "rule", run.Rule, "action", run.Action, "target", run.Target, "result", string(r.decision), "done", run.Done)
}
