package restarttask

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/retry"
)

// After the n-th restart in a row on one queue, nothing is done to it for
// firstBackoff × 2^(n−1). A row ends when the queue needed none for that long and wellFor.
const (
	firstBackoff = 30 * time.Second
	maxBackoff   = 30 * time.Minute
	wellFor      = 10 * time.Minute
)

// Plan implements [action.Action].
func (r *Action) Plan(ctx context.Context, req action.PlanRequest) (action.Plan, error) {
	p := action.Plan{Action: config.ActionRestartTask, Target: "app:?/queue:?"}
	q, refused := r.queue(req.Alert)
	if !refused.IsZero() {
		p.Refused = refused
		return p, nil
	}
	p.Target = q.target()
	f, err := r.find(ctx, q)
	if err != nil {
		return action.Plan{}, err
	}
	if f.refused.IsZero() && len(f.stuck) > 0 {
		f.refused = tooSoon(req.Acts[q.target()], time.Now())
	}
	switch {
	case !f.refused.IsZero():
		p.Refused = f.refused
		return p, nil
	case len(f.stuck) == 0:
		p.Cleared = true
		return p, nil
	}
	t := f.stuck[0]
	p.Summary = fmt.Sprintf("restart a worker of %s, queue %s of %s: %s for %.0f s", q.kind, q.name, q.app, t.why, t.held.Seconds())
	p.Measure, p.Total = t.held.Seconds(), 1
	info := process.Info(t.id)
	info["kind"], info["app"], info["redis"], info["queue"], info["workers"] = q.kind, q.app, q.redis, q.name, strconv.Itoa(f.workers)
	p.Victims = []action.Victim{{Kind: "process", ID: strconv.Itoa(t.id.PID), Identity: process.IdentityOf(t.id), Info: info}}
	p.Private = &prepared{q, t, f.server}
	return p, nil
}

// queue returns the queue that rule and alert name.
func (r *Action) queue(a action.Alert) (q queue, refused action.Refusal) {
	switch {
	case !r.c.Idempotent:
		return q, action.Refuse(action.CodeNotIdempotent, "set idempotent: true if the jobs of the queue may run twice: a job that is interrupted is run again")
	case r.c.MinStuck < time.Second:
		return q, action.Refuse(action.CodeSettingMissing, "min_stuck is missing")
	}
	appName, refused := action.NameFrom(a, "app", r.c.App)
	if !refused.IsZero() {
		return q, refused
	}
	queueName, refused := action.NameFrom(a, "queue", r.c.Queue)
	if !refused.IsZero() {
		return q, refused
	}
	app, ok := action.FindApp(r.d.Apps(), appName)
	all := queuesOf(app, queueName)
	switch {
	case !ok || len(all) == 0:
		return q, action.Refuse(action.CodeUnknownQueue, "neither the rule nor the alert names a queue of an app in the configuration")
	case len(all) > 1:
		return q, action.Refuse(action.CodeSeveralQueues, "the alert matches several queues: name one in the rule")
	}
	return all[0], action.Refusal{}
}

// queuesOf returns the queues of an app of that name; "": all.
func queuesOf(app config.App, name string) []queue {
	var out []queue
	for _, t := range app.Tasks {
		for _, n := range t.Names() {
			if n == name || name == "" {
				out = append(out, queue{app.Name, t.Type, t.Redis, n, t.User})
			}
		}
	}
	return out
}

// find returns the workers without progress.
func (r *Action) find(ctx context.Context, q queue) (lookup, error) {
	server := r.d.Queues(q.redis)
	if server == nil {
		return lookup{refused: action.Refuse(action.CodeRedisUnknown, "the queue's Redis is no longer in the configuration")}, nil
	}
	if refused := r.sharedQueue(ctx, q); !refused.IsZero() {
		return lookup{refused: refused}, nil
	}
	if q.kind == config.Celery {
		return r.findCelery(ctx, server, q)
	}
	return r.findRQ(ctx, server, q)
}

// backoff returns for how long nothing is done after n restarts in a row.
func backoff(n int) time.Duration {
	return retry.Backoff{First: firstBackoff, Max: maxBackoff}.Delay(n)
}

// tooSoon returns why a queue that was restarted at these times, the oldest first, is left
// alone for now; zero: it is not.
func tooSoon(restarts []time.Time, now time.Time) action.Refusal {
	n, wait := backoffLeft(restarts, now)
	if wait <= 0 {
		return action.Refusal{}
	}
	ago := now.Sub(restarts[len(restarts)-1])
	return action.Refuse(action.CodeBackoff, "it was restarted %d times in a row, the last time %.0f s ago: the next restart is allowed in %.0f s", n, ago.Seconds(), wait.Seconds())
}

// backoffLeft returns how many of the restarts at these times, the oldest first, are in a
// row, and for how long nothing is done after them.
func backoffLeft(restarts []time.Time, now time.Time) (n int, wait time.Duration) {
	var last time.Time
	for _, at := range restarts {
		if at.Sub(last) > backoff(n)+wellFor {
			n = 0
		}
		n, last = n+1, at
	}
	if n == 0 {
		return 0, 0
	}
	return n, max(0, last.Add(backoff(n)).Sub(now))
}
