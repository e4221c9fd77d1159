package health

import (
	"fmt"

	"github.com/resp-exporter/resp-exporter/internal/health/locks"
	"github.com/resp-exporter/resp-exporter/internal/health/words"
)

// tableLock returns the connections that wait for a table's lock on a server, as those of
// the connection that is likely to hold it, with the ID 0 if none is suspected: servers do
// not report the holder. nil: nobody waits for such a lock.
func (e *evaluator) tableLock(server string) *locks.Blocker {
	b, known := e.tableLocks[server]
	if !known {
		b = locks.FindTable(e.State, server)
		e.tableLocks[server] = b
	}
	return b
}

// tableAdvice returns the advice for a lock of a table.
func tableAdvice(b *locks.Blocker) advice {
	n := len(b.Waiting)
	line := fmt.Sprintf("%s %s for a lock of a table on MySQL %s, the longest for %s; the server does not say who holds it",
		plural(float64(n), "connection"), words.Choose(n == 1, "waits", "wait"), b.Server, FormatSeconds(b.Longest))
	if b.ID == 0 {
		line += ": look for a sleeping connection in SHOW PROCESSLIST."
	} else {
		line += fmt.Sprintf(". It is probably connection %d%s: it has %s for %s. Let it finish, or end it with KILL %d.", b.ID, words.Owner(&b.Connection), b.State, FormatSeconds(b.Idle), b.ID)
	}
	return advice{rankRoot, "mysql:" + b.Server + "/table-lock", line + words.DoNotEnd(b)}
}
