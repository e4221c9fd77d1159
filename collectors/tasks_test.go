package collectors_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/tasks"
)

// fakeTaskServer is a server that returns fixed values, by the name of a queue.
type fakeTaskServer struct {
	queues        map[string]tasks.Queue
	unacked       *tasks.Unacked
	over          int
	err           error
	hangs, panics bool
	asked         atomic.Int64
}

func (s *fakeTaskServer) Queues(ctx context.Context, refs []tasks.QueueRef) (tasks.Queues, error) {
	s.asked.Add(1)
	if s.hangs {
		<-ctx.Done()
		return tasks.Queues{}, &redis.Error{Reason: reason.Timeout, Detail: "did not answer in time"}
	}
	if s.panics {
		panic("on purpose")
	}
	out := tasks.Queues{Unacked: s.unacked, Over: s.over}
	for _, r := range refs {
		out.List = append(out.List, s.queues[r.Name])
	}
	return out, s.err
}

func rqTask(app, server string, s *fakeTaskServer, queues ...string) collectors.TaskTarget {
	return collectors.TaskTarget{App: app, Type: config.RQ, Redis: server, Queues: queues, Server: s}
}

func celeryTask(app, server string, s *fakeTaskServer, queues ...string) collectors.TaskTarget {
	return collectors.TaskTarget{App: app, Type: config.Celery, Redis: server, Queues: queues, Server: s}
}

func tasksOf(celery []discovery.CeleryWorker, targets ...collectors.TaskTarget) *collectors.Tasks {
	return collectors.NewTasks(func() []collectors.TaskTarget { return targets }, fakeApps{snap: &discovery.Snapshot{Celery: celery}})
}

// The clock of a synctest bubble does not advance by itself, so ages are the same in each
// run.
func TestTasksGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ago := func(s int) time.Time { return time.Now().Add(-time.Duration(s) * time.Second) }
		cache := &fakeTaskServer{queues: map[string]tasks.Queue{
			"default": {Length: 3, Oldest: ago(42), Started: 5, Orphaned: 2, Failed: 7, Workers: 2, Heartbeat: ago(31)},
			"empty":   {},
			"refused": {Err: &redis.Error{Reason: reason.Permission, Detail: "needs a right for its user: ACL SETUSER <user> +llen"}},
		}}
		broker := &fakeTaskServer{unacked: &tasks.Unacked{Count: 6, Oldest: ago(90)}, queues: map[string]tasks.Queue{
			"celery": {Length: 9, Heads: []tasks.Head{{Part: 0, ID: 1, Sent: ago(12)}, {Part: 3, ID: 2, Sent: ago(500)}}},
			"mail":   {Length: 1, Heads: []tasks.Head{{Part: 9, ID: 3}}},
		}}
		golden(t, tasksOf([]discovery.CeleryWorker{{Queues: []string{"celery", "other"}, Processes: 4}, {Queues: []string{"celery"}, Processes: 1}},
			rqTask("shop", "cache", cache, "default", "empty", "refused"), celeryTask("shop", "broker", broker, "celery"), celeryTask("desk", "broker", broker, "mail")))
	})
}

// The age of a message without a time counts from when it was first seen as the oldest, also
// if the server was unreachable in between.
func TestTasksFirstSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeTaskServer{}
		c := tasksOf(nil, celeryTask("shop", "broker", s, "mail"))
		for i, step := range []struct {
			heads []tasks.Head
			err   error
			want  float64 // negative: absent
		}{
			{[]tasks.Head{{Part: 0, ID: 1}}, nil, 0},
			{[]tasks.Head{{Part: 0, ID: 1}}, nil, 10},
			{nil, &redis.Error{Reason: reason.NotFound, Detail: "does not listen at its address"}, -1},
			{[]tasks.Head{{Part: 0, ID: 1}, {Part: 3, ID: 7}}, nil, 30},
			{[]tasks.Head{{Part: 0, ID: 2}, {Part: 3, ID: 7}}, nil, 10}, // the older one of two
			{[]tasks.Head{{Part: 0, ID: 2}, {Part: 3, ID: 7, Unread: true}}, nil, 10},
			{nil, nil, -1},
			{[]tasks.Head{{Part: 0, ID: 2}}, nil, 0}, // it was away, and is back
			{[]tasks.Head{{Part: 0, ID: 2, Sent: time.Now().Add(time.Hour)}}, nil, 0},
		} {
			s.err, s.queues = step.err, map[string]tasks.Queue{"mail": {Length: int64(len(step.heads)), Heads: step.heads}}
			sample, _ := c.Collect(t.Context())
			got, err := reading(sample, "resp_task_oldest_age_seconds", "shop", "mail")
			if err != nil {
				got = -1
			}
			if got != step.want {
				t.Errorf("step %d: %v, want %v", i, got, step.want)
			}
			time.Sleep(10 * time.Second)
		}
	})
}

