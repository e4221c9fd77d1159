package health

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// blocker is a connection that holds a lock for which others wait, on one server,
// and that waits for no lock itself.
type blocker struct {
	model.Connection

	server, state string

	waiting map[uint64]bool // the connections that wait
	longest float64         // seconds that one of them has waited
	idle    float64         // seconds that it has been in that state
	waiters []waiter        // the workers among those that wait, without duplicates
}

// waiter is a worker that waits for a blocker.
type waiter struct{ app, slot string }

// blocker returns the connection at the end of the chain for which most others
// wait; nil if none is known.
func (e *evaluator) blocker(server string) *blocker {
	b, known := e.blockers[server]
	if !known {
		b = e.findBlocker(server)
		e.blockers[server] = b
	}
	return b
}

func (e *evaluator) findBlocker(server string) *blocker {
	var waits []*model.LockWait
	holds := make(map[uint64]*model.LockWait) // by the waiter's connection
	for i := range e.State.LockWaits {
		w := &e.State.LockWaits[i]
		if w.Server != server || w.Blocker.ID == 0 { // servers do not report who holds the lock of a table
			continue
		}
		waits = append(waits, w)
		if _, ok := holds[w.Waiter.ID]; !ok {
			holds[w.Waiter.ID] = w
		}
	}
	by := make(map[uint64]*blocker)
	var most *blocker
	for _, w := range waits {
		root := rootOfWait(w, holds, len(waits))
		b := by[root.Blocker.ID]
		if b == nil {
			b = &blocker{Connection: root.Blocker, server: server, state: root.State}
			by[b.ID] = b
		}
		b.add(w)
		if most == nil || len(b.waiting) > len(most.waiting) {
			most = b
		}
	}
	return most
}

// rootOfWait returns the last wait of the chain that begins with w, by waits for
// each waiter's connection. Of a circle it returns one of its waits, after steps.
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

// add counts one that waits, directly or behind another.
func (b *blocker) add(w *model.LockWait) {
	if b.waiting == nil {
		b.waiting = make(map[uint64]bool)
	}
	b.waiting[w.Waiter.ID] = true
	b.longest = max(b.longest, w.Seconds)
	if v := (waiter{w.Waiter.App, w.Waiter.Slot}); v.slot != "" && !slices.Contains(b.waiters, v) {
		b.waiters = append(b.waiters, v)
	}
}

// holdsUp reports whether a worker waits for b.
func (b *blocker) holdsUp(app, slot string) bool {
	return b != nil && slices.Contains(b.waiters, waiter{app, slot})
}

// blockedBy returns the end of a summary that names the blocker of a server; ""
// where there is none.
func (e *evaluator) blockedBy(server string) string {
	b := e.blocker(server)
	if b == nil {
		return ""
	}
	return fmt.Sprintf("; connection %d%s blocks %d", b.ID, ownerOf(&b.Connection), len(b.waiting))
}

// ownerOf returns whose a connection is, e.g. " of worker 2 of shop" or " of user
// ann from 10.0.0.7"; "" where that is not known.
func ownerOf(x *model.Connection) string {
	switch {
	case x.Slot != "" && x.PID != 0:
		return fmt.Sprintf(" of worker %s (pid %d) of %s", x.Slot, x.PID, x.App)
	case x.Slot != "":
		return " of worker " + x.Slot + " of " + x.App
	case x.User != "" && x.Host != "":
		return " of user " + x.User + " from " + x.Host
	case x.User != "":
		return " of user " + x.User
	}
	return ""
}

// connectionCause returns the cause of advice about a connection.
func connectionCause(server string, id uint64) string {
	return fmt.Sprintf("mysql:%s/connection:%d", server, id)
}

// advice returns the line about the holder of a lock: who it is, what its worker
// waits for, how to end it, and which workers not to end.
func (b *blocker) advice(c *evaluator) advice {
	does := ""
	if b.state != "" {
		does = ", " + b.state + ","
	}
	line := fmt.Sprintf("Connection %d%s on MySQL %s%s holds a lock that %s for, the longest for %s", b.ID, ownerOf(&b.Connection), b.server, does, waitFor(len(b.waiting)), FormatSeconds(b.longest))
	if own := c.waitOf(b.App, b.Slot); own != nil && own.On != "mysql" {
		line += "; its worker " + waitText(own, true)
	}
	line += fmt.Sprintf(": KILL %d ends it, if it may not finish", b.ID)
	return advice{rankRoot, connectionCause(b.server, b.ID), line + "." + b.waitersText()}
}

// waitersText returns a sentence that names the workers that only wait and should
// not be ended; "" if none is known.
func (b *blocker) waitersText() string {
	if len(b.waiters) == 0 {
		return ""
	}
	return " Do not end " + workerList(b.waiters) + ": " + choose(len(b.waiters) == 1, "it waits", "they wait") + " for it."
}

// workerList returns workers as an enumeration of at most 8, grouped by app.
func workerList(waiters []waiter) string {
	const upTo = 8
	sorted := slices.Clone(waiters)
	slices.SortFunc(sorted, func(x, y waiter) int {
		if n := strings.Compare(x.app, y.app); n != 0 {
			return n
		}
		return CompareSlots(x.slot, y.slot)
	})
	var out []string
	for i, v := range sorted {
		if i == upTo {
			out = append(out, fmt.Sprintf("%d more", len(sorted)-upTo))
			break
		}
		text := "worker " + v.slot
		if i > 0 && sorted[i-1].app == v.app {
			text = v.slot
		} else if i+1 < len(sorted) && sorted[i+1].app == v.app {
			text = "workers " + v.slot
		}
		if i+1 == len(sorted) || sorted[i+1].app != v.app {
			text += " of " + v.app
		}
		out = append(out, text)
	}
	return enumerate(out)
}

func waitFor(n int) string {
	if n == 1 {
		return "1 other waits"
	}
	return fmt.Sprintf("%d others wait", n)
}

// CompareSlots orders the slots of workers: 2 before 10.
func CompareSlots(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
