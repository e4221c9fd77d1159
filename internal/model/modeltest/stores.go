package modeltest

import (
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// owner returns the owner in three labels from i on: app, slot and pid.
func (b *builder) owner(i int) model.Owner {
	return model.Owner{App: b.at(i), Slot: b.at(i + 1), PID: b.number(i + 2)}
}

// connection returns label i as the id of a connection, 0 if it is none.
func (b *builder) connection(i int) uint64 { return uint64(b.number(i)) }

// pool sets what a fact says about a connection pool. false: the fact is not known.
func (b *builder) pool() bool {
	p := entry(&b.Pools, func(p *model.Pool) bool { return p.App == b.at(0) && p.Name == b.at(1) }, model.Pool{App: b.at(0), Name: b.at(1)})
	switch b.fact.Name {
	case "resp_pool_connections":
		*map[string]*float64{"in_use": &p.InUse, "idle": &p.Idle, "in_transaction": &p.InTransaction, "leaked": &p.Leaked}[b.at(2)] = b.fact.Value
	case "page.pool_leak":
		l := model.Leak{Owner: model.Owner{Slot: b.at(3), PID: b.number(4)}, Server: b.at(2), Connection: b.connection(5), Seconds: b.fact.Value}
		if l.Owner != (model.Owner{}) {
			l.App = p.App
		}
		p.Leaks = append(p.Leaks, l)
	case "page.pool_worker":
		w := entry(&p.Workers, func(w *model.PoolWorker) bool { return w.Slot == b.at(2) }, model.PoolWorker{Slot: b.at(2)})
		*map[string]*float64{"in_use": &w.InUse, "idle": &w.Idle, "in_transaction": &w.InTransaction, "leaked": &w.Leaked}[b.at(3)] = b.fact.Value
	case "resp_pool_info":
		p.Source = model.PoolSource(b.at(2))
	case "page.pool_site":
		n, _ := strconv.ParseFloat(b.at(6), 64)
		p.Sites = append(p.Sites, model.PoolSite{Route: b.at(2), File: b.at(3), Function: b.at(4), Line: b.number(5), Connections: n, Seconds: b.fact.Value})
	default:
		return b.set(map[string]**float64{
			"resp_pool_capacity": &p.Capacity, "resp_pool_utilization_ratio": &p.Utilization,
			"resp_pool_waiting_threads": &p.Waiting, "resp_pool_oldest_checkout_seconds": &p.OldestCheckout,
		})
	}
	return true
}

// lock adds a lock wait or a suspected lock holder. false: the fact is not known.
func (b *builder) lock() bool {
	switch b.fact.Name {
	case "page.lock_wait":
		b.LockWaits = append(b.LockWaits, model.LockWait{
			Server:  b.at(0),
			Waiter:  model.Connection{ID: b.connection(1), Owner: model.Owner{App: b.at(2), Slot: b.at(3)}},
			Blocker: model.Connection{ID: b.connection(4), Owner: b.owner(5), User: b.at(9), Host: b.at(10)},
			State:   b.at(8), Seconds: b.fact.Value,
		})
	case "page.lock_suspect":
		b.LockSuspects = append(b.LockSuspects, model.LockSuspect{
			Server: b.at(0), Connection: model.Connection{ID: b.connection(1), User: b.at(2), Host: b.at(3), Owner: b.owner(4)},
			Did: b.at(7), Seconds: b.fact.Value,
		})
	default:
		return false
	}
	return true
}

// mysql sets what a fact says about a MySQL server. false: the fact is not known.
func (b *builder) mysql() bool {
	if b.fact.Name == "page.mysql_query" {
		b.Queries = append(b.Queries, model.Query{
			Server: b.at(0), Connection: model.Connection{ID: b.connection(1), User: b.at(2), Host: b.at(3), Owner: b.owner(4)},
			Statement: b.at(7), Seconds: b.fact.Value,
		})
		return true
	}
	s := b.mysqlServer(b.at(0))
	switch b.fact.Name {
	case "page.mysql_full":
		s.Full = b.fact.Value == 1
	case "page.mysql_holder", "page.mysql_holder_asleep":
		h := entry(&s.Holders, func(h *model.Holder) bool { return h.User == b.at(1) && h.Host == b.at(2) }, model.Holder{User: b.at(1), Host: b.at(2), App: b.at(3)})
		if b.fact.Name == "page.mysql_holder" {
			h.Connections = b.fact.Value
		} else {
			h.Asleep = b.fact.Value
		}
	default:
		return b.set(map[string]**float64{
			"resp_mysql_ping_seconds": &s.Ping, "resp_mysql_connections": &s.Connections, "resp_mysql_max_connections": &s.MaxConnections,
			"resp_mysql_threads_running": &s.ThreadsRunning, "resp_mysql_longest_query_seconds": &s.LongestQuery,
			"page.mysql_shared_query_seconds": &s.SharedQuery, "resp_mysql_app_query_seconds": &s.AppQuery,
			"resp_mysql_oldest_transaction_seconds": &s.OldestTransaction, "resp_mysql_lock_waits": &s.LockWaits,
		})
	}
	return true
}

// redis sets what a fact says about a Redis server. false: the fact is not known.
func (b *builder) redis() bool {
	s := b.redisServer(b.at(0))
	switch b.fact.Name {
	case "resp_redis_info":
		s.Informed, s.Version, s.Mode, s.Role = true, b.at(1), b.at(2), b.at(3)
		return true
	case "resp_redis_cache":
		s.Stateful = b.fact.Value == 0
		return true
	}
	return b.set(map[string]**float64{
		"resp_redis_ping_seconds": &s.Ping, "resp_redis_memory_bytes": &s.Memory, "resp_redis_maxmemory_bytes": &s.MaxMemory,
		"resp_redis_connected_clients": &s.Clients, "resp_redis_blocked_clients": &s.Blocked,
		"page.redis_hit_ratio": &s.HitRatio, "page.redis_lookups": &s.Lookups,
	})
}

// task sets what a fact says about a task queue. false: the fact is not known.
func (b *builder) task() bool {
	q := entry(&b.Queues, func(q *model.Queue) bool { return q.App == b.at(0) && q.Name == b.at(1) }, model.Queue{App: b.at(0), Name: b.at(1)})
	if b.fact.Name == "resp_task_queue_length" {
		q.Length = b.fact.Value
		return true
	}
	return b.set(map[string]**float64{
		"resp_task_oldest_age_seconds": &q.Oldest, "resp_task_running": &q.Running, "resp_task_failed": &q.Failed,
		"resp_task_orphaned": &q.Orphaned, "resp_task_workers": &q.Workers, "resp_task_worker_heartbeat_age_seconds": &q.WorkerHeartbeatAge,
	})
}

// session sets what a fact says about the sessions of an app. false: the fact is not known.
func (b *builder) session() bool {
	s := entry(&b.Sessions, func(s *model.Sessions) bool { return s.App == b.at(0) && s.Redis == b.at(1) }, model.Sessions{App: b.at(0), Redis: b.at(1)})
	switch b.fact.Name {
	case "resp_session_scan_coverage_ratio":
		s.Coverage = b.fact.Value
		return true
	case "resp_session_scan_age_seconds":
		s.Age = b.fact.Value
		return true
	}
	return b.set(map[string]**float64{"resp_sessions": &s.Count, "resp_sessions_without_expiry": &s.WithoutExpiry, "resp_session_bytes": &s.Bytes})
}
