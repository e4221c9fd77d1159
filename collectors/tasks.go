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

// TaskServer is the part of a Redis client that this collector uses.
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

// Tasks is the collector "tasks": the queues of background tasks.
type Tasks struct {
	targets func() []TaskTarget
	apps    Apps

	mu      sync.Mutex
	seen    map[taskPart]firstSeen
	workers map[string]bool // queues for which a Celery worker ran on this host, by name
	leftOut [3]int64        // queues, workers and started jobs over their limits, summed over all reads
}

// taskPart is one part of a Celery queue, with messages of one priority.
type taskPart struct {
	redis, queue string
	priority     int
}

// firstSeen is when a message was first seen as the oldest.
type firstSeen struct {
	id    uint64
	since time.Time
}

// NewTasks returns the collector "tasks". apps returns Celery's workers on this host,
// among others.
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

// Collect implements [Collector]. Without a queue in the configuration the sample is
// empty. The first lack is that of Celery's processes, if those cannot be read; the
// others are in the order of the configuration, by server. The collector has the reason
// of the first.
func (c *Tasks) Collect(ctx context.Context) (Sample, error) {
	targets := c.targets()
	if len(targets) == 0 {
		return Sample{}, nil
	}
	reads := taskReads(targets)
	eachServer(ctx, len(reads), func(ctx context.Context, i int) {
		ctx, cancel := context.WithTimeout(ctx, redisTimeout)
		defer cancel()
		reads[i].queues, reads[i].err = reads[i].server.Queues(ctx, reads[i].refs)
	}, func(i int, err error) {
		reads[i].queues, reads[i].err = tasks.Queues{}, fmt.Errorf("tasks in redis %s: %w", reads[i].name, err)
	})
	out := taskSample{now: time.Now(), tasks: c}
	celery := c.celeryProcesses(ctx, &out, targets)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.prune(targets)
	for _, r := range reads {
		out.addServer(r)
	}
	out.addWorkers(targets, celery)
	for i, family := range []string{"task_queue", "task_worker", "task_started"} {
		out.add(seriesDropped, float64(c.leftOut[i]), family)
	}
	return out.Sample, errors.Join(out.lacks...)
}

// taskRead is one read of all queues of one server.
type taskRead struct {
	name    string
	server  TaskServer
	refs    []tasks.QueueRef
	targets []TaskTarget
	queues  tasks.Queues
	err     error
}

// taskReads returns one read per Redis server, in the order of the targets. A queue that
// two apps share is in it twice, which is cheap and rare.
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

