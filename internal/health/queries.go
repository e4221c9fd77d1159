package health

import (
	"fmt"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/health/words"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// adviseQuery returns advice about a statement that has run for that many seconds: about
// the root of the server's chain, else the connection that others wait for, else the lock
// of a table, else the longest statement, else how to find it.
func (e *evaluator) adviseQuery(name string, seconds float64) adviser {
	if c := diagnosis.OfServer(e.State.Chains, "mysql:"+name); c != nil {
		a := e.chainAdvice(c, "")
		return rootCause(a.cause, a.line)
	}
	if b := e.blocker(name); b != nil {
		a := blockerAdvice(b, e)
		return rootCause(a.cause, a.line)
	}
	if b := e.tableLock(name); b != nil {
		a := tableAdvice(b)
		return rootCause(a.cause, a.line)
	}
	if all := measures.Queries(e.State, name); len(all) > 0 {
		a := queryAdvice(all[:1])
		return func(time.Duration) []advice { return []advice{a} }
	}
	return symptoms(fmt.Sprintf("A statement on MySQL %s has run for %s: find it with SHOW FULL PROCESSLIST and end it with KILL QUERY.", name, FormatSeconds(seconds)))
}

// queryAdvice returns the advice about long statements of one server, which are sorted
// longest first. It names at most maxNamed; there must be one.
func queryAdvice(all []*model.Query) advice {
	all = all[:min(len(all), maxNamed)]
	q := all[0]
	cause := connectionCause(q.Server, q.ID)
	if len(all) == 1 {
		return advice{rankCause, cause, fmt.Sprintf("Connection %d%s has run %s on MySQL %s for %s: end it with KILL QUERY %d; SHOW FULL PROCESSLIST shows its text.",
			q.ID, words.Owner(&q.Connection), words.Statement(q), q.Server, FormatSeconds(q.Seconds), q.ID)}
	}
	var who, kill []string
	for _, x := range all {
		who = append(who, fmt.Sprint(x.ID, words.Owner(&x.Connection)))
		kill = append(kill, fmt.Sprintf("KILL QUERY %d", x.ID))
	}
	return advice{rankCause, cause, fmt.Sprintf("Connections %s each run a statement on MySQL %s, the longest, %s, for %s: %s; SHOW FULL PROCESSLIST shows their text.",
		text.Enumerate(who), q.Server, words.Statement(q), FormatSeconds(q.Seconds), text.Enumerate(kill)+" end them")}
}
