package recycleworker

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/heal/workers"
)

// Verify implements [action.Action]: Worse if the master has ended, InProgress while the
// old worker lives, Unchanged if the plan cannot be read or, with an error, the app is not
// found, "" and an error if the processes cannot be read, else what [Action.verifyReplaced]
// returns. It uses the public part of the plan only: the run may have been interrupted.
func (r *Action) Verify(ctx context.Context, p action.Plan) (action.Outcome, error) {
	if len(p.Victims) != 1 {
		return action.Unchanged, nil
	}
	info := p.Victims[0].Info
	old, ok := process.IdentityFrom(info, "")
	master, alsoOK := process.IdentityFrom(info, "master_")
	before, err := strconv.Atoi(info["workers"])
	if !ok || !alsoOK || err != nil {
		return action.Unchanged, nil
	}
	snap, err := r.d.Processes.Snapshot(ctx)
	if err != nil {
		return "", err
	}
	switch {
	case !master.Alive(r.d.ProcRoot):
		return action.Worse, nil
	case old.Alive(r.d.ProcRoot):
		return action.InProgress, nil // it finishes its requests
	}
	for i := range snap.Apps {
		if app := &snap.Apps[i]; app.PID == master.PID {
			return r.verifyReplaced(ctx, app, old.PID, before, process.PlannedAt(info), p)
		}
	}
	return action.Unchanged, fmt.Errorf("process %d no longer belongs to a known app", master.PID)
}

// verifyReplaced returns InProgress until a new worker has served for MinUptime in place of the old
// one and its memory was sampled, or cannot be (then its RSS counts); then Verified if it has less
// memory or fewer leaked connections than the old one, else Unchanged. In place of a stuck worker,
// or of one suspected of a leak, every new one is Verified.
func (r *Action) verifyReplaced(ctx context.Context, app *discovery.App, old, before int, planned time.Time, p action.Plan) (action.Outcome, error) {
	var next *discovery.Worker
	for i := range app.Workers {
		w := &app.Workers[i]
		// A start is known to the hundredth of a second only, and a plan's time to the second.
		if w.PID != old && w.Start.After(planned.Add(-time.Second)) && (next == nil || w.Start.After(next.Start)) {
			next = w
		}
	}
	if next == nil || len(app.Workers) < before || !workers.Serves(*next) || time.Since(next.Start) < workers.MinUptime {
		return action.InProgress, nil
	}
	switch p.Victims[0].Info["of"] {
	case "pss":
		if next.Taken.IsZero() && app.MemoryErr == nil {
			return action.InProgress, nil
		}
		return verifySmaller(workers.Share(*next), p.Measure), nil
	case "rss":
		return verifySmaller(float64(next.RSS), p.Measure), nil
	case "leaked":
		return r.verifyLeaks(ctx, app.Name, p.Measure, next.Slot)
	}
	return action.Verified, nil
}

// verifySmaller returns Verified if memory has fallen by the share minGain or more, which chance
// does not explain, else Unchanged.
func verifySmaller(now, before float64) action.Outcome {
	if now <= before*(1-minGain) {
		return action.Verified
	}
	return action.Unchanged
}

// verifyLeaks compares the leaks of a slot with those before: verified if there are fewer,
// or if they are not measured; else unchanged.
func (r *Action) verifyLeaks(ctx context.Context, app string, before float64, slot int) (action.Outcome, error) {
	if r.d.Leaks == nil || r.c.Pick != config.PickLeaked {
		return action.Verified, nil // the worker is new, and leaks are not measured
	}
	leaks, err := r.d.Leaks(ctx, app)
	if err != nil {
		return "", err
	}
	if float64(leaks[slot]) < before {
		return action.Verified, nil
	}
	return action.Unchanged, nil
}
