// Package restarttask is the action restart_task: it ends one worker process of RQ or
// Celery that makes no progress.
package restarttask

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/proc"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// After the n-th restart in a row on one queue, nothing is done to it for
// firstBackoff × 2^(n−1); a row ends when it was well for that long and wellFor.
const (
	firstBackoff = 30 * time.Second
	maxBackoff   = 30 * time.Minute
	wellFor      = 10 * time.Minute
)

// TaskQueues is what restart_task needs of a Redis; [redis.Server] has it.
type TaskQueues interface {
	RQWorkers(ctx context.Context, queue string) (redis.RQLook, error)
	CeleryIntake(ctx context.Context, queue string, since time.Time) (redis.Intake, error)
	Keyspace(ctx context.Context) (string, error)
}

// Deps are what [New] needs of others.
type Deps struct {
	Apps      func() []config.App          // of the configuration as it is now
	Queues    func(name string) TaskQueues // a server of the section redis; nil: there is none of that name
	Processes process.Processes
	ProcRoot  string // "/proc"; where it is mounted
	Host      string // this host's name, as os.Hostname gives it
}

// Action is the action restart_task: it ends one worker process of RQ or
// Celery that makes no progress, for whoever started it to start a new one.
type Action struct {
	d Deps
	c config.RestartTask
}

// New returns the action with these settings.
func New(d Deps, c config.RestartTask) *Action {
	return &Action{d: d, c: c}
}

// Target implements [action.Action].
func (r *Action) Target(a action.Alert) string {
	return "app:" + action.TargetName(a, "app", r.c.App) + "/queue:" + action.TargetName(a, "queue", r.c.Queue)
}

// taskQueue is one queue of the configuration.
type taskQueue struct {
	app, kind, redis, name string
	user                   string // that its workers run as; "": not said
}

func (q taskQueue) target() string { return "app:" + q.app + "/queue:" + q.name }

// stuckTask is a worker process that makes no progress.
type stuckTask struct {
	id   proc.Identity
	key  string        // of RQ's entry; "": of Celery
	job  string        // that it holds; never shown
	held time.Duration // without progress for that long
	why  string        // in words
}

// found is what a look at a queue's workers came to.
type found struct {
	stuck   []stuckTask // on this host and fit to be ended, the worst first
	refused string      // why none may be ended although one is stuck
	workers int         // that serve the queue
	server  redis.ServerID
}

// restarting is what a plan keeps for Apply.
type restarting struct {
	queue  taskQueue
	task   stuckTask
	server redis.ServerID
}

// Plan implements [action.Action].
func (r *Action) Plan(ctx context.Context, req action.PlanRequest) (action.Plan, error) {
	p := action.Plan{Action: config.ActionRestartTask, Target: "app:?/queue:?"}
	q, refused := r.queue(req.Alert)
	if refused != "" {
		p.Refused = refused
		return p, nil
	}
	p.Target = q.target()
	f, err := r.look(ctx, q)
	if err != nil {
		return action.Plan{}, err
	}
	if f.refused == "" && len(f.stuck) > 0 {
		f.refused = tooSoon(req.Acts[q.target()], time.Now())
	}
	switch {
	case f.refused != "":
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
	p.Private = &restarting{q, t, f.server}
	return p, nil
}

// queue finds the queue that rule and alert name.
func (r *Action) queue(a action.Alert) (q taskQueue, refused string) {
	switch {
	case !r.c.Idempotent:
		return q, "the jobs of the queue are not said to be idempotent: a job that is cut off may run twice"
	case r.c.MinStuck < time.Second:
		return q, "min_stuck is missing"
	}
	appName, refused := action.NameFrom(a, "app", r.c.App)
	if refused != "" {
		return q, refused
	}
	queueName, refused := action.NameFrom(a, "queue", r.c.Queue)
	if refused != "" {
		return q, refused
	}
	app, ok := action.AppNamed(r.d.Apps(), appName)
	all := queuesOf(app, queueName)
	switch {
	case !ok || len(all) == 0:
		return q, "neither the rule nor the alert names a queue of an app in the configuration"
	case len(all) > 1:
		return q, "which queue is meant is not sure: name it in the rule"
	}
	return all[0], ""
}

// queuesOf returns the queues of an app of that name; "": all.
func queuesOf(app config.App, name string) []taskQueue {
	var out []taskQueue
	for _, t := range app.Tasks {
		for _, n := range t.Names() {
			if n == name || name == "" {
				out = append(out, taskQueue{app.Name, t.Type, t.Redis, n, t.User})
			}
		}
	}
	return out
}

// look finds workers without progress.
func (r *Action) look(ctx context.Context, q taskQueue) (found, error) {
	server := r.d.Queues(q.redis)
	if server == nil {
		return found{refused: "the queue's Redis is not in the configuration any more"}, nil
	}
	if refused := r.sharedQueue(ctx, q); refused != "" {
		return found{refused: refused}, nil
	}
	if q.kind == config.Celery {
		return r.celery(ctx, server, q)
	}
	return r.rq(ctx, server, q)
}

// backoff is how long nothing is done after n restarts in a row.
func backoff(n int) time.Duration {
	if n < 1 {
		return 0
	}
	return min(maxBackoff, firstBackoff<<min(n-1, 10))
}

// tooSoon says why a queue that was restarted at these times, the oldest first,
// is left alone for now.
func tooSoon(restarts []time.Time, now time.Time) string {
	n := 0
	var last time.Time
	for _, at := range restarts {
		if at.Sub(last) > backoff(n)+wellFor {
			n = 0
		}
		n, last = n+1, at
	}
	if wait := last.Add(backoff(n)).Sub(now); n > 0 && wait > 0 {
		return fmt.Sprintf("it was restarted %d times in a row, the last time %.0f s ago: not again for %.0f s", n, now.Sub(last).Seconds(), wait.Seconds())
	}
	return ""
}

// Verify implements [action.Action]. It needs nothing but what the plan says openly.
func (r *Action) Verify(ctx context.Context, p action.Plan) (action.Outcome, error) {
	if len(p.Victims) != 1 {
		return action.Unchanged, nil
	}
	info := p.Victims[0].Info
	old, ok := process.IdentityFrom(info, "")
	q := taskQueue{app: info["app"], kind: info["kind"], redis: info["redis"], name: info["queue"]}
	planned := process.PlannedAt(info)
	server := r.d.Queues(q.redis)
	switch {
	case !ok || planned.IsZero() || server == nil:
		return action.Unchanged, nil
	case old.Alive(r.d.ProcRoot):
		return action.InProgress, nil
	case q.kind == config.Celery:
		return r.celeryBack(ctx, server, q, planned)
	}
	return r.rqBack(ctx, server, q, planned)
}

// rqBack reports whether a new worker is there, and works.
func (r *Action) rqBack(ctx context.Context, server TaskQueues, q taskQueue, planned time.Time) (action.Outcome, error) {
	look, err := server.RQWorkers(ctx, q.name)
	if err != nil {
		return "", err
	}
	for _, w := range look.Workers {
		if w.Host != r.d.Host || w.Birth.Before(planned) {
			continue
		}
		if _, err := proc.Identify(r.d.ProcRoot, w.PID); err != nil {
			continue
		}
		if look.Waiting == 0 || w.Ended > 0 || w.Job != "" {
			return action.Verified, nil
		}
		return action.InProgress, nil
	}
	return action.Unchanged, nil // nobody has started a new one yet
}

func (r *Action) celeryBack(ctx context.Context, server TaskQueues, q taskQueue, planned time.Time) (action.Outcome, error) {
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
