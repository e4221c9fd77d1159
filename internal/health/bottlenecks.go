package health

import (
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis/cause"
	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// bottlenecks returns the advice about what holds up an app ("": each app); none without a cause or harm now.
func (e *evaluator) bottlenecks(app string) (out []given) {
	for i := range e.State.Bottlenecks {
		b := &e.State.Bottlenecks[i]
		if b.Cause == "" || !b.Harm.Any() || app != "" && b.App != app {
			continue
		}
		a := advice{rankRoot, cause.ID(b), cause.Advice(b)}
		if own := e.ownAdvice(b); own.line != "" {
			a.cause, a.line = own.cause, own.line
		}
		a.line = strings.TrimSpace(cause.Sentence(b) + " " + a.line)
		out = append(out, given{a, Subject{App: b.App, Rule: "bottleneck"}})
	}
	return out
}

// ownAdvice returns the advice about what the workers of an app held up by db_slow, upstream or cpu do that
// can be ended, which is better than where to look; without a line if there is none or for other causes.
func (e *evaluator) ownAdvice(b *model.Bottleneck) advice {
	switch b.Cause { //nolint:exhaustive // nothing of the workers can be ended for the others
	case model.CauseDBSlow:
		if own := e.ownQueries(b); len(own) > 0 {
			return queryAdvice(own)
		}
	case model.CauseUpstream:
		return e.stuckIn(b, func(x *model.Wait) bool { return x.On == "upstream" && x.Peer == b.Peer })
	case model.CauseCPU:
		if slices.ContainsFunc(b.Evidence, func(v model.Evidence) bool { return v.Code == "computing_workers" }) {
			return e.stuckIn(b, func(x *model.Wait) bool { return x.On == "cpu" })
		}
	}
	return advice{}
}

// ownQueries returns the long statements of an app on the MySQL server that holds it up;
// nil if none is known, or it is held up by something else.
func (e *evaluator) ownQueries(b *model.Bottleneck) (own []*model.Query) {
	server, ok := strings.CutPrefix(b.Peer, "mysql:")
	if !ok {
		return nil
	}
	for _, q := range measures.Queries(e.State, server) {
		if q.App == b.App {
			own = append(own, q)
		}
	}
	return own
}

// stuckIn returns the advice about those stuck workers of an app whose wait in accepts;
// without a line if there is none.
func (e *evaluator) stuckIn(b *model.Bottleneck, in func(*model.Wait) bool) advice {
	w := e.appWorkers(b.App)
	group := slices.DeleteFunc(slices.Clone(w.longest("stuck")), func(x worker) bool { return x.Wait == nil || !in(x.Wait) })
	if len(group) == 0 {
		return advice{}
	}
	return w.groupAdvice(group)
}
