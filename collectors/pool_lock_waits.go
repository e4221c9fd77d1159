package collectors

import (
	"cmp"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// addLockWaits adds the lock waits to the state, with the owners of both ends, the
// longest first, at most maxListed.
func (l *poolRead) addLockWaits(s *Sample, owners []model.Owner) {
	waits := l.lockWaits()
	if len(waits) == 0 {
		return
	}
	place := make(map[uint64]int, len(l.threads))
	for i := range l.threads {
		place[l.threads[i].ID] = i
	}
	find := func(id uint64) (model.Connection, *mysql.Thread) {
		if i, ok := place[id]; ok {
			return connectionOf(&l.threads[i], owners[i]), &l.threads[i]
		}
		return model.Connection{ID: id}, &mysql.Thread{}
	}
	for _, wait := range waits[:min(len(waits), maxListed)] {
		wait.Waiter, _ = find(wait.Waiter.ID)
		var thread *mysql.Thread
		wait.Blocker, thread = find(wait.Blocker.ID)
		switch thread.Command {
		case "":
		case "Sleep":
			wait.State = "sleeping"
		default:
			wait.State = "running"
		}
		s.State.LockWaits = append(s.State.LockWaits, wait)
	}
	l.addLockSuspect(s, owners, waits)
}

// lockWaits returns all waits for rows and those of other connections than the exporter's
// by [waitsForLock], the longest first, with only the ids of the connections. The blocker's
// id is 0 for the second kind: the server does not report who holds its lock. A wait for a
// row is left out if a transaction of it is not known.
func (l *poolRead) lockWaits() []model.LockWait {
	var out []model.LockWait
	add := func(waiter, blocker uint64, took time.Duration) {
		out = append(out, model.LockWait{
			Server: l.Name, Waiter: model.Connection{ID: waiter}, Blocker: model.Connection{ID: blocker}, Seconds: took.Seconds(),
		})
	}
	if len(l.waits) > 0 {
		byID := l.transactionsByID()
		for _, p := range l.waits {
			if waiter, blocker := byID[p.Waiting], byID[p.Blocking]; waiter != nil && blocker != nil {
				add(waiter.Thread, blocker.Thread, waiter.Waiting)
			}
		}
	}
	for i := range l.threads {
		if t := &l.threads[i]; waitsForLock(t.State) && !t.Own {
			add(t.ID, 0, t.Time)
		}
	}
	slices.SortFunc(out, func(x, y model.LockWait) int {
		return cmp.Or(-cmp.Compare(x.Seconds, y.Seconds), cmp.Compare(x.Waiter.ID, y.Waiter.ID), cmp.Compare(x.Blocker.ID, y.Blocker.ID))
	})
	return out
}