// Celery workers are counted by the name of the queue, and only if it is unique; after the
// last one has ended their number is 0, and it is absent if there never was one.
func TestTasksCeleryWorkers(t *testing.T) {
	s := &fakeTaskServer{}
	snap := &discovery.Snapshot{}
	targets := []collectors.TaskTarget{celeryTask("shop", "broker", s, "mail", "both"), celeryTask("desk", "broker", s, "mail"), celeryTask("desk", "other", s, "both")}
	c := collectors.NewTasks(func() []collectors.TaskTarget { return targets }, fakeApps{snap: snap})
	workers := func(app, queue string) float64 {
		sample, err := c.Collect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if v, err := reading(sample, "resp_task_workers", app, queue); err == nil {
			return v
		}
		return -1
	}
	if n := workers("shop", "mail"); n != -1 {
		t.Errorf("before a worker was seen: %v", n)
	}
	snap.Celery = []discovery.CeleryWorker{{Queues: []string{"mail", "both"}, Processes: 3}}
	if a, b := workers("shop", "mail"), workers("desk", "mail"); a != 3 || b != 3 {
		t.Errorf("of one broker: %v and %v", a, b)
	}
	if a, b := workers("shop", "both"), workers("desk", "both"); a != -1 || b != -1 {
		t.Errorf("of two brokers: %v and %v", a, b)
	}
	snap.Celery = nil
	if n := workers("shop", "mail"); n != 0 {
		t.Errorf("after the last one ended: %v", n)
	}
	targets = targets[2:]
	if n := workers("shop", "mail"); n != -1 {
		t.Errorf("out of the configuration: %v", n)
	}
}

func TestTasksSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		well, hung, mad := &fakeTaskServer{queues: map[string]tasks.Queue{"q": {Length: 4}}}, &fakeTaskServer{hangs: true}, &fakeTaskServer{panics: true}
		s, err := tasksOf(nil, rqTask("a", "hung", hung, "q"), rqTask("b", "mad", mad, "q"), rqTask("c", "well", well, "q"), celeryTask("c", "hung", hung, "c")).Collect(ctx)
		if ctx.Err() != nil {
			t.Error("not before the deadline")
		}
		if n := hung.asked.Load(); n != 1 {
			t.Errorf("one server was asked %d times", n)
		}
		if n, err := reading(s, "resp_task_queue_length", "c", "q"); err != nil || n != 4 {
			t.Errorf("well: %v, %v", n, err)
		}
		if _, err := reading(s, "resp_task_queue_length", "a", "q"); err == nil {
			t.Error("a length from a server that hangs")
		}
		if reason, detail := collectors.ReasonOf(err); reason != collectors.Timeout || detail != "redis hung did not answer in time; tasks in redis mad: panic: on purpose" {
			t.Errorf("%s %q", reason, detail)
		}
	})
}

func TestTasksReasons(t *testing.T) {
	if s, err := tasksOf(nil).Collect(t.Context()); err != nil || len(s.Metrics) != 0 {
		t.Errorf("with no tasks: %d metrics, %v", len(s.Metrics), err)
	}
	refused := &redis.Error{Reason: reason.Permission, Detail: "needs more rights"}
	stub := &fakeTaskServer{unacked: &tasks.Unacked{Err: refused}, queues: map[string]tasks.Queue{
		"a": {Err: refused}, "b": {Length: 1, Heads: []tasks.Head{{Unread: true}}}, "c": {Length: 2},
	}}
	tasks := tasksOf(nil, celeryTask("shop", "broker", stub, "a", "b", "c"))
	s, err := tasks.Collect(t.Context())
	got, detail := collectors.ReasonOf(err)
	if got != collectors.Permission || strings.Count(detail, "needs more rights") != 1 || !slices.ContainsFunc(collectors.Lacks(err), func(u *collectors.Unavailable) bool {
		return u.Reason == collectors.Unsupported && u.Of == "redis:broker"
	}) {
		t.Errorf("%s %q", got, detail)
	}
	for name, labels := range map[string][]string{
		"resp_task_queue_length": {"shop", "a"}, "resp_task_oldest_age_seconds": {"shop", "b"}, "resp_task_unacked": {"shop", "broker"}, "resp_task_running": {"shop", "c"},
	} {
		if _, err := reading(s, name, labels...); err == nil {
			t.Errorf("%s of %v is there", name, labels)
		}
	}
	stub.over = 3
	for _, want := range []float64{3, 6} { // a counter
		s, _ = tasks.Collect(t.Context())
		if n, err := reading(s, "resp_series_dropped_total", "task_queue"); err != nil || n != want {
			t.Errorf("%v queues over the bound, want %v", n, want)
		}
	}
	if n, err := reading(s, "resp_task_queue_length", "shop", "c"); err != nil || n != 2 {
		t.Errorf("the queue that can be read: %v, %v", n, err)
	}
	stub.err = &redis.Error{Reason: reason.Unsupported, Detail: "is a cluster"}
	_, err = tasksOf(nil, rqTask("shop", "broker", stub, "a")).Collect(t.Context())
	if got, _ := collectors.ReasonOf(err); got != collectors.Unsupported {
		t.Error(err)
	}
	gone := collectors.NewTasks(func() []collectors.TaskTarget {
		return []collectors.TaskTarget{celeryTask("shop", "broker", &fakeTaskServer{}, "c")}
	}, fakeApps{err: errors.New("no /proc")})
	s, err = gone.Collect(t.Context())
	if reason, _ := collectors.ReasonOf(err); reason != collectors.Failed || len(s.Metrics) == 0 {
		t.Errorf("without processes: %v, %d metrics", err, len(s.Metrics))
	}
}

func BenchmarkTasksCollect(b *testing.B) {
	s := &fakeTaskServer{unacked: &tasks.Unacked{}, queues: map[string]tasks.Queue{"mail": {Length: 1, Heads: []tasks.Head{{ID: 1}}}, "default": {Length: 1, Workers: 3, Heartbeat: time.Now()}}}
	c := tasksOf(nil, rqTask("shop", "cache", s, "default"), celeryTask("shop", "cache", s, "mail"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Collect(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
