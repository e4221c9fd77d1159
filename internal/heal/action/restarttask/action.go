// Package restarttask is the action restart_task: it ends one worker process of RQ or
// Celery that makes no progress, or asks a worker of an app to restart a background task
// inside of it, by the app's control file.
package restarttask

import (
	"context"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/followers"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/procid"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/tasks"
)

// TaskQueues reads the queues of a Redis; [tasks.Reader] is one.
type TaskQueues interface {
	RQWorkers(ctx context.Context, queue string) (tasks.RQSnapshot, error)
	CeleryIntake(ctx context.Context, queue string, since time.Time) (tasks.Intake, error)
	Keyspace(ctx context.Context) (string, error)
}

// Deps are the dependencies of the action.
type Deps struct {
	Apps      func() []config.App          // of the present configuration
	Queues    func(name string) TaskQueues // a server of the section redis; nil: there is none with that name
	Processes process.Snapshotter
	ProcRoot  string // "/proc"; where it is mounted
	Host      string // this host's name, as os.Hostname returns it

	// Of tasks that apps run inside themselves.
	Followers followers.Finder
	Control   Control
}

// Action is the action restart_task.
type Action struct {
	d Deps
	c config.RestartTask
}

// New returns the action with these settings.
func New(d Deps, c config.RestartTask) *Action {
	return &Action{d: d, c: c}
}

// Target implements [action.Action]: "app:NAME/queue:NAME", or "app:NAME/task:NAME" for a
// task inside of an app, with "?" for a name that neither the settings nor the alert have.
func (r *Action) Target(a action.Alert) string {
	if r.isInside(a) {
		return inside{action.TargetName(a, "app", r.c.App), action.TargetName(a, "task", r.c.Task)}.target()
	}
	return "app:" + action.TargetName(a, "app", r.c.App) + "/queue:" + action.TargetName(a, "queue", r.c.Queue)
}

// queue is one queue of the configuration.
type queue struct {
	app, kind, redis, name string
	user                   string // that its workers run as; "": not configured
}

// target returns the target of guards: app:NAME/queue:NAME.
func (q queue) target() string { return "app:" + q.app + "/queue:" + q.name }

// stuckTask is a worker process that makes no progress.
type stuckTask struct {
	id   procid.Identity
	key  string        // of RQ's entry; "": of Celery
	job  string        // that it works on; never shown
	held time.Duration // without progress for that long
	why  string        // the evidence, for people
}

// lookup is the result of reading a queue's workers.
type lookup struct {
	stuck   []stuckTask    // on this host and fit to be ended, the worst first
	refused action.Refusal // why none may be ended although one is stuck
	workers int            // that serve the queue
	server  redis.ServerID
}

// prepared is the private part of a plan.
type prepared struct {
	queue  queue
	task   stuckTask
	server redis.ServerID
}
