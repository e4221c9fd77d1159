package restarttask

import (
	"context"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// Verify implements [action.Action]. It uses the public part of the plan only.
func (r *Action) Verify(ctx context.Context, p action.Plan) (action.Outcome, error) {
	if len(p.Victims) != 1 {
		return action.Unchanged, nil
	}
	info := p.Victims[0].Info
	old, ok := process.IdentityFrom(info, "")
	q := queue{app: info["app"], kind: info["kind"], redis: info["redis"], name: info["queue"]}
	planned := process.PlannedAt(info)
	server := r.d.Queues(q.redis)
	switch {
	case !ok || planned.IsZero() || server == nil:
		return action.Unchanged, nil
	case old.Alive(r.d.ProcRoot):
		return action.InProgress, nil
	case q.kind == config.Celery:
		return r.verifyCelery(ctx, server, q, planned)
	}
	return r.verifyRQ(ctx, server, q, planned)
}

// verifyRQ returns whether a new worker is there, and works.
func (r *Action) verifyRQ(ctx context.Context, server TaskQueues, q queue, planned time.Time) (action.Outcome, error) {
	snapshot, err := server.RQWorkers(ctx, q.name)
	if err != nil {
		return "", err
	}
	for _, w := range snapshot.Workers {
		if w.Host != r.d.Host || w.Birth.Before(planned) {
			continue
		}
		if _, err := procid.Identify(r.d.ProcRoot, w.PID); err != nil {
			continue
		}
		if snapshot.Waiting == 0 || w.Ended > 0 || w.Job != "" {
			return action.Verified, nil
		}
		return action.InProgress, nil
	}
	return action.Unchanged, nil // the new one has not started yet
}

func (r *Action) verifyCelery(ctx context.Context, server TaskQueues, q queue, planned time.Time) (action.Outcome, error) {
	snap, err := r.d.Processes.Snapshot(ctx)
	if err != nil {
		return "", err
	}
	for _, w := range snap.Celery {
		if !slices.Contains(w.Queues, q.name) || w.Start.Before(planned) {
			continue
		}
		in, err := server.CeleryIntake(ctx, q.name, planned)
		switch {
		case err != nil:
			return "", err
		case in.Fresh || in.Waiting == 0:
			return action.Verified, nil
		}
		return action.InProgress, nil
	}
	return action.Unchanged, nil
}
