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

// Verify implements [action.Action]: for a task inside of an app, what verifyInside returns; else
// Unchanged if the plan cannot be read or the Redis is gone from the configuration, InProgress
// while the old worker lives, then what verifyRQ or verifyCelery returns. It uses the public part
// of the plan only.
func (r *Action) Verify(ctx context.Context, p action.Plan) (action.Outcome, error) {
	if len(p.Victims) != 1 {
		return action.Unchanged, nil
	}
	if isPlanInside(p) {
		return r.verifyInside(ctx, p)
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

// verifyRQ returns Verified if the first live worker that has come on this host since the
// plan has a job or has ended one, or no job waits; InProgress if it does nothing yet;
// Unchanged if none has started yet; "" with an error.
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

// verifyCelery returns Verified if a worker of the queue on this host has started since planned, and
// no job waits or some worker of the broker holds a message that it took since then, of whatever
// queue; InProgress while neither; Unchanged if no worker has started; "" with an error.
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
