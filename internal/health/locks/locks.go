// Package locks finds out who holds up whom on a MySQL server.
package locks

import (
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Blocker is a connection that holds a lock for which others wait, on one server,
// and that waits for no lock itself.
type Blocker struct {
	model.Connection

	Server, State string

	Waiting map[uint64]bool // the connections that wait
	Longest float64         // seconds that one of them has waited
	Idle    float64         // seconds that it has been in that state
	Waiters []Waiter        // the workers among those that wait, without duplicates
}

// Waiter is a worker that waits for a blocker.
type Waiter struct{ App, Slot string }

// Find returns the connection of a MySQL server that holds locks and for which most
// others wait, directly or behind others, with these; nil if no holder is known.
func Find(s *model.State, server string) *Blocker {
	var waits []*model.LockWait
	holds := make(map[uint64]*model.LockWait) // by the waiter's connection
	for i := range s.LockWaits {
		w := &s.LockWaits[i]
		if w.Server != server || w.Blocker.ID == 0 { // servers do not report who holds the lock of a table
			continue
		}
		waits = append(waits, w)
		if _, ok := holds[w.Waiter.ID]; !ok {
			holds[w.Waiter.ID] = w
		}
	}
	by := make(map[uint64]*Blocker)
	var most *Blocker
	for _, w := range waits {
		root := rootOfWait(w, holds, len(waits))
		b := by[root.Blocker.ID]
		if b == nil {
			b = &Blocker{Connection: root.Blocker, Server: server, State: root.State}
			by[b.ID] = b
		}
		b.add(w)
		if most == nil || len(b.Waiting) > len(most.Waiting) {
			most = b
		}
	}
	return most
}

// rootOfWait returns the last wait of the chain of waits that begins with w. of has the
// wait of each waiting connection. Of a circle it returns the wait at which it is after
// steps.
func rootOfWait(w *model.LockWait, of map[uint64]*model.LockWait, steps int) *model.LockWait {
	for range steps {
		next, waiting := of[w.Blocker.ID]
		if !waiting {
			break
		}
		w = next
	}
	return w
}

// add counts a wait of a connection for b, directly or behind another one.
func (b *Blocker) add(w *model.LockWait) {
	if b.Waiting == nil {
		b.Waiting = make(map[uint64]bool)
	}
	b.Waiting[w.Waiter.ID] = true
	b.Longest = max(b.Longest, w.Seconds)
	if v := (Waiter{w.Waiter.App, w.Waiter.Slot}); v.Slot != "" && !slices.Contains(b.Waiters, v) {
		b.Waiters = append(b.Waiters, v)
	}
}

// HoldsUp reports whether a worker waits for b; false if b is nil.
func (b *Blocker) HoldsUp(app, slot string) bool {
	return b != nil && slices.Contains(b.Waiters, Waiter{app, slot})
}

// FindTable returns the connections that wait for a table's lock on a server (those whose
// blocker is not reported), as those of the connection that is likely to hold it. Its ID is
// 0 if none is suspected. nil: nobody waits for such a lock.
func FindTable(s *model.State, server string) *Blocker {
	var b *Blocker
	for i := range s.LockWaits {
		w := &s.LockWaits[i]
		if w.Server != server || w.Blocker.ID != 0 {
			continue
		}
		if b == nil {
			b = &Blocker{Server: server}
		}
		b.add(w)
	}
	if b == nil {
		return nil
	}
	for i := range s.LockSuspects {
		if x := &s.LockSuspects[i]; x.Server == server {
			b.Connection, b.State, b.Idle = x.Connection, x.Did, x.Seconds
			break
		}
	}
	return b
}
