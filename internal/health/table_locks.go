package health

import (
	"fmt"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

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
		line += ": look for a sleeping connection in SHOW PROCESSLIST."
	} else {
		line += fmt.Sprintf(". It is probably connection %d%s: it has %s for %s. Let it finish, or end it with KILL %d.", b.ID, ownerOf(&b.Connection), b.state, FormatSeconds(b.idle), b.ID)
	}
	return advice{rankRoot, "mysql:" + b.server + "/table-lock", line + b.waitersText()}
}

// queryAdvice returns the line about long statements of one server, sorted longest
// first. It names at most maxNamed.
func queryAdvice(all []*model.Query) advice {
	all = all[:min(len(all), maxNamed)]
	q := all[0]
	cause := connectionCause(q.Server, q.ID)
	if len(all) == 1 {
		return advice{rankCause, cause, fmt.Sprintf("Connection %d%s has run %s on MySQL %s for %s: end it with KILL QUERY %d; SHOW FULL PROCESSLIST shows its text.",
			q.ID, ownerOf(&q.Connection), statementOf(q), q.Server, FormatSeconds(q.Seconds), q.ID)}
	}
	var who, kill []string
	for _, x := range all {
		who = append(who, fmt.Sprint(x.ID, ownerOf(&x.Connection)))
		kill = append(kill, fmt.Sprintf("KILL QUERY %d", x.ID))
	}
	return advice{rankCause, cause, fmt.Sprintf("Connections %s each run a statement on MySQL %s, the longest, %s, for %s: %s; SHOW FULL PROCESSLIST shows their text.",
		enumerate(who), q.Server, statementOf(q), FormatSeconds(q.Seconds), enumerate(kill)+" end them")}
}

// statementOf returns a statement by its keyword, e.g. "an UPDATE", or "a
// statement".
func statementOf(q *model.Query) string {
	switch word := q.Statement; {
	case word == "" || word == "statement":
		return "a statement"
	case word[0] == 'A' || word[0] == 'E' || word[0] == 'I' || word[0] == 'O' || word[0] == 'U':
		return "an " + word
	default:
		return "a " + word
	}
}
