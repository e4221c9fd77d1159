package heal

import (
	"context"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// askFleet tells the others that this exporter is asked for an action, waits a
// little so that they can say the same, and looks how many are. "" lets it go on.
func (r *Runner) askFleet(ctx context.Context, action string) string {
	r.mu.Lock()
	l, b := r.leases, r.set.Budgets
	needed := r.set.Coordination.Redis != ""
	r.mu.Unlock()
	if !needed {
		return ""
	}
	if l == nil {
		return "the fleet's Redis is not there"
	}
	if _, err := l.Ask(ctx, action); err == nil {
		sleep(ctx, r.o.Settle)
	}
	f, err := l.Ask(ctx, action)
	if err != nil {
		return "the fleet's Redis cannot be asked: " + err.Error()
	}
	return fleetGuard(f, action, b)
}

// lease takes the turn on a target in this process, and among all exporters.
func (r *Runner) lease(ctx context.Context, want Lease) outcome {
	r.mu.Lock()
	_, busy := r.turns[want.Key]
	if !busy {
		r.turns[want.Key] = want.Run
	}
	l, b := r.leases, r.set.Budgets
	r.mu.Unlock()
	if busy {
		return outcome{journal.DecisionLease, "another run works on the target", thenEnd}
	}
	if l == nil {
		return outcome{}
	}
	held, f, err := l.Take(ctx, want)
	var o outcome
	switch {
	case err != nil:
		o = outcome{journal.DecisionFleet, "the fleet's Redis cannot be asked: " + err.Error(), thenEnd}
	case !held:
		o = outcome{journal.DecisionLease, "another exporter works on the target", thenEnd}
	default:
		if why := fleetGuard(f, want.Action, b); why != "" {
			o = outcome{journal.DecisionFleet, why, thenEnd}
		}
	}
	if o.decision != "" {
		r.giveBack(ctx, want)
	}
	return o
}

// giveBack ends the turn. The exporter may be ending: the lease is given back all the same.
func (r *Runner) giveBack(ctx context.Context, l Lease) {
	r.mu.Lock()
	if r.turns[l.Key] == l.Run {
		delete(r.turns, l.Key)
	}
	leases := r.leases
	r.mu.Unlock()
	if leases == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := leases.Give(ctx, l); err != nil {
		r.log.Warn("A lease was not given back; it ends by itself", "run", l.Run, "err", err)
	}
}
