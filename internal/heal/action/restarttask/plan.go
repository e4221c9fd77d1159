package restarttask

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
)

// Plan implements [action.Action]. It is cleared if all workers make progress or nothing
// waits, and refused for what queue and find refuse or if the last restart was too recent;
// its only victim is the worker that has made none for the longest time.
func (r *Action) Plan(ctx context.Context, req action.PlanRequest) (action.Plan, error) {
	if r.isInside(req.Alert) {
		return r.planInside(ctx, req)
	}
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

// queue returns the queue that the rule and the alert name. A refusal: a setting is
// missing, they differ, or they name none or several.
func (r *Action) queue(a action.Alert) (q queue, refused action.Refusal) {
	if refused := r.checkSettings(); !refused.IsZero() {
		return q, refused
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

// queuesOf returns the queues of an app that have a name, or all of them if the name is "",
// in the order of the configuration.
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

// find returns the workers of a queue on this host that make no progress, the worst first,
// or in the result's field refused why none may be ended. An error: Redis or the processes
// cannot be read.
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
