// Package heal ends what holds an app up, when an alert asks for it: rarely, never
// more than planned, written to the journal before and verified after. What an action
// may do is in its plan; the guards decide whether it may.
package heal

import (
	"context"
	"fmt"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/guard"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/logs"
)

const housekeeping = 5 * time.Second // between two checks of what waits for a time

// Runner accepts alerts and does what the rules say about them, one step at a time
// and never without a line in the journal before.
type Runner struct {
	o        Options
	state    *state
	intake   *intake
	executor *executor
}

// New returns a runner; nothing runs before [Runner.Run].
func New(o Options) *Runner {
	o.Logger = logs.Or(o.Logger)
	s := newState(o)
	return &Runner{o: o, state: s, intake: newIntake(s), executor: &executor{stepper: stepper{state: s, evidence: o.Evidence, settlePause: o.Settle}}}
}

// Prepare checks a section and builds its actions with build; nothing changes before apply is
// called. Runs under way keep the settings that they began with; whether the mode or
// the pause lets them begin is read when they do.
func (r *Runner) Prepare(h config.Healing, build Builder) (apply func(), err error) {
	set, err := guard.Compile(h, build)
	if err != nil {
		return nil, fmt.Errorf("healing: %w", err)
	}
	return func() {
		c := &current{Settings: set}
		if h.Coordination.Redis != "" && r.o.Leases != nil {
			c.leases = r.o.Leases(h.Coordination.Redis)
		}
		r.state.current.Store(c)
		r.state.guards.KeepRules(set)
		r.state.poke()
	}, nil
}

// Run starts runs as their time comes, until ctx ends; then it waits for those that
// act. Steps that are interrupted are verified at the next start.
func (r *Runner) Run(ctx context.Context) error {
	tick := time.NewTicker(housekeeping)
	defer tick.Stop()
	r.executor.wg.Go(func() { r.state.sendHeartbeats(ctx) })
	for {
		r.openStorage(ctx) // here and not in Prepare: only what runs may hold the directory
		r.executor.startDue(ctx)
		select {
		case <-ctx.Done():
			r.executor.wg.Wait()
			return r.state.storage.close()
		case <-r.state.wake:
		case <-tick.C:
			r.state.expire(time.Now())
			r.state.storage.check()
		}
	}
}

// openStorage opens the state directory once it is needed, and restores what is in it.
// No alert is decided on meanwhile.
func (r *Runner) openStorage(ctx context.Context) {
	if !r.state.settings().Used() {
		return
	}
	store := r.state.storage.open()
	if store == nil {
		return
	}
	unlock, err := r.intake.lock(ctx)
	if err != nil {
		_ = store.Close()
		return
	}
	defer unlock()
	r.state.restore(store, time.Now())
}

// Take decides on each alert of a notification, and returns when all is written to the
// journal. With an error some or all were refused and are to be sent again; those that
// were accepted are duplicates then. The result of an action is never returned.
func (r *Runner) Take(ctx context.Context, alerts []action.Alert) ([]journal.Decision, error) {
	return r.intake.take(ctx, alerts)
}

// RunByID returns one run with its evidence.
func (r *Runner) RunByID(id string) (journal.Run, error) {
	if run, ok := r.state.index.get(id); ok {
		return run, nil
	}
	return journal.Run{}, ErrUnknownRun
}

// Snapshot returns the state at this moment.
func (r *Runner) Snapshot() Snapshot { return r.state.snapshot() }

// Stats returns the counters, and the gauges at this moment.
func (r *Runner) Stats() Stats { return r.state.stats() }

// Pause starts a pause: no run begins to act before p.Until. Actions under way are not
// interrupted. If the state file cannot be written, the pause is in force all the same,
// and the error reports that it ends with the process.
func (r *Runner) Pause(p journal.Pause) error { return r.state.startPause(p) }

// Resume ends the pause.
func (r *Runner) Resume() error { return r.state.endPause() }

// Approve lets a run begin that waits for an approval. plan is the [action.Plan.ID]
// that the person saw; "" means the plan that the run waits with. What is done then is
// planned anew and must not touch anything but the victims of that plan.
func (r *Runner) Approve(_ context.Context, id, plan string) (journal.Run, error) {
	return r.state.approve(id, plan)
}

// NeedPerson records that a rule needs a person for an alert: what the action escalate
// does.
func (r *Runner) NeedPerson(rule, fingerprint string) { r.state.guards.NeedPerson(rule, fingerprint) }
