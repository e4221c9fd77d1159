package health

import (
	"fmt"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/health/words"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// adviseQuery returns advice about long statements on a server: about the root of a
// chain, about the blocker if connections wait for a lock, else about the statement
// that runs longest.
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

// queryAdvice returns the line about long statements of one server, sorted longest
// first. It names at most maxNamed.
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
		enumerate(who), q.Server, words.Statement(q), FormatSeconds(q.Seconds), enumerate(kill)+" end them")}
}
