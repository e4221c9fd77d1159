package causes

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// Cases returns all cases.
func Cases() []Case {
	all := append(databaseCases(), append(processCases(), otherCases()...)...)
	all = append(all, healthyCases()...)
	for i := range all {
		c := &all[i]
		if c.rate == 0 {
			c.rate = 8
		}
		if c.workers == 0 {
			c.workers = 4
		}
		if c.poolTimeout == 0 {
			c.poolTimeout = 30
		}
	}
	return all
}

const rows = "UPDATE things SET n = n + 1"

// databaseCases returns the cases whose cause is in the database or in the connections to
// it.
func databaseCases() []Case {
	return []Case{
		{Name: "rows locked by a shell", Want: "db_lock", kind: Sync, fault: shells("USE trial", "BEGIN", rows)},
		{Name: "rows locked by a shell, nothing reported", Want: "db_lock", kind: UWSGI, workers: 2, threads: 2, fault: shells("USE trial", "BEGIN", rows)},
		{Name: "one row, each holds it for half a second", Want: "db_lock", kind: GThread, workers: 2, threads: 4, fault: modes(mode{"row": 1, "inside": "SELECT SLEEP(0.5)"})},
		{Name: "tables locked by a shell", Want: "db_lock", kind: UWSGI, workers: 4, threads: 1, fault: shells("USE trial", "LOCK TABLES things WRITE")},
		{Name: "global read lock", Want: "db_lock", kind: Sync, silent: true, fault: shells("FLUSH TABLES WITH READ LOCK")},
		{Name: "a definition behind a transaction", Want: "db_lock", kind: GThread, workers: 2, threads: 3, fault: metadata},
		{Name: "a pool emptied by a lock", Want: "db_lock", kind: GThread, workers: 1, threads: 8, pool: 2, fault: shells("USE trial", "BEGIN", rows)},
		{Name: "slow statements", Want: "db_slow", kind: Sync, fault: modes(mode{"sql": "SELECT SLEEP(2)"})},
		{Name: "slow statements of half a second", Want: "db_slow", kind: UWSGI, workers: 3, threads: 1, fault: modes(mode{"sql": "SELECT SLEEP(0.6)"})},
		{Name: "a pool emptied by slow statements", Want: "db_slow", kind: GThread, workers: 1, threads: 8, pool: 2, fault: modes(mode{"sql": "SELECT SLEEP(1.5)"})},
		{Name: "a pool emptied by a leak", Want: "pool", kind: GThread, workers: 1, threads: 6, pool: 3, fault: leaking(mode{"leak": true})},
		{Name: "a pool emptied by code that sleeps", Want: "pool", kind: GThread, workers: 2, threads: 6, pool: 2, fault: modes(mode{"hold": 1.5})},
		{Name: "a full server, by the app's leak", Want: "pool", kind: GThread, workers: 2, threads: 3, pool: 20, connections: 14, fault: leaking(mode{"leak": true})},
		{Name: "a full server, by a foreign client", Want: "db_down", kind: Sync, connections: 12, fault: full},
		{Name: "a database that hangs", Want: "db_down", kind: Sync, fault: signals(database)},
		{Name: "a database that hangs, nothing reported", Want: "db_down", kind: UWSGI, workers: 2, threads: 3, fault: signals(database)},
		{Name: "a database that is gone", Want: "db_down", kind: Sync, fault: killed},
	}
}

// processCases returns the cases whose cause is in the app's processes.
func processCases() []Case {
	return []Case{
		{Name: "threads that compute", Want: "gil", kind: GThread, workers: 1, threads: 8, heavy: true, rate: 6, fault: modes(mode{"cpu": 0.4})},
		{Name: "a CPU limit", Want: "cpu_throttled", kind: Sync, before: grouped, fault: throttled(0.02)},
		{Name: "a CPU limit, other server", Want: "cpu_throttled", kind: UWSGI, workers: 3, threads: 1, before: grouped, fault: throttled(0.015)},
		{Name: "requests that compute for long", Want: "cpu", kind: Sync, heavy: true, fault: modes(mode{"cpu": 12})},
		{Name: "the garbage collector", Want: "gc", kind: Sync, workers: 1, heavy: true, rate: 4, fault: modes(mode{"garbage": 4_000_000})},
		{Name: "a lock of the process", Want: "lock", kind: GThread, workers: 1, threads: 6, fault: modes(mode{"lock": 0.4})},
		{Name: "a lock of the process over a silent server", Want: "lock", kind: GThread, workers: 1, threads: 6, fault: modes(mode{"lock": 1, "lock_up": "UP/?s=5"})},
		{Name: "two locks in both orders", Want: "lock", kind: GThread, workers: 1, threads: 8, fault: modes(mode{"deadlock": true})},
		{Name: "a sleep in an async view", Want: "loop_blocked", kind: Uvicorn, workers: 1, fault: modes(mode{"block": 0.4})},
		{Name: "a statement in an async view", Want: "loop_blocked", kind: Uvicorn, workers: 1, fault: modes(mode{"sql": "SELECT SLEEP(0.7)"})},
		{Name: "more requests than workers", Want: "workers", kind: Sync, base: mode{"sql": "SELECT SLEEP(0.15)"}, rate: 6, fault: rates(45)},
		{Name: "more requests than threads", Want: "workers", kind: GThread, workers: 2, threads: 2, base: mode{"up": "UP/?s=0.2"}, rate: 5, fault: rates(40)},
	}
}

