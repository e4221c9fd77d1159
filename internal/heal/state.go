package heal

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/guard"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// current are the settings in force, with what belongs to them. It is replaced, never
// changed.
type current struct {
	*guard.Settings

	leases Leases // nil: without a fleet
}

// state is what intake, executor and runner share. Each part owns its lock.
type state struct {
	log     *slog.Logger
	started time.Time
	wake    chan struct{} // a run may be able to start

	current atomic.Pointer[current]
	pause   atomic.Pointer[journal.Pause] // nil: none
	storage *storage
	guards  *guard.Guards
	runs    *runTable
	index   *runIndex
	firing  *firingAlerts
	count   *counters
}

func newState(o Options) *state {
	s := &state{
		log: o.Logger, started: time.Now(), wake: make(chan struct{}, 1),
		storage: &storage{dir: o.StateDir, size: o.JournalSize, log: o.Logger},
		guards:  guard.NewGuards(), runs: newRunTable(), index: newRunIndex(), firing: newFiringAlerts(), count: newCounters(),
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

// warm returns the end of the warm-up.
func (s *state) warm() time.Time { return s.started.Add(s.settings().Warmup) }

// checkGuards asks each guard in turn whether an action may begin on a key now. It returns
// "" if so, else the first that refuses, and why. It is asked when an alert comes and
// again when its run begins; the fleet is asked only then, for that takes a round trip
// to its Redis.
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

// dryRun reports whether nothing may be changed.
func (s *state) dryRun() bool { return s.storage.mode(s.settings()) != config.HealEnforce }

// record writes a run to the journal as it now is, and publishes it. It reports whether
// it is written; where nothing may be done without, the caller checks.
func (s *state) record(run journal.Run) bool {
	err := s.storage.append(journal.EntryOf(&run))
	if err != nil {
		s.log.Error("Step not written to the journal", "run", run.ID, "state", string(run.State), "err", err)
	}
	s.index.publish(run)
	return err == nil
}

// settle counts a step that ended.
func (s *state) settle(e *execution, r result) {
	now := time.Now()
	run := e.settle(now)
	s.count.countStep(RunKey{run.Rule, run.Action, r.decision}, run.Done, now)
	if run.Applied.IsZero() {
		return
	}
	s.count.observe(now.Sub(run.Created))
	s.guards.Settled(run, r.decision, now)
}

// end ends a run.
func (s *state) end(e *execution, r result) {
	run := e.end(r, time.Now())
	s.record(run)
	s.log.Info("Run ended", "run", run.ID, "rule", run.Rule, "action", run.Action, "target", run.Target, "result", string(r.decision), "done", run.Done)
}
