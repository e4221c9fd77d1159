package collectors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/redis/tasks"
)

// TaskServer is what this collector needs of a Redis.
type TaskServer interface {
	Queues(ctx context.Context, refs []tasks.QueueRef) (tasks.Queues, error)
}

// TaskTarget is one entry of apps[].tasks: queues of one library in one Redis.
type TaskTarget struct {
	App    string
	Type   string // config.RQ or config.Celery
	Redis  string // the server's name in the configuration
	Queues []string
	Server TaskServer
}

var (
	taskLengthFamily    = gauge("task_queue_length", "Tasks that wait for a worker; for Celery, those of all priorities, without prefetched ones.", "app", "queue")
	taskAgeFamily       = gauge("task_oldest_age_seconds", "Age of the oldest waiting task. For a Celery message without a timestamp it is a lower bound: the time since the exporter first saw the message as the oldest.", "app", "queue")
	taskRunningFamily   = gauge("task_running", "RQ jobs that a worker has started and not finished. Absent for Celery, which does not report them to the broker.", "app", "queue")
	taskOrphanedFamily  = gauge("task_orphaned", "Started RQ jobs whose worker is gone or no longer sends heartbeats for them.", "app", "queue")
	taskFailedFamily    = gauge("task_failed", "Jobs in RQ's registry of failed jobs.", "app", "queue")
	taskWorkersFamily   = gauge("task_workers", "For RQ, the workers of the queue that send heartbeats, on any host; for Celery, the processes on this host that run tasks of the queue.", "app", "queue")
	taskHeartbeatFamily = gauge("task_worker_heartbeat_age_seconds", "Age of the oldest heartbeat of the queue's RQ workers. By default an idle worker sends one every 405 s, a busy one every 30 s.", "app", "queue")
	taskUnackedFamily   = gauge("task_unacked", "Unacknowledged messages held by Celery workers, over all queues of the broker: prefetched messages and, with acks_late, running ones.", "app", "redis")
	taskUnackedAge      = gauge("task_unacked_oldest_age_seconds", "Age of the oldest unacknowledged message; after the visibility timeout it is delivered to another worker.", "app", "redis")
)

// Tasks returns the queues of background tasks.
type Tasks struct {
	targets func() []TaskTarget
	apps    Apps

	mu      sync.Mutex
	seen    map[taskPart]firstSeen
	workers map[string]bool // queues for which a Celery worker ran on this host, by name
	over    [3]int64        // queues, workers and started jobs over their bounds, each time they were
}

// taskPart is one part of a Celery queue, with messages of one priority.
type taskPart struct {
	redis, queue string
	priority     int
}

// firstSeen is since when a message is known to be the oldest.
type firstSeen struct {
	id    uint64
	since time.Time
}

// NewTasks returns the collector "tasks"; apps tells of Celery's workers.
func NewTasks(targets func() []TaskTarget, apps Apps) *Tasks {
	return &Tasks{targets: targets, apps: apps, seen: make(map[taskPart]firstSeen), workers: make(map[string]bool)}
}

// Name implements [Collector].
func (*Tasks) Name() string { return "tasks" }

// Descs implements [Collector].
func (*Tasks) Descs() []*prometheus.Desc {
	return descs(taskLengthFamily, taskAgeFamily, taskRunningFamily, taskOrphanedFamily, taskFailedFamily, taskWorkersFamily, taskHeartbeatFamily,
		taskUnackedFamily, taskUnackedAge, seriesDropped)
}

// Collect implements [Collector]. Of several queues that lack something, the
// first by the configuration gives the reason.
func (c *Tasks) Collect(ctx context.Context) (Sample, error) {
	targets := c.targets()
	if len(targets) == 0 {
		return Sample{}, nil
	}
	reads := taskReads(targets)
	eachServer(ctx, len(reads), func(ctx context.Context, i int) {
		ctx, cancel := context.WithTimeout(ctx, redisPatience)
		defer cancel()
		reads[i].got, reads[i].err = reads[i].server.Queues(ctx, reads[i].refs)
	}, func(i int, err error) {
		reads[i].got, reads[i].err = tasks.Queues{}, fmt.Errorf("tasks in redis %s: %w", reads[i].name, err)
	})
	out := taskSample{now: time.Now(), known: c}
	celery := c.celeryNow(ctx, &out, targets)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(targets)
	for _, r := range reads {
		out.server(r)
	}
	out.workers(targets, celery)
	for i, family := range []string{"task_queue", "task_worker", "task_started"} {
		out.add(seriesDropped, float64(c.over[i]), family)
	}
	return out.Sample, errors.Join(out.lacks...)
}