// otherCases returns the cases whose cause is in Redis, another server, a client, the disk
// or the tasks.
func otherCases() []Case {
	return []Case{
		{Name: "a script in Redis", Want: "redis", kind: Sync, fault: repeated(`EVAL "local t = redis.call('TIME')[1] + 3; while tonumber(redis.call('TIME')[1]) < t do end" 0`)},
		{Name: "a slow command in Redis", Want: "redis", kind: UWSGI, workers: 3, threads: 1, fault: repeated("DEBUG SLEEP 3")},
		{Name: "Redis pauses its clients", Want: "redis", kind: GThread, workers: 2, threads: 3, fault: repeated("CLIENT PAUSE 2000 ALL")},
		{Name: "a Redis that hangs", Want: "redis", kind: Sync, fault: signals(cache)},
		{Name: "a server that never answers", Want: "upstream", kind: Sync, base: mode{"up": "UP/?s=0.01"}, fault: silences(mode{"up": "silent:SILENT"})},
		{Name: "a server that answers late", Want: "upstream", kind: UWSGI, workers: 2, threads: 2, base: mode{"up": "UP/?s=0.02"}, fault: modes(mode{"up": "UP/?s=2"})},
		{Name: "a server that answers later than usual", Want: "upstream", kind: GThread, workers: 2, threads: 2, silent: true, base: mode{"up": "UP/?s=0.1"}, fault: modes(mode{"up": "UP/?s=0.9"})},
		{Name: "a pool emptied by a slow server", Want: "upstream", kind: GThread, workers: 1, threads: 8, pool: 2, fault: modes(mode{"hold_up": "UP/?s=1.5"})},
		{Name: "slow downloads", Want: "slow_clients", kind: Sync, fault: clients(8, mode{"body": 8_000_000}, (*rig).slowReader)},
		{Name: "slow uploads", Want: "slow_clients", kind: Sync, silent: true, fault: clients(8, nil, (*rig).slowWriter)},
		{Name: "reads that are limited", Want: "disk", kind: Sync, fault: slowDisk},
		{Name: "nobody takes the tasks", Want: "tasks", kind: Sync, fault: tasks},
		{Name: "a task that does not end", Want: "tasks", kind: UWSGI, workers: 2, threads: 1, before: stuck, fault: tasks},
	}
}

// tasks adds a task to a queue from which nobody takes tasks.
func tasks(_ context.Context, r *rig) (undo, error) {
	id := fmt.Sprintf("job%d", r.port)
	for _, command := range []string{
		"SADD rq:queues rq:queue:jobs",
		fmt.Sprintf("HSET rq:job:%s created_at %s enqueued_at %s status queued origin jobs", id, time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"), time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")),
		"RPUSH rq:queue:jobs " + id,
	} {
		if err := r.redisDo(command); err != nil {
			return nil, err
		}
	}
	return func() error { return r.redisDo("DEL rq:queue:jobs") }, nil
}

// healthyCases returns the cases without a fault, in which no cause may be shown.
func healthyCases() []Case {
	return []Case{
		{Name: "healthy: idle", kind: Sync, rate: 0.05, fault: nothing},
		{Name: "healthy: busy with statements", kind: Sync, base: mode{"sql": "SELECT SLEEP(0.25)"}, rate: 10, fault: nothing},
		{Name: "healthy: busy with another server", kind: UWSGI, workers: 2, threads: 4, base: mode{"up": "UP/?s=0.6"}, rate: 9, fault: nothing},
		{Name: "healthy: waits for data of Redis by design", kind: GThread, workers: 1, threads: 6, base: mode{"pop": 3}, rate: 0.8, fault: nothing},
		{Name: "healthy: warm-up", kind: Sync, base: mode{"warm": 20}, rate: 6, fault: nothing},
		{Name: "healthy: deploys", kind: Sync, fault: deploys},
		{Name: "healthy: a nightly dump", kind: GThread, workers: 2, threads: 3, fault: dump},
		{Name: "healthy: a batch job beside it", kind: Sync, rate: 6, heavy: true, fault: batch},
		{Name: "healthy: an event loop with many requests that wait", kind: Uvicorn, workers: 1, base: mode{"wait": 1.5}, rate: 15, fault: nothing},
		{Name: "healthy: short bursts", kind: GThread, workers: 2, threads: 4, fault: bursts},
	}
}

// deploys reloads the app twice.
func deploys(ctx context.Context, r *rig) (undo, error) {
	r.calls.Go(func() {
		for range 2 {
			_ = r.master.Signal(syscall.SIGHUP)
			sleep(ctx, 20*time.Second)
		}
	})
	return nil, nil
}

// dump dumps the database again and again.
func dump(ctx context.Context, r *rig) (undo, error) {
	p, err := r.start(ctx, run.Spec{Name: "dump", Path: "sh", Args: []string{"-c", fmt.Sprintf("for i in 1 2 3 4 5 6 7 8; do mysqldump --single-transaction -uroot -S %s trial >/dev/null; sleep 2; done", r.db.Socket)}}, func() error { return nil })
	return func() error { p.Stop(); return nil }, err
}

// batch computes beside the app, at a low priority.
func batch(ctx context.Context, r *rig) (undo, error) {
	p, err := r.start(ctx, run.Spec{Name: "batch", Path: "nice", Args: []string{"-n", "19", "sh", "-c", "while :; do :; done"}}, func() error { return nil })
	return func() error { p.Stop(); return nil }, err
}

// bursts sends more requests now and then, for a second.
func bursts(ctx context.Context, r *rig) (undo, error) {
	r.calls.Go(func() {
		for range 4 {
			r.load.set(30)
			sleep(ctx, time.Second)
			r.load.set(r.c.rate)
			sleep(ctx, 9*time.Second)
		}
	})
	return nil, nil
}
