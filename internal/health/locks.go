package health

import (
	"fmt"
	"time"
)

// blocker is a connection that others wait for, on one server.
type blocker struct {
	id, app, slot, pid, state string
	waiters                   int
	longest                   float64 // seconds that one of them has waited
}

// blocker finds the connection that most others wait for; nil if none is known.
// The readings are page.lock_wait: server, the waiter's connection, app and
// worker, the blocker's connection, app, worker, pid and state.
func (c *court) blocker(server string) *blocker {
	by := make(map[string]*blocker)
	var most *blocker
	for _, x := range c.Readings.With("page.lock_wait", server) {
		id := label(x, 4)
		if id == "" { // who has the lock of a table is not always told
			continue
		}
		b := by[id]
		if b == nil {
			b = &blocker{id: id, app: label(x, 5), slot: label(x, 6), pid: label(x, 7), state: label(x, 8)}
			by[id] = b
		}
		b.waiters++
		b.longest = max(b.longest, x.Value)
		if most == nil || b.waiters > most.waiters {
			most = b
		}
	}
	return most
}

// blockedBy is the end of a sentence about a statement that may only wait.
func (c *court) blockedBy(server string) string {
	b := c.blocker(server)
	if b == nil {
		return ""
	}
	return fmt.Sprintf("; connection %s%s blocks %d", b.id, b.owner(), b.waiters)
}

// owner is whose connection it is, where that is known.
func (b *blocker) owner() string {
	if b.slot == "" {
		return ""
	}
	pid := ""
	if b.pid != "" {
		pid = " (pid " + b.pid + ")"
	}
	return " of worker " + b.slot + pid + " of " + b.app
}

// adviseQuery names the connection that most others wait for, if any do.
func (c *court) adviseQuery(name string, seconds float64) func(time.Duration) []string {
	b := c.blocker(name)
	if b == nil {
		return says(fmt.Sprintf("A statement on MySQL %s runs for %s: SHOW FULL PROCESSLIST names it, KILL QUERY ends it.", name, FormatSeconds(seconds)))
	}
	does := ""
	if b.state != "" {
		does = ", " + b.state + ","
	}
	return says(fmt.Sprintf("Connection %s%s on MySQL %s%s holds a lock that %s for, the longest for %s: let it commit, or KILL %s.",
		b.id, b.owner(), name, does, waitFor(b.waiters), FormatSeconds(b.longest), b.id))
}

func waitFor(n int) string {
	if n == 1 {
		return "1 other waits"
	}
	return fmt.Sprintf("%d others wait", n)
}