// taskRead is all that is asked of one server, in one read.
type taskRead struct {
	name    string
	server  TaskServer
	refs    []tasks.QueueRef
	targets []TaskTarget
	got     tasks.Queues
	err     error
}

// taskReads gathers the targets by their server. A queue that two apps share is
// asked for twice; that is cheap, and seldom.
func taskReads(targets []TaskTarget) []*taskRead {
	var out []*taskRead
	for _, t := range targets {
		i := slices.IndexFunc(out, func(r *taskRead) bool { return r.name == t.Redis })
		if i < 0 {
			i = len(out)
			out = append(out, &taskRead{name: t.Redis, server: t.Server})
		}
		r := out[i]
		r.targets = append(r.targets, t)
		kind := tasks.RQ
		if t.Type == config.Celery {
			kind = tasks.Celery
		}
		for _, q := range t.Queues {
			r.refs = append(r.refs, tasks.QueueRef{Kind: kind, Name: q})
		}
	}
	return out
}

// forget drops what is kept of queues that are no longer in the configuration.
func (c *Tasks) forget(targets []TaskTarget) {
	type place struct{ redis, queue string }
	wanted := make(map[place]bool)
	queues := make(map[string]bool)
	for _, t := range targets {
		for _, q := range t.Queues {
			wanted[place{t.Redis, q}], queues[q] = true, true
		}
	}
	for p := range c.seen {
		if !wanted[place{p.redis, p.queue}] {
			delete(c.seen, p)
		}
	}
	for q := range c.workers {
		if !queues[q] {
			delete(c.workers, q)
		}
	}
}

// taskSample is the sample of one look, and what it lacks.
type taskSample struct {
	Sample

	now   time.Time
	known *Tasks
	lacks []error
}

// lack notes why something is not there.
func (s *taskSample) lack(err error) { s.lacks = append(s.lacks, err) }

// server publishes what one server told.
func (s *taskSample) server(r *taskRead) {
	if r.err != nil {
		s.lack(redisLack(r.name, r.err))
		return
	}
	s.known.over[0] += int64(r.got.Over)
	rest := r.got.List
	for _, t := range r.targets {
		n := min(len(t.Queues), len(rest))
		for i, name := range t.Queues[:n] {
			if q := &rest[i]; q.Err != nil {
				s.lack(redisLack(r.name, q.Err))
			} else {
				s.queue(t, name, q)
			}
		}
		rest = rest[n:]
	}
	s.unacked(r)
}

// queue publishes one queue.
func (s *taskSample) queue(t TaskTarget, name string, q *tasks.Queue) {
	out := model.Queue{App: t.App, Name: name, Length: float64(q.Length)}
	s.add(taskLengthFamily, out.Length, t.App, name)
	switch {
	case q.Lack != nil:
		s.lack(redisLack(t.Redis, q.Lack))
	case t.Type == config.Celery:
		s.age(&out.Oldest, taskAgeFamily, s.celeryOldest(t, name, q), t.App, name)
	default:
		s.age(&out.Oldest, taskAgeFamily, q.Oldest, t.App, name)
		s.set(&out.Running, taskRunningFamily, float64(q.Started-q.Orphaned), t.App, name)
		s.set(&out.Orphaned, taskOrphanedFamily, float64(q.Orphaned), t.App, name)
		s.set(&out.Failed, taskFailedFamily, float64(q.Failed), t.App, name)
		s.set(&out.Workers, taskWorkersFamily, float64(q.Workers), t.App, name)
		s.age(&out.WorkerHeartbeatAge, taskHeartbeatFamily, q.Heartbeat, t.App, name)
		s.known.over[1] += q.WorkersOver
		s.known.over[2] += q.Unlooked
	}
	s.State.Queues = append(s.State.Queues, out)
}

// age publishes the time since then; the clocks of two hosts may differ a
// little, so that it can lie ahead.
func (s *taskSample) age(number **float64, f *family, then time.Time, labels ...string) {
	if !then.IsZero() {
		s.set(number, f, max(0, s.now.Sub(then).Seconds()), labels...)
	}
}

