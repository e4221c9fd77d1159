package health

import "fmt"

// tableLock returns the connections that wait for a lock of a table, or of its
// definition, on a server, with the connection that is likely to hold it; nil:
// none waits. The servers do not say who holds such a lock. The readings are
// page.lock_wait without a blocker, and page.lock_suspect: server, connection,
// user, host, app, worker, pid and what it does.
func (c *court) tableLock(server string) *blocker {
	b, known := c.tableLocks[server]
	if !known {
		b = c.findTableLock(server)
		c.tableLocks[server] = b
	}
	return b
}

func (c *court) findTableLock(server string) *blocker {
	var b *blocker
	for _, x := range c.State.With("page.lock_wait", server) {
		if label(x, 4) != "" {
			continue
		}
		if b == nil {
			b = &blocker{server: server}
		}
		b.add(x)
	}
	if b == nil {
		return nil
	}
	for _, x := range c.State.With("page.lock_suspect", server) {
		b.id, b.user, b.host, b.app, b.slot, b.pid, b.state = label(x, 1), label(x, 2), label(x, 3), label(x, 4), label(x, 5), label(x, 6), label(x, 7)
		b.idle = x.Value
		break
	}
	return b
}

func (b *blocker) tableAdvice() advice {
	n := len(b.waiting)
	line := fmt.Sprintf("%s %s for a lock of a table on MySQL %s, the longest for %s; the server does not say who holds it",
		plural(float64(n), "connection"), either(n == 1, "waits", "wait"), b.server, FormatSeconds(b.longest))
	if b.id == "" {
		line += ": SHOW PROCESSLIST has who sleeps meanwhile."
	} else {
		line += fmt.Sprintf(". Connection %s%s is likely to: it has %s for %s. KILL %s ends it, if it may not finish.", b.id, b.owner(), b.state, FormatSeconds(b.idle), b.id)
	}
	return advice{rankRoot, "mysql:" + b.server + "/table-lock", line + b.spare()}
}

// queryAdvice is the line about statements of one server that run long, the
// longest first, at most maxNamed of which are named.
func queryAdvice(all []query) advice {
	all = all[:min(len(all), maxNamed)]
	q := &all[0]
	cause := "mysql:" + q.server + "/connection:" + q.id
	if len(all) == 1 {
		return advice{rankCause, cause, fmt.Sprintf("Connection %s%s has run %s on MySQL %s for %s: KILL QUERY %s ends it; SHOW FULL PROCESSLIST has its text.",
			q.id, ownerOf(q.app, q.slot, q.pid, q.user, q.host), q.what(), q.server, FormatSeconds(q.seconds), q.id)}
	}
	var who, kill []string
	for i := range all {
		who = append(who, all[i].id+ownerOf(all[i].app, all[i].slot, all[i].pid, all[i].user, all[i].host))
		kill = append(kill, "KILL QUERY "+all[i].id)
	}
	return advice{rankCause, cause, fmt.Sprintf("Connections %s each have run a statement on MySQL %s, the longest, %s, for %s: %s; SHOW FULL PROCESSLIST has their text.",
		enumerate(who), q.server, q.what(), FormatSeconds(q.seconds), enumerate(kill)+" end them")}
}

// what names a statement by its keyword, where that is known.
func (q *query) what() string {
	switch {
	case q.kind == "" || q.kind == "statement":
		return "a statement"
	case q.kind[0] == 'A' || q.kind[0] == 'E' || q.kind[0] == 'I' || q.kind[0] == 'O' || q.kind[0] == 'U':
		return "an " + q.kind
	}
	return "a " + q.kind
}
