package parts

import (
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/web/waitstatus"
)

// The parts of an app in /api/v1/status.
type (
	// PoolJSON is a connection pool.
	PoolJSON struct {
		Pool          string     `json:"pool"`
		Source        string     `json:"source"` // "inside": the app reports it; "outside"
		InUse         *float64   `json:"in_use"`
		Idle          *float64   `json:"idle"`
		InTransaction *float64   `json:"in_transaction"`
		Leaked        *float64   `json:"leaked"`
		Capacity      *float64   `json:"capacity"`
		Utilization   *float64   `json:"utilization"` // a ratio
		Leaks         []leakJSON `json:"leaks"`       // the longest asleep first; not all, if there are many

		// Of a pool that the app reports.
		Waiting *float64   `json:"waiting_threads"`
		Oldest  *float64   `json:"oldest_checkout_seconds"`
		Sites   []siteJSON `json:"leaked_at"` // the most connections first; not all, if there are many
	}
	siteJSON struct {
		Route       *string  `json:"route"` // null: no request
		File        string   `json:"file"`
		Line        int      `json:"line"`
		Function    string   `json:"function"`
		Connections *float64 `json:"connections"`
		Seconds     *float64 `json:"oldest_checkout_seconds"`
	}
	leakJSON struct {
		MySQL         string   `json:"mysql"`
		Connection    *uint64  `json:"connection"`
		Worker        *int     `json:"worker"` // null: not known
		PID           *int     `json:"pid"`
		AsleepSeconds *float64 `json:"asleep_seconds"`
	}
	// QueueJSON is a queue of tasks.
	QueueJSON struct {
		Queue        string   `json:"queue"`
		Length       *float64 `json:"length"`
		OldestAge    *float64 `json:"oldest_age_seconds"`
		Running      *float64 `json:"running"`
		Workers      *float64 `json:"workers"`
		HeartbeatAge *float64 `json:"worker_heartbeat_age_seconds"`
		Failed       *float64 `json:"failed"`
		Orphaned     *float64 `json:"orphaned"`
	}
	// SessionsJSON is the sessions in one Redis.
	SessionsJSON struct {
		Redis         string   `json:"redis"`
		Sessions      *float64 `json:"sessions"`
		WithoutExpiry *float64 `json:"without_expiry"`
		Bytes         *float64 `json:"bytes"`
		Coverage      *float64 `json:"scan_coverage"` // a ratio
		Age           *float64 `json:"scan_age_seconds"`
	}
	// LockWaitJSON is a connection that waits for a lock of another one.
	LockWaitJSON struct {
		MySQL   string         `json:"mysql"`
		Seconds *float64       `json:"seconds"`
		Waiter  connectionJSON `json:"waiter"`
		Blocker connectionJSON `json:"blocker"`
	}
	connectionJSON struct {
		Connection *uint64 `json:"connection"` // null: not known
		App        *string `json:"app"`
		Worker     *int    `json:"worker"`
		PID        *int    `json:"pid"`
		State      *string `json:"state"`
	}
)

// PoolsStatus returns pools as the JSON has them, in the same order; never nil.
func PoolsStatus(pools []Pool) []PoolJSON {
	out := make([]PoolJSON, 0, len(pools))
	for i := range pools {
		p := &pools[i]
		x := PoolJSON{
			Pool: p.Name, Source: string(p.Source), InUse: &p.InUse, Idle: &p.Idle, InTransaction: &p.InTransaction, Leaked: &p.Leaked,
			Capacity: p.Capacity, Utilization: p.Utilization, Leaks: make([]leakJSON, 0, len(p.Leaks)),
			Waiting: p.Waiting, Oldest: p.OldestCheckout, Sites: make([]siteJSON, 0, len(p.Sites)),
		}
		for i := range p.Sites {
			s := &p.Sites[i]
			x.Sites = append(x.Sites, siteJSON{waitstatus.Known(s.Route), s.File, s.Line, s.Function, &s.Connections, &s.Seconds})
		}
		for i := range p.Leaks {
			l := &p.Leaks[i]
			x.Leaks = append(x.Leaks, leakJSON{l.Server, waitstatus.Known(l.Connection), Integer(l.Slot), waitstatus.Known(l.PID), &l.Seconds})
		}
		out = append(out, x)
	}
	return out
}

// QueuesStatus returns task queues as the JSON has them, in the same order; never nil.
func QueuesStatus(queues []Queue) []QueueJSON {
	out := make([]QueueJSON, 0, len(queues))
	for _, q := range queues {
		out = append(out, QueueJSON{q.Name, &q.Length, q.Oldest, q.Running, q.Workers, q.WorkerHeartbeatAge, q.Failed, q.Orphaned})
	}
	return out
}

// SessionsStatus returns sessions as the JSON has them, in the same order; never nil.
func SessionsStatus(list []Sessions) []SessionsJSON {
	out := make([]SessionsJSON, 0, len(list))
	for _, x := range list {
		out = append(out, SessionsJSON{x.Redis, x.Count, x.WithoutExpiry, x.Bytes, &x.Coverage, &x.Age})
	}
	return out
}

// LockWaitsStatus returns waits for locks as the JSON has them, in the same order; never
// nil.
func LockWaitsStatus(waits []model.LockWait) []LockWaitJSON {
	out := make([]LockWaitJSON, 0, len(waits))
	for i := range waits {
		w := &waits[i]
		blocker := connectionStatus(&w.Blocker)
		blocker.State = waitstatus.Known(w.State)
		out = append(out, LockWaitJSON{MySQL: w.Server, Seconds: &w.Seconds, Waiter: connectionStatus(&w.Waiter), Blocker: blocker})
	}
	return out
}

// connectionStatus returns a connection as the JSON has it.
func connectionStatus(c *model.Connection) connectionJSON {
	return connectionJSON{Connection: waitstatus.Known(c.ID), App: waitstatus.Known(c.App), Worker: Integer(c.Slot), PID: waitstatus.Known(c.PID)}
}

// Integer returns the number that a text such as a slot is; nil if it is none.
func Integer(s string) *int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return nil
	}
	return &n
}
