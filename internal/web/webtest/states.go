package webtest

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Healthy returns one app of four workers without trouble, with its servers, its pool,
// tasks and sessions.
func Healthy(now time.Time) *model.State {
	s := &model.State{Host: model.Host{Memory: model.Known(0.61), CPU: model.Known(0.23)}}
	App(s, "shop", 4, now)
	s.MySQL = []model.MySQLServer{{
		Name: "main", Up: true, Ping: model.Known(0.0004), Connections: model.Known(11), MaxConnections: model.Known(151), ThreadsRunning: model.Known(1),
		LongestQuery: model.Known(0.02), OldestTransaction: model.Known(0), LockWaits: model.Known(0),
	}}
	s.Redis = []model.RedisServer{{
		Name: "cache", Up: true, Informed: true, Version: "7.0.15", Mode: "standalone", Role: "master", Ping: model.Known(0.0002), Memory: model.Known(212e6),
		Clients: model.Known(12), Blocked: model.Known(0), HitRatio: model.Known(0.97), Lookups: model.Known(41000),
	}}
	s.Pools = []model.Pool{{Source: model.PoolOutside, App: "shop", Name: "main", InUse: 1, Idle: 5, Capacity: model.Known(15), Utilization: model.Known(1.0 / 15)}}
	s.Queues = []model.Queue{{App: "shop", Name: "default", Oldest: model.Known(0), Running: model.Known(1), Failed: model.Known(0), Orphaned: model.Known(0), Workers: model.Known(2), WorkerHeartbeatAge: model.Known(8)}}
	s.Sessions = []model.Sessions{{App: "shop", Redis: "cache", Count: model.Known(23104), WithoutExpiry: model.Known(0), Bytes: model.Known(9.4e6), Coverage: 1, Age: 14}}
	s.Waits = []model.AppWaits{{App: "shop", Utilization: model.Known(0.21), Saturation: model.Known(58)}}
	return s
}

// Down returns the app of [Healthy] with a Redis that does not answer and is the app's
// bottleneck, a pool with leaked connections, and a worker that leaks memory, with its heap
// census. The collectors sessions and redis have timed out.
func Down(now time.Time) *model.State {
	s := Healthy(now)
	s.Redis[0] = model.RedisServer{Name: "cache"}
	s.Sessions[0].Count, s.Sessions[0].Coverage = nil, 0.25
	w := s.Workers[0].Workers
	stack := &model.Stack{View: "cart", Method: "GET", Route: "/cart", Own: model.Frame{Function: "load_cart", File: "/srv/shop/sessions.py", Line: 57}}
	for i := range w[:3] {
		w[i].State, w[i].Seconds, w[i].Wait = "busy", 8.4-float64(i), &model.Wait{On: "redis", Peer: "redis:cache"}
		w[i].Threads = []model.Thread{{TID: w[i].PID, Main: true, On: "redis", Peer: "redis:cache", Seconds: w[i].Seconds, Stack: stack}}
	}
	s.Workers[0].Counts = &model.WorkerCounts{Busy: 3, Idle: 1}
	s.Bottlenecks = []model.Bottleneck{{
		App: "shop", Cause: model.CauseRedis, Peer: "redis:cache", Since: now.Add(-40 * time.Second), Share: 1, Harm: model.Harm{Latency: model.Known(8.2)},
		Evidence: []model.Evidence{{Code: "threads", Value: 4}, {Code: "lost_threads", Value: 2.9}, {Code: "longest_wait", Value: 8.4}},
	}}
	p := &s.Pools[0]
	p.InUse, p.Idle, p.InTransaction, p.Leaked, p.Utilization = 1, 0, 4, 9, model.Known(14.0/15)
	owner := model.Owner{App: "shop", Slot: "1", PID: 4711}
	p.Leaks = []model.Leak{{Owner: owner, Server: "main", Connection: 812, Seconds: 312}, {Owner: owner, Server: "main", Connection: 815, Seconds: 280}}
	p.Workers = []model.PoolWorker{{Slot: "1", Leaked: 9}, {Slot: "0", InUse: 1}}
	s.Connections = []model.WorkerConnections{{App: "shop", Slot: "1", Component: "mysql:main", Count: 9}}
	s.MemoryLeaks = []model.MemoryLeak{{
		App: "shop", Slot: "0", Suspected: true, Slope: model.Known(20e3), Confidence: model.Known(0.93), PerRequest: model.Known(6450), ToLimit: model.Known(11400),
	}}
	s.Heaps = []model.HeapCensus{{
		App: "shop", Slot: "0", Outcome: model.HeapGrows, Censuses: 3, Seconds: 600, Objects: 812345, CPU: .3, Growth: 12e6,
		Types:      []model.HeapGrowth{{Name: "shop.models.Order", Count: 500_000, PerHour: 2000}},
		Containers: []model.HeapGrowth{{Name: "shop.orders.cache", Kind: "list", Of: "shop.models.Order", Count: 500_000, PerHour: 2000}},
	}}
	s.Collectors = []model.Collector{{Name: "sessions", Reason: "timeout"}, {Name: "redis", Reason: "timeout"}}
	return s
}

// Hostile returns an app of four workers that wait for a lock, with a hostile name:
// markup, letters that are written from right to left, or a very long one.
func Hostile(name string, now time.Time) *model.State {
	s := &model.State{Host: model.Host{Memory: model.Known(0.61)}}
	App(s, name, 4, now)
	Lock(s, name, 42, now)
	s.Apps[0].Server, s.Apps[0].Class = name, name
	s.Listeners[0].Listeners[0].Name = name
	s.Bottlenecks[0].Peer = "mysql:" + name
	s.MySQL = []model.MySQLServer{{Name: name, Up: true}}
	s.Redis = []model.RedisServer{{Name: name}}
	s.Pools = []model.Pool{{App: name, Name: name, Leaked: 1}}
	s.Disks = []model.Disk{{Mountpoint: "/" + name, Usage: 0.97}}
	s.Collectors = []model.Collector{{Name: "statsd", Reason: "in_use"}}
	s.Lacks = []model.Lack{{Collector: "statsd", Reason: "in_use", Detail: name}}
	for i := range s.Workers[0].Workers {
		t := &s.Workers[0].Workers[i].Threads[0]
		t.Peer = name
		t.Stack = &model.Stack{View: name, Own: model.Frame{Function: name, File: "/srv/" + name, Line: 1}}
	}
	return s
}

// Ended is a [Past] without an open incident, in which texts of other programs are as an
// attacker likes them.
type Ended struct {
	Past

	Text string // in place of views, statements and reasons; "": they are ordinary
}

// Incidents returns the last one, which has ended.
func (p Ended) Incidents(limit int) []model.Incident {
	out := p.Past.Incidents(limit)[1:]
	if p.Text != "" {
		out[0].Peer, out[0].Ends = p.Text, map[string]int{p.Text: 1}
	}
	return out
}

// LastWords returns those of two workers.
func (p Ended) LastWords(limit int) []model.LastWords {
	out := p.Past.LastWords(limit)
	if p.Text != "" {
		out[0].Digest, out[0].Thread.Stack = p.Text, &model.Stack{View: p.Text, Own: model.Frame{Function: p.Text, File: p.Text, Line: 1}}
	}
	return out
}

// Top returns the rows of [Past].
func (p Ended) Top(app string, from, to time.Time, limit int) history.Top {
	out := p.Past.Top(app, from, to, limit)
	for i := range out.Rows {
		if p.Text != "" {
			out.Rows[i].View, out.Rows[i].Digest, out.Rows[i].Peer = p.Text, p.Text, p.Text
		}
	}
	return out
}
