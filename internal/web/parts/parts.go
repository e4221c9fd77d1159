// Package parts has the pools, tasks and sessions of apps and the servers that they use,
// as the page and /api/v1/status show them.
package parts

import (
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/health/words"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
	"github.com/resp-exporter/resp-exporter/internal/web/display"
)

// The parts of an app, as the page shows them.
type (
	// Pool is a connection pool.
	Pool struct{ *model.Pool }
	// Queue is a queue of tasks.
	Queue struct{ *model.Queue }
	// Sessions is the sessions in one Redis.
	Sessions struct{ *model.Sessions }
)

// PoolsOf returns the pools of an app, sorted by name; nil for none. They point into s.
func PoolsOf(s *model.State, app string) []Pool {
	var out []Pool
	for i := range s.Pools {
		if s.Pools[i].App == app {
			out = append(out, Pool{&s.Pools[i]})
		}
	}
	slices.SortFunc(out, func(a, b Pool) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Taken returns how many connections of the pool are not idle; never nil.
func (p Pool) Taken() *float64 {
	n := p.InUse + p.InTransaction + p.Leaked
	return &n
}

// QueuesOf returns the task queues of an app, sorted by name; nil for none. They point
// into s.
func QueuesOf(s *model.State, app string) []Queue {
	var out []Queue
	for i := range s.Queues {
		if s.Queues[i].App == app {
			out = append(out, Queue{&s.Queues[i]})
		}
	}
	slices.SortFunc(out, func(a, b Queue) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// SessionsOf returns the session stores of an app, sorted by name; nil for none. They
// point into s.
func SessionsOf(s *model.State, app string) []Sessions {
	var out []Sessions
	for i := range s.Sessions {
		if s.Sessions[i].App == app {
			out = append(out, Sessions{&s.Sessions[i]})
		}
	}
	slices.SortFunc(out, func(a, b Sessions) int { return strings.Compare(a.Redis, b.Redis) })
	return out
}

// Facts returns what is known of the pool, one text each: taken of its capacity, in use,
// idle, what is not 0 of idle in a transaction and leaked, the sites that hold leaked
// connections, and of a pool that the app reports the waiting threads if there are some.
func (p *Pool) Facts() []string {
	var w display.Facts
	if p.Capacity != nil {
		text := health.FormatCount(*p.Taken()) + " of " + health.FormatCount(*p.Capacity)
		if p.Utilization != nil {
			text += " (" + health.FormatPercent(*p.Utilization) + ")"
		}
		w = append(w, text)
	}
	w.Add(&p.InUse, display.Counted("in use"))
	w.Add(&p.Idle, display.Counted("idle"))
	w.AddNonZero(&p.InTransaction, "idle in a transaction")
	w.AddNonZero(&p.Leaked, "leaked")
	for i := range p.Sites {
		s := &p.Sites[i]
		w = append(w, health.FormatCount(s.Connections)+" by "+words.Site(s)+" for "+health.FormatSeconds(s.Seconds))
	}
	if p.Waiting != nil {
		w.AddNonZero(p.Waiting, "waiting threads")
		w = append(w, "reported by the app")
	}
	return w
}

// Facts returns what is known of the queue, one text each: waiting, oldest, running,
// workers and their heartbeat, and what is not 0 of failed and without a worker.
func (q *Queue) Facts() []string {
	var w display.Facts
	w.Add(&q.Length, display.Counted("waiting"))
	w.Add(q.Oldest, display.Lasting("oldest"))
	w.Add(q.Running, display.Counted("running"))
	w.Add(q.Workers, func(v float64) string { return text.Plural(v, "worker", "workers") })
	w.Add(q.WorkerHeartbeatAge, display.Lasting("heartbeat"))
	w.AddNonZero(q.Failed, "failed")
	w.AddNonZero(q.Orphaned, "without a worker")
	return w
}

// Facts returns what is known of the sessions, one text each: how many there are, without
// expiry, their bytes and when they were counted; before the first scan has ended, its
// progress.
func (x *Sessions) Facts() []string {
	var w display.Facts
	if x.Count == nil {
		w.Add(&x.Coverage, func(v float64) string { return "first scan, " + health.FormatPercent(v) + " of the keys" })
		return w
	}
	w.Add(x.Count, display.Counted("sessions"))
	w.Add(x.WithoutExpiry, display.Counted("without expiry"))
	w.Add(x.Bytes, health.FormatBytes)
	w.Add(&x.Age, func(v float64) string { return "counted " + health.FormatSeconds(v) + " ago" })
	return w
}
