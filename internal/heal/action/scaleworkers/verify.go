package scaleworkers

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/heal/workers"
)

// Verify implements [action.Action]: Worse if the master has ended, Unchanged if the plan
// cannot be read or, with an error, no app has the master; else what verifyApp returns. It
// uses the public part of the plan only: the run may have been interrupted.
func (r *Action) Verify(ctx context.Context, p action.Plan) (action.Outcome, error) {
	if len(p.Victims) != 1 {
		return action.Unchanged, nil
	}
	info := p.Victims[0].Info
	master, ok := process.IdentityFrom(info, "")
	before, err := strconv.Atoi(info["workers"])
	if !ok || err != nil {
		return action.Unchanged, nil
	}
	if !master.Alive(r.d.ProcRoot) {
		return action.Worse, nil
	}
	snap, err := r.d.Processes.Snapshot(ctx)
	if err != nil {
		return "", err
	}
	if app := appOf(snap, master); app != nil {
		return verifyApp(app, before, process.PlannedAt(info), p.Measure), nil
	}
	return action.Unchanged, fmt.Errorf("process %d no longer belongs to a known app", master.PID)
}

// verifyApp returns InProgress until there are more workers than before, and the newest of
// those that started since the plan has served for MinUptime. Then Unchanged if the app is
// saturated and as busy as measure or busier, else Verified.
func verifyApp(app *discovery.App, before int, planned time.Time, measure float64) action.Outcome {
	var next *discovery.Worker
	for i := range app.Workers {
		w := &app.Workers[i]
		// A start is known to the hundredth of a second only, and a plan's time to the second.
		if w.Start.After(planned.Add(-time.Second)) && (next == nil || w.Start.After(next.Start)) {
			next = w
		}
	}
	if next == nil || len(app.Workers) <= before || !workers.Serves(*next) || time.Since(next.Start) < workers.MinUptime {
		return action.InProgress
	}
	if now := loadOf(app); now.saturated() && now.value() >= measure {
		return action.Unchanged
	}
	return action.Verified
}
