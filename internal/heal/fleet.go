package heal

import (
	"context"
	"fmt"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/retry"
)

const heartbeatInterval = 20 * time.Second // between two registrations of this exporter as alive

// sendHeartbeats registers this exporter as alive again and again, until ctx ends.
func (s *state) sendHeartbeats(ctx context.Context) {
	t := time.NewTicker(heartbeatInterval)
	defer t.Stop()
	for {
		if l := s.current.Load().leases; l != nil {
			if err := l.Heartbeat(ctx); err != nil {
				s.log.Debug("Fleet heartbeat failed", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// checkFleet registers that this exporter requests an action, waits for pause so that
// the others can do the same, and counts them. It returns why the action is refused;
// "": it is allowed.
func (s *state) checkFleet(ctx context.Context, name string, pause time.Duration) string {
	set := s.current.Load()
	l := set.leases
	if set.Coordination.Redis == "" {
		return ""
	}
	if l == nil {
		return "no Redis is configured for the fleet"
	}
	if _, err := l.Request(ctx, name); err == nil {
		retry.Sleep(ctx, pause)
	}
	f, err := l.Request(ctx, name)
	if err != nil {
		return "the fleet's Redis does not answer: " + err.Error()
	}
	return fleetGuard(f, name, set.Budgets)
}

// acquire acquires the lease of a target in this process, and among all exporters. It was
// not acquired when the result has a decision.
func (s *state) acquire(ctx context.Context, want Lease) result {
	if !s.runs.claim(want.Key, want.Run) {
		return result{journal.DecisionLease, "another run is working on the target", flowEnd}
	}
	set := s.current.Load()
	if set.leases == nil {
		return result{}
	}
	held, f, err := set.leases.Acquire(ctx, want)
	var r result
	switch {
	case err != nil:
		r = result{journal.DecisionFleet, "the fleet's Redis does not answer: " + err.Error(), flowEnd}
	case !held:
		r = result{journal.DecisionLease, "another exporter is working on the target", flowEnd}
	default:
		if why := fleetGuard(f, want.Action, set.Budgets); why != "" {
			r = result{journal.DecisionFleet, why, flowEnd}
		}
	}
	if r.decision != "" {
		s.release(ctx, want)
	}
	return r
}

// release releases a lease, also when the exporter is ending.
func (s *state) release(ctx context.Context, l Lease) {
	s.runs.release(l.Key, l.Run)
	leases := s.current.Load().leases
	if leases == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := leases.Release(ctx, l); err != nil {
		s.log.Warn("Lease not released, it will expire", "run", l.Run, "err", err)
	}
}

// fleetGuard returns why the fleet keeps an action from being done; "": it does not.
func fleetGuard(f Fleet, action string, b config.Budgets) string {
	n := max(f.Firing, f.Repairing)
	switch {
	case f.Members < 1 || n < 1:
		return "the fleet's Redis has no registration of this exporter"
	case float64(n) > b.FleetMaxFraction*float64(f.Members):
		return fmt.Sprintf("%d of %d exporters need %s, more than fleet_max_fraction (%v): the cause is probably common to all", n, f.Members, action, b.FleetMaxFraction)
	case f.Members-n < b.FleetMinHealthy:
		return fmt.Sprintf("only %d of %d exporters do not need %s, fewer than fleet_min_healthy (%d)", f.Members-n, f.Members, action, b.FleetMinHealthy)
	}
	return ""
}
