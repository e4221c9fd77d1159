package heal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/guard"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/retry"
)

const heartbeatInterval = 20 * time.Second // between two registrations of this exporter as alive

// sendHeartbeats registers this exporter with the fleet as alive at each interval, until
// ctx ends.
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
// "": it is allowed, as it is without a fleet.
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
	return s.judge(ctx, set, f, name)
}

// stormLeft returns for how long nothing begins because of a storm, as far as this exporter
// knows: it began it, or heard of it when it last requested an action. 0: there is none.
func (s *state) stormLeft(now time.Time) time.Duration {
	left := time.Duration(0)
	for _, until := range []*time.Time{s.storm.Load(), s.heard.Load()} {
		if until != nil {
			left = max(left, until.Sub(now))
		}
	}
	return left
}

// judge returns why the fleet keeps an action from being done; "": it does not. set are the
// settings with which f was read: a reload may have replaced them. Too few that are healthy
// begin a storm, in which nothing begins, here and on the other exporters, until the fleet
// has been healthy for storm_exit. One that another exporter began is not counted here. If
// [Leases.Hold] fails, there is none.
func (s *state) judge(ctx context.Context, set *current, f Fleet, name string) string {
	now := time.Now()
	why, few := fleetGuard(f, name, set.Budgets)
	if few && set.Budgets.StormExit > 0 && set.leases != nil && !s.dryRun() {
		until := now.Add(set.Budgets.StormExit)
		err := set.leases.Hold(ctx, set.Budgets.StormExit)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			s.log.Warn("No storm begun in the fleet", "err", err)
		} else if before := s.storm.Swap(&until); err == nil && (before == nil || !before.After(now)) {
			s.count.Storm()
			s.log.Warn("Storm begun: no action begins on any exporter of the fleet", "until", until.UTC().Format(time.RFC3339), "reason", why)
		}
	}
	heard := now.Add(f.Storm)
	s.heard.Store(&heard)
	left := f.Storm
	if until := s.storm.Load(); until != nil { // one that began here outlives the data of the Redis
		left = max(left, until.Sub(now))
	}
	if why != "" || left <= 0 {
		return why
	}
	return fmt.Sprintf("too few exporters were healthy lately: nothing begins for %s more (storm_exit)", guard.Rounded(left))
}

// distrust returns why a person must approve an action that the configuration lets begin: it failed
// [guard.MaxInRow] times or more in a row for a cause, as counted here or by the fleet; "": none must. Help on
// any exporter ends the fleet's count; the count here ends with help here. An error: the fleet's is not known.
func (s *state) distrust(ctx context.Context, name, cause string) (why string, err error) {
	n := s.guards.FailedInRow(name, cause)
	if l := s.current.Load().leases; l != nil {
		fleet, err := l.Failures(ctx, name, cause)
		if err != nil {
			return "", err
		}
		n = max(n, fleet)
	}
	if n < guard.MaxInRow {
		return "", nil
	}
	return fmt.Sprintf("%s failed %d times in a row for %s", name, n, cause), nil
}

// learn records for the fleet whether a step that acted helped against a cause. It does so
// for a run that is interrupted, too.
func (s *state) learn(ctx context.Context, run journal.Run, d journal.Decision) {
	l := s.current.Load().leases
	if l == nil || run.Applied.IsZero() || d == journal.DecisionRefused || d == journal.DecisionUnavailable {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := l.Learn(ctx, run.Action, run.Alert.Cause(), d == journal.DecisionVerified); err != nil {
		s.log.Warn("Result not announced to the fleet", "run", run.ID, "err", err)
	}
}

// acquire acquires the lease of a target in this process and, with a fleet, in its Redis. The zero result: it
// has it. DecisionLease, or DecisionFleet (also if the state of the fleet forbids the action): it has none.
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
		if why := s.judge(ctx, set, f, want.Action); why != "" {
			r = result{journal.DecisionFleet, why, flowEnd}
		}
	}
	if r.decision != "" {
		s.release(ctx, want)
	}
	return r
}

// release releases a lease in this process and among all exporters, also when the
// exporter is ending. If that fails, the lease expires.
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

// fleetGuard returns why the state of the fleet keeps an action from being done, "" if it does not. few:
// because too many need the action or too few do not; false: this exporter is not registered, or with "".
func fleetGuard(f Fleet, action string, b config.Budgets) (why string, few bool) {
	n := max(f.Firing, f.Repairing)
	switch {
	case f.Members < 1 || n < 1:
		return "the fleet's Redis has no registration of this exporter", false
	case float64(n) > b.FleetMaxFraction*float64(f.Members):
		return fmt.Sprintf("%d of %d exporters need %s, more than fleet_max_fraction (%v): the cause is probably common to all", n, f.Members, action, b.FleetMaxFraction), true
	case f.Members-n < b.FleetMinHealthy:
		return fmt.Sprintf("only %d of %d exporters do not need %s, fewer than fleet_min_healthy (%d)", f.Members-n, f.Members, action, b.FleetMinHealthy), true
	}
	return "", false
}