// celeryOldest returns when the oldest message over all priorities was sent; zero
// where there is none.
func (s *taskSample) celeryOldest(t TaskTarget, name string, q *tasks.Queue) (oldest time.Time) {
	there := make(map[int]bool, len(q.Heads))
	for _, h := range q.Heads {
		there[h.Part] = true
		part := taskPart{t.Redis, name, h.Part}
		if h.Unread {
			delete(s.known.seen, part)
			s.lack(&Unavailable{
				Reason: Unsupported, Of: "redis:" + t.Redis,
				Detail: fmt.Sprintf("the age of the oldest message of %s in redis %s is not known: the message is too large to read", name, t.Redis),
			})
			continue
		}
		at := h.Sent
		if at.IsZero() {
			at = s.known.since(part, h.ID, s.now)
		}
		if oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
	}
	for p := range 10 {
		if !there[p] {
			delete(s.known.seen, taskPart{t.Redis, name, p})
		}
	}
	return oldest
}

// since is when a message was first seen as the oldest of its part.
func (c *Tasks) since(part taskPart, id uint64, now time.Time) time.Time {
	was, ok := c.seen[part]
	if !ok || was.id != id {
		was = firstSeen{id, now}
		c.seen[part] = was
	}
	return was.since
}

// unacked publishes what Celery's workers hold, for each app that uses the
// broker: it is one number for all of its queues.
func (s *taskSample) unacked(r *taskRead) {
	u := r.got.Unacked
	if u == nil {
		return
	}
	if u.Err != nil {
		s.lack(redisLack(r.name, u.Err))
		return
	}
	var done []string
	for _, t := range r.targets {
		if t.Type != config.Celery || slices.Contains(done, t.App) {
			continue
		}
		done = append(done, t.App)
		s.add(taskUnackedFamily, float64(u.Count), t.App, r.name)
		if u.Count > 0 {
			s.age(new(*float64), taskUnackedAge, u.Oldest, t.App, r.name)
		}
	}
}

// celeryNow returns the processes on this host that run tasks, by the name of
// their Celery queue; nil: that is not known.
func (c *Tasks) celeryNow(ctx context.Context, s *taskSample, targets []TaskTarget) map[string]int {
	if !slices.ContainsFunc(targets, func(t TaskTarget) bool { return t.Type == config.Celery }) {
		return nil
	}
	snap, err := c.apps.Snapshot(ctx)
	if err != nil {
		s.lack(err)
		return nil
	}
	out := make(map[string]int)
	for _, w := range snap.Celery {
		for _, q := range w.Queues {
			out[q] += w.Processes
		}
	}
	return out
}

// workers publishes Celery's workers: nothing where none was ever seen, for
// they may be on another host.
func (s *taskSample) workers(targets []TaskTarget, celery map[string]int) {
	if celery == nil {
		return
	}
	brokers := celeryBrokers(targets)
	for _, t := range targets {
		for _, q := range t.Queues {
			if t.Type != config.Celery || brokers[q] != t.Redis {
				continue
			}
			if celery[q] > 0 {
				s.known.workers[q] = true
			}
			if s.known.workers[q] {
				s.set(s.workersOf(t.App, q), taskWorkersFamily, float64(celery[q]), t.App, q)
			}
		}
	}
}

// workersOf returns where the state has the workers of a queue. One that was not
// read is not in it.
func (s *taskSample) workersOf(app, name string) **float64 {
	i := slices.IndexFunc(s.State.Queues, func(q model.Queue) bool { return q.App == app && q.Name == name })
	if i < 0 {
		return new(*float64)
	}
	return &s.State.Queues[i].Workers
}

// celeryBrokers returns the broker of each queue, "" where two have a queue of
// that name: a worker's command line names queues and no broker.
func celeryBrokers(targets []TaskTarget) map[string]string {
	out := make(map[string]string)
	for _, t := range targets {
		if t.Type != config.Celery {
			continue
		}
		for _, q := range t.Queues {
			if r, ok := out[q]; ok && r != t.Redis {
				out[q] = ""
			} else {
				out[q] = t.Redis
			}
		}
	}
	return out
}
