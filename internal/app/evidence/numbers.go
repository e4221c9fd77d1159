// Package evidence reads what an action is about from the last look.
package evidence

import (
	"slices"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// maxNumbers bounds the numbers of one look, far within what a line of the journal may
// hold.
const maxNumbers = 250

// Number is one number of the last look, under the name of its metric, or,
// with a name that begins with "page.", of one that has none.
type Number struct {
	Name   string   `json:"name"`
	Labels []string `json:"labels,omitempty"` // without the app or the server
	Value  float64  `json:"value"`
}

// numberList collects numbers, at most maxNumbers.
type numberList []Number

// add adds one value, unless there are maxNumbers.
func (n *numberList) add(name string, v float64, labels ...string) {
	if len(*n) < maxNumbers {
		*n = append(*n, Number{name, labels, v})
	}
}

// known adds a number with its labels if v is not nil.
func (n *numberList) known(name string, v *float64, labels ...string) {
	if v != nil {
		n.add(name, *v, labels...)
	}
}

// Numbers returns the numbers of an app and of its servers, such as "mysql:main",
// without users and hosts; at most 250.
func Numbers(s *model.State, app string, servers []string) []Number {
	var n numberList
	if app != "" {
		n.workers(s, app)
		n.pools(s, app)
		n.app(s, app)
		n.traces(s, app)
		n.parts(s, app)
	}
	for i := range s.MySQL {
		if x := &s.MySQL[i]; slices.Contains(servers, "mysql:"+x.Name) {
			n.mysql(s, x)
		}
	}
	for i := range s.Redis {
		if x := &s.Redis[i]; slices.Contains(servers, "redis:"+x.Name) {
			n.redis(x)
		}
	}
	return n
}

// workers adds the counts of an app's workers, and what is known of each.
func (n *numberList) workers(s *model.State, app string) {
	for i := range s.Workers {
		w := &s.Workers[i]
		if w.App != app {
			continue
		}
		if c := w.Counts; c != nil {
			n.add("resp_app_workers", c.Busy, "busy")
			n.add("resp_app_workers", c.Idle, "idle")
			n.add("resp_app_workers", c.Stuck, "stuck")
			n.add("resp_app_workers", c.Booting, "booting")
		}
		for j := range w.Workers {
			x := &w.Workers[j]
			n.add("page.worker", x.Seconds, x.Slot, strconv.Itoa(x.PID), x.State, x.Detail)
			n.known("resp_worker_heartbeat_age_seconds", x.Heartbeat, x.Slot)
			if x.Wait != nil {
				n.add("page.worker_wait", x.Seconds, x.Slot, x.Wait.On, x.Wait.Peer)
			}
		}
	}
}

// app adds what is known of an app's processes.
func (n *numberList) app(s *model.State, app string) {
	for i := range s.Apps {
		a := &s.Apps[i]
		if a.Name != app {
			continue
		}
		n.known("resp_app_start_time_seconds", a.Started)
		n.known("resp_app_cpu_usage_ratio", a.CPU)
		n.known("resp_app_threads", a.Threads)
		n.known("resp_app_open_fds", a.OpenFDs)
		n.known("resp_app_max_fds", a.MaxFDs)
		n.add("resp_worker_restarts_total", a.Restarts)
		for j := range a.Workers {
			n.known("page.worker_cpu_ratio", a.Workers[j].CPU, a.Workers[j].Slot)
			n.add("resp_worker_start_time_seconds", a.Workers[j].Started, a.Workers[j].Slot)
		}
	}
	for i := range s.Listeners {
		if s.Listeners[i].App != app {
			continue
		}
		n.known("page.listen_overflows_5m", s.Listeners[i].Overflows5m)
		for _, l := range s.Listeners[i].Listeners {
			n.known("resp_listener_queue_length", l.Length, l.Name)
			n.known("resp_listener_queue_limit", l.Limit, l.Name)
		}
	}
	n.memory(s, app)
}

// maxTraced is how many lines of a trace are evidence.
const maxTraced = 8

// traces adds which lines have allocated memory that stayed, as workers report them.
func (n *numberList) traces(s *model.State, app string) {
	for i := range s.Reported {
		if s.Reported[i].App != app {
			continue
		}
		for _, t := range s.Reported[i].Traces {
			for _, l := range t.Lines[:min(len(t.Lines), maxTraced)] {
				n.add("page.memory_trace_bytes", l.Bytes, t.Run, strconv.Itoa(t.PID), l.File, strconv.Itoa(l.Line))
			}
		}
	}
}

// memory adds the memory of an app and of its workers.
func (n *numberList) memory(s *model.State, app string) {
	for i := range s.Memory {
		m := &s.Memory[i]
		if m.App != app {
			continue
		}
		n.known("resp_app_memory_bytes", m.RSS, "rss")
		n.known("resp_app_memory_bytes", m.PSS, "pss")
		n.known("resp_app_memory_limit_bytes", m.Limit)
		n.known("resp_app_memory_usage_ratio", m.Usage)
		for j := range m.Workers {
			w := &m.Workers[j]
			n.add("resp_worker_memory_bytes", w.RSS, w.Slot, "rss")
			if w.Sampled {
				n.add("resp_worker_memory_bytes", w.PSS, w.Slot, "pss")
				n.add("resp_worker_memory_bytes", w.USS, w.Slot, "uss")
				n.add("resp_worker_memory_bytes", w.Swap, w.Slot, "swap")
			}
		}
	}
}

// pools adds the connection pools of an app.
func (n *numberList) pools(s *model.State, app string) {
	for i := range s.Pools {
		p := &s.Pools[i]
		if p.App != app {
			continue
		}
		n.add("resp_pool_connections", p.InUse, p.Name, "in_use")
		n.add("resp_pool_connections", p.Idle, p.Name, "idle")
		n.add("resp_pool_connections", p.InTransaction, p.Name, "in_transaction")
		n.add("resp_pool_connections", p.Leaked, p.Name, "leaked")
		n.known("resp_pool_capacity", p.Capacity, p.Name)
		n.known("resp_pool_utilization_ratio", p.Utilization, p.Name)
		for _, x := range p.Leaks {
			n.add("page.pool_leak", x.Seconds, p.Name, x.Server, x.Slot, strconv.Itoa(x.PID), strconv.FormatUint(x.Connection, 10))
		}
	}
	for i := range s.Connections {
		if x := &s.Connections[i]; x.App == app {
			n.add("resp_worker_connections", x.Count, x.Slot, x.Component)
		}
	}
}

// parts adds the queues and the sessions of an app.
func (n *numberList) parts(s *model.State, app string) {
	for i := range s.Queues {
		if q := &s.Queues[i]; q.App == app {
			n.add("resp_task_queue_length", q.Length, q.Name)
			n.known("resp_task_oldest_age_seconds", q.Oldest, q.Name)
			n.known("resp_task_running", q.Running, q.Name)
			n.known("resp_task_failed", q.Failed, q.Name)
			n.known("resp_task_orphaned", q.Orphaned, q.Name)
			n.known("resp_task_workers", q.Workers, q.Name)
			n.known("resp_task_worker_heartbeat_age_seconds", q.WorkerHeartbeatAge, q.Name)
		}
	}
	for i := range s.Sessions {
		if x := &s.Sessions[i]; x.App == app {
			n.known("resp_sessions", x.Count, x.Redis)
			n.known("resp_sessions_without_expiry", x.WithoutExpiry, x.Redis)
			n.known("resp_session_bytes", x.Bytes, x.Redis)
			n.add("resp_session_scan_coverage_ratio", x.Coverage, x.Redis)
			n.add("resp_session_scan_age_seconds", x.Age, x.Redis)
		}
	}
}

// mysql adds what is known of a MySQL server, with its lock waits.
func (n *numberList) mysql(s *model.State, m *model.MySQLServer) {
	n.known("resp_mysql_ping_seconds", m.Ping)
	n.known("resp_mysql_connections", m.Connections)
	n.known("resp_mysql_max_connections", m.MaxConnections)
	n.known("resp_mysql_threads_running", m.ThreadsRunning)
	n.known("resp_mysql_longest_query_seconds", m.LongestQuery)
	n.known("resp_mysql_app_query_seconds", m.AppQuery)
	n.known("resp_mysql_oldest_transaction_seconds", m.OldestTransaction)
	n.known("resp_mysql_lock_waits", m.LockWaits)
	id := func(c *model.Connection) string { return strconv.FormatUint(c.ID, 10) }
	for i := range s.LockWaits {
		if w := &s.LockWaits[i]; w.Server == m.Name {
			n.add("page.lock_wait", w.Seconds, id(&w.Waiter), w.Waiter.App, w.Waiter.Slot, id(&w.Blocker), w.Blocker.App, w.Blocker.Slot, strconv.Itoa(w.Blocker.PID), w.State)
		}
	}
	for i := range s.LockSuspects {
		if x := &s.LockSuspects[i]; x.Server == m.Name {
			n.add("page.lock_suspect", x.Seconds, id(&x.Connection), x.App, x.Slot, strconv.Itoa(x.PID), x.Did)
		}
	}
	for i := range s.Queries {
		if q := &s.Queries[i]; q.Server == m.Name {
			n.add("page.mysql_query", q.Seconds, id(&q.Connection), q.App, q.Slot, strconv.Itoa(q.PID), q.Statement)
		}
	}
}

// redis adds what is known of a Redis server.
func (n *numberList) redis(r *model.RedisServer) {
	n.known("resp_redis_ping_seconds", r.Ping)
	n.known("resp_redis_memory_bytes", r.Memory)
	n.known("resp_redis_maxmemory_bytes", r.MaxMemory)
	n.known("resp_redis_connected_clients", r.Clients)
	n.known("resp_redis_blocked_clients", r.Blocked)
	n.known("page.redis_hit_ratio", r.HitRatio)
}
