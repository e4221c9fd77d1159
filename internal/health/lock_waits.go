package health

import (
	"fmt"

	"github.com/resp-exporter/resp-exporter/internal/health/locks"
	"github.com/resp-exporter/resp-exporter/internal/health/words"
)

// blocker returns the connection of a MySQL server for which most others wait for locks,
// directly or behind others; nil if none is known.
func (e *evaluator) blocker(server string) *locks.Blocker {
	b, known := e.blockers[server]
	if !known {
		b = locks.Find(e.State, server)
		e.blockers[server] = b
	}
	return b
}

// blockedBy returns the end of a summary that names the connection for which most others
// of a server wait; "" if none is known.
func (e *evaluator) blockedBy(server string) string {
	b := e.blocker(server)
	if b == nil {
		return ""
	}
	return fmt.Sprintf("; connection %d%s blocks %d", b.ID, words.Owner(&b.Connection), len(b.Waiting))
}

// connectionCause returns the identity of the advice about a connection.
func connectionCause(server string, id uint64) string {
	return fmt.Sprintf("mysql:%s/connection:%d", server, id)
}

// blockerAdvice returns the advice about the holder of a lock: who it is, what its worker
// waits for, how to end it, and which workers not to end.
func blockerAdvice(b *locks.Blocker, c *evaluator) advice {
	does := ""
	if b.State != "" {
		does = ", " + b.State + ","
	}
	line := fmt.Sprintf("Connection %d%s on MySQL %s%s holds a lock that %s for, the longest for %s", b.ID, words.Owner(&b.Connection), b.Server, does, waitFor(len(b.Waiting)), FormatSeconds(b.Longest))
	if own := c.waitOf(b.App, b.Slot); own != nil && own.On != "mysql" {
		line += "; its worker " + words.Wait(own, true)
	}
	line += fmt.Sprintf(": let it finish, or end it with KILL %d", b.ID)
	return advice{rankRoot, connectionCause(b.Server, b.ID), line + "." + words.DoNotEnd(b)}
}

func waitFor(n int) string {
	if n == 1 {
		return "1 other connection waits"
	}
	return fmt.Sprintf("%d other connections wait", n)
}

// CompareSlots compares two slots of workers for a sort, by length, then as texts: "2" is before "10".
func CompareSlots(a, b string) int { return words.CompareSlots(a, b) }