// prune removes what is kept of queues that are not in the configuration any more.
func (c *Tasks) prune(targets []TaskTarget) {
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

// taskSample is the sample of one scrape, and its lacks.
type taskSample struct {
	Sample

	now   time.Time
	tasks *Tasks
	lacks []error
}

// addLack adds an error to those of the sample.
func (s *taskSample) addLack(err error) { s.lacks = append(s.lacks, err) }

// addServer adds the series and the state of the queues of one server, or why they could
// not be read.
func (s *taskSample) addServer(r *taskRead) {
	if r.err != nil {
		s.addLack(redisLack(r.name, r.err))
		return
	}
	s.tasks.leftOut[0] += int64(r.queues.Over)
	rest := r.queues.List
	for _, t := range r.targets {
		n := min(len(t.Queues), len(rest))
		for i, name := range t.Queues[:n] {
			if q := &rest[i]; q.Err != nil {
				s.addLack(redisLack(r.name, q.Err))
			} else {
				s.addQueue(t, name, q)
			}
		}
		rest = rest[n:]
	}
	s.addUnacked(r)
}

// addQueue adds the series and the state of one queue. What could not be read is a lack.
func (s *taskSample) addQueue(t TaskTarget, name string, q *tasks.Queue) {
	out := model.Queue{App: t.App, Name: name, Length: float64(q.Length)}
	s.add(taskLengthFamily, out.Length, t.App, name)
	switch {
	case q.Lack != nil:
		s.addLack(redisLack(t.Redis, q.Lack))
	case t.Type == config.Celery:
		s.setAge(&out.Oldest, taskAgeFamily, s.celeryOldest(t, name, q), t.App, name)
	default:
		s.setAge(&out.Oldest, taskAgeFamily, q.Oldest, t.App, name)
		s.set(&out.Running, taskRunningFamily, float64(q.Started-q.Orphaned), t.App, name)
		s.set(&out.Orphaned, taskOrphanedFamily, float64(q.Orphaned), t.App, name)
		s.set(&out.Failed, taskFailedFamily, float64(q.Failed), t.App, name)
		s.set(&out.Workers, taskWorkersFamily, float64(q.Workers), t.App, name)
		s.setAge(&out.WorkerHeartbeatAge, taskHeartbeatFamily, q.Heartbeat, t.App, name)
		s.tasks.leftOut[1] += q.WorkersOver
		s.tasks.leftOut[2] += q.Unlooked
	}
	s.State.Queues = append(s.State.Queues, out)
}

// setAge publishes the seconds since then, and sets number to them; nothing for the zero
// time. They are at least 0, as the clocks of two hosts may differ.
func (s *taskSample) setAge(number **float64, f *family, then time.Time, labels ...string) {
	if !then.IsZero() {
		s.set(number, f, max(0, s.now.Sub(then).Seconds()), labels...)
	}
}

// celeryOldest returns when the oldest message in any priority of a Celery queue was sent
// or, if that is not known, first seen; the zero time if there is none. A message that is
// too large to read does not count, and is a lack.
func (s *taskSample) celeryOldest(t TaskTarget, name string, q *tasks.Queue) (oldest time.Time) {
	there := make(map[int]bool, len(q.Heads))
	for _, h := range q.Heads {
		there[h.Part] = true
		part := taskPart{t.Redis, name, h.Part}
		if h.Unread {
			delete(s.tasks.seen, part)
			s.addLack(&Unavailable{
				Reason: Unsupported, Of: "redis:" + t.Redis,
				Detail: fmt.Sprintf("the age of the oldest message of %s in redis %s is not known: the message is too large to read", name, t.Redis),
			})
			continue
		}
		at := h.Sent
		if at.IsZero() {
			at = s.tasks.firstSeenAt(part, h.ID, s.now)
		}
		if oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
	}
	for p := range 10 {
		if !there[p] {
			delete(s.tasks.seen, taskPart{t.Redis, name, p})
		}
	}
	return oldest
}

// firstSeenAt returns when a message was first seen as the oldest of its part of a queue;
// now if it was not before.
func (c *Tasks) firstSeenAt(part taskPart, id uint64, now time.Time) time.Time {
	was, ok := c.seen[part]
	if !ok || was.id != id {
		was = firstSeen{id, now}
		c.seen[part] = was
	}
	return was.since
}

// addUnacked adds the metrics of the messages that Celery's workers hold, for each app
// that uses the broker: the broker has one number for all queues.
func (s *taskSample) addUnacked(r *taskRead) {
	u := r.queues.Unacked
	if u == nil {
		return
	}
	if u.Err != nil {
		s.addLack(redisLack(r.name, u.Err))
		return
	}
	var added []string
	for _, t := range r.targets {
		if t.Type != config.Celery || slices.Contains(added, t.App) {
			continue
		}
		added = append(added, t.App)
		s.add(taskUnackedFamily, float64(u.Count), t.App, r.name)
		if u.Count > 0 {
			s.setAge(new(*float64), taskUnackedAge, u.Oldest, t.App, r.name)
		}
	}
}

// celeryProcesses returns how many processes on this host take tasks from each Celery
// queue, by its name; nil if no queue is one of Celery, or the processes cannot be read,
// which is a lack.
func (c *Tasks) celeryProcesses(ctx context.Context, s *taskSample, targets []TaskTarget) map[string]int {
	if !slices.ContainsFunc(targets, func(t TaskTarget) bool { return t.Type == config.Celery }) {
		return nil
	}
	snap, err := c.apps.Snapshot(ctx)
	if err != nil {
		s.addLack(err)
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

// addWorkers adds how many of Celery's workers each queue has. A queue that never had one
// here gets no series: its workers may be on another host.
func (s *taskSample) addWorkers(targets []TaskTarget, celery map[string]int) {
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
				s.tasks.workers[q] = true
			}
			if s.tasks.workers[q] {
				s.set(s.workersField(t.App, q), taskWorkersFamily, float64(celery[q]), t.App, q)
			}
		}
	}
}

// workersField returns the state's field for the number of workers of a queue; one that
// belongs to nothing if the queue was not read.
func (s *taskSample) workersField(app, name string) **float64 {
	i := slices.IndexFunc(s.State.Queues, func(q model.Queue) bool { return q.App == app && q.Name == name })
	if i < 0 {
		return new(*float64)
	}
	return &s.State.Queues[i].Workers
}

// celeryBrokers returns the Redis of each Celery queue by its name; "" if two have a
// queue of that name: a worker's command line does not show its broker.
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
