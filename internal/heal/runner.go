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
	"github.com/resp-exporter/resp-exporter/internal/heal/counts"
	"github.com/resp-exporter/resp-exporter/internal/heal/guard"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/ticks"
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

// Prepare checks a section and builds its actions with build. Nothing changes before
// apply is called. Runs under way keep the settings that they began with; whether the
// mode or the pause lets them begin is read when they do.
func (r *Runner) Prepare(h config.Healing, build Builder) (apply func(), err error) {
	set, err := guard.Compile(h, build)
	if err != nil {
		return nil, fmt.Errorf("healing: %w", err)
	}
	holders, err := holdersOf(build)
	if err != nil {
		return nil, fmt.Errorf("healing: %w", err)
	}
	return func() {
		c := &current{Settings: set, holders: holders}
		if h.Coordination.Redis != "" && r.o.Leases != nil {
			c.leases = r.o.Leases(h.Coordination.Redis)
		}
		r.state.current.Store(c)
		r.state.guards.KeepRules(set)
		r.state.poke()
	}, nil
}

// Run starts runs as their time comes, until ctx ends; then it waits for those that act, and returns
// the error of closing the state directory. Steps that are interrupted are verified at the next start.
func (r *Runner) Run(ctx context.Context) error {
	tick := ticks.New(housekeeping)
	defer tick.Stop()
	r.executor.wg.Go(func() { r.state.sendHeartbeats(ctx) })
	r.executor.wg.Go(func() { r.state.keepHolds(ctx) })
	for {
		r.openStorage(ctx) // here and not in Prepare: only what runs may hold the directory
		r.executor.startDue(ctx)
		select {
		case <-ctx.Done():
			r.executor.wg.Wait()
			return r.state.storage.close()
		case <-r.state.wake:
		case <-tick.C:
			tick.Again()
			r.state.expire(time.Now())
			r.state.storage.check()
		}
	}
}

// openStorage opens the state directory if healing is used and it is not open, and
// restores what is in it. No alert is decided on meanwhile.
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

// Take decides on each alert of a notification, and returns the decisions in their order once the
// runs that they start are in the journal, before any of them has ended. After an error, such as
// [ErrFull] or [ErrUnwritten], all must be sent again; those that were accepted are then duplicates.
func (r *Runner) Take(ctx context.Context, alerts []action.Alert) ([]journal.Decision, error) {
	return r.intake.take(ctx, alerts)
}

// Store returns the state directory while it can be used, or nil. The runner closes it.
func (r *Runner) Store() *journal.Store { return r.state.storage.current() }

// RunByID returns one run, with its evidence if that is kept still. ErrUnknownRun: no run of that id is kept.
func (r *Runner) RunByID(id string) (journal.Run, error) {
	if run, ok := r.state.index.get(id); ok {
		return run, nil
	}
	return journal.Run{}, ErrUnknownRun
}

// Snapshot returns the state of healing at this moment, for the page and the API.
func (r *Runner) Snapshot() Snapshot { return r.state.snapshot() }

// Stats returns the counters, and the gauges at this moment.
func (r *Runner) Stats() counts.Stats { return r.state.stats() }

// Pause starts a pause: no run begins to act before p.Until. Actions in progress are not
// interrupted. If the state file cannot be written, the pause is in force all the same, but
// a restart ends it, and the error says so.
func (r *Runner) Pause(p journal.Pause) error { return r.state.startPause(p) }

// Resume ends the pause. With an error it stays in force.
func (r *Runner) Resume() error { return r.state.endPause() }

// Approve approves a run that waits for it, and returns the run. plan is the [action.Plan.ID] that
// the person saw; "" means any. [ErrUnknownRun], [ErrNotWaiting], [ErrOtherPlan] or [ErrUnwritten]
// say why it is not approved. The run plans again, and affects only victims of that plan.
func (r *Runner) Approve(_ context.Context, id, plan string) (journal.Run, error) {
	return r.state.approve(id, plan)
}

// Enforces reports whether the mode of the settings in force is enforce. In that mode too
// nothing begins without a state directory, or in a pause: see [Runner.MayAct].
func (r *Runner) Enforces() bool { return r.state.settings().Mode == config.HealEnforce }

// MayAct reports whether the mode in force is enforce, there is no pause and, if there are rules or
// a token, the journal can be written. Warm-up, breaker, cooldown and budget are not asked.
func (r *Runner) MayAct() bool {
	mode, _, _ := r.state.storage.shownMode(r.state.settings())
	return mode == config.HealEnforce && !r.state.pause.Load().Active(time.Now())
}

// CallPerson records in the journal that a rule needs a person for an alert, after a run that
// has ended. It calls nobody if the alert no longer fires, or the rule no longer exists.
func (r *Runner) CallPerson(ctx context.Context, rule, fingerprint string) {
	r.intake.callPerson(ctx, rule, fingerprint)
}

// NeedPerson records that a rule needs a person for an alert: the effect of the action
// escalate.
func (r *Runner) NeedPerson(rule, fingerprint string) { r.state.guards.NeedPerson(rule, fingerprint) }
