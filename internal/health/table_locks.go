package health

import "fmt"

// tableLock returns the connections that wait for the lock of a table, or of its
// definition, on a server, with the connection that is likely to hold it; nil if
// none waits. The servers do not report who holds such a lock.
func (e *evaluator) tableLock(server string) *blocker {
	b, known := e.tableLocks[server]
	if !known {
		b = e.findTableLock(server)
		e.tableLocks[server] = b
	}
	return b
}

func (e *evaluator) findTableLock(server string) *blocker {
	var b *blocker
	for i := range e.State.LockWaits {
		w := &e.State.LockWaits[i]
		if w.Server != server || w.Blocker.ID != 0 {
			continue
		}
		if b == nil {
			b = &blocker{server: server}
		}
		b.add(w)
	}
	if b == nil {
		return nil
	}
	for i := range e.State.LockSuspects {
		if x := &e.State.LockSuspects[i]; x.Server == server {
			b.Connection, b.state, b.idle = x.Connection, x.Did, x.Seconds
			break
		}
	}
	return b
}

func (b *blocker) tableAdvice() advice {
	n := len(b.waiting)
	line := fmt.Sprintf("%s %s for a lock of a table on MySQL %s, the longest for %s; the server does not say who holds it",
		plural(float64(n), "connection"), choose(n == 1, "waits", "wait"), b.server, FormatSeconds(b.longest))
	if b.ID == 0 {
		line += ": SHOW PROCESSLIST has who sleeps meanwhile."
	} else {
		line += fmt.Sprintf(". Connection %d%s is likely to: it has %s for %s. KILL %d ends it, if it may not finish.", b.ID, ownerOf(&b.Connection), b.state, FormatSeconds(b.idle), b.ID)
	}
	return advice{rankRoot, "mysql:" + b.server + "/table-lock", line + b.waitersText()}
}
