package collectors

import (
	"context"

	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/mysql/locks"
)

// lockDetails is what is read of a server only while a connection waits for a lock.
// What the server does not keep, or does not let be read, is missing.
type lockDetails struct {
	waits      []locks.Wait // for tables, definitions and the whole server
	listed     bool         // the server listed who holds what
	pids       map[uint64]int
	statements map[uint64]string // without values
}

// readLockDetails returns details about who waits for which lock, and the last statements
// of the first 100 of [activity.parties]; zero if none waits, or the server, its threads or
// its transactions were not read. What else cannot be read is missing, without an error.
func readLockDetails(ctx context.Context, s MySQLServer, a *activity) lockDetails {
	var d lockDetails
	if a.pingErr != nil || a.threadsErr != nil || a.transactionsErr != nil {
		return d
	}
	waiters := a.waiters()
	if len(waiters) == 0 && len(a.waits) == 0 {
		return d
	}
	if len(waiters) > 0 {
		list, err := s.MetadataLocks(ctx)
		d.listed = err == nil && len(list) > 0
		d.waits = locks.Waits(waiters, list)
	}
	ids := a.parties(d.waits)
	d.statements, _ = s.LastStatements(ctx, ids)
	for i := range a.threads {
		if isOverUnix(&a.threads[i]) {
			d.pids, _ = s.ClientPIDs(ctx)
			break
		}
	}
	return d
}

// waiters returns the connections that wait for the lock of a table, of its definition or
// of the whole server, in the order of the threads: the first 500, without the exporter's
// own.
func (a *activity) waiters() []locks.Waiter {
	var out []locks.Waiter
	for i := range a.threads {
		t := &a.threads[i]
		if kind := locks.KindOf(t.State); kind != "" && !t.Own && t.Command != "Sleep" && t.Command != "Daemon" && len(out) < maxStoreWaits {
			out = append(out, locks.Waiter{Connection: t.ID, Kind: kind, Statement: t.Summary, Time: t.Time})
		}
	}
	return out
}

// parties returns the ids of the connections at both ends of all waits, each once, those
// that only block first. Left out are a blocker that is not known (0), and a wait for a
// row of which a transaction is not known.
func (a *activity) parties(waits []locks.Wait) []uint64 {
	byID := a.transactionsByID()
	waiting, seen := make(map[uint64]bool), map[uint64]bool{0: true}
	pairs := make([][2]uint64, 0, len(waits)+len(a.waits))
	for _, w := range waits {
		pairs = append(pairs, [2]uint64{w.Waiter, w.Blocker})
	}
	for _, w := range a.waits {
		if waiter, blocker := byID[w.Waiting], byID[w.Blocking]; waiter != nil && blocker != nil {
			pairs = append(pairs, [2]uint64{waiter.Thread, blocker.Thread})
		}
	}
	for _, p := range pairs {
		waiting[p[0]] = true
	}
	var out []uint64
	add := func(id uint64) {
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	for _, p := range pairs {
		if !waiting[p[1]] {
			add(p[1])
		}
	}
	for _, p := range pairs {
		add(p[1])
		add(p[0])
	}
	return out
}

// isOverUnix reports whether a thread is that of a client over a UNIX socket, other than
// the exporter.
func isOverUnix(t *mysql.Thread) bool {
	return t.Host == "localhost" && !t.Own && t.Command != "Daemon" && t.User != "system user" && t.User != "event_scheduler"
}
