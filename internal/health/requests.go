package health

import "github.com/resp-exporter/resp-exporter/internal/health/levels"

// What is counted before a ratio or a mean of requests is judged: a few failures of a
// few requests say nothing, and neither does one slow request.
const (
	leastFailures = 3 // failed requests in five minutes
	leastTimed    = 5 // requests in five minutes of which the duration is known
)

// evaluateRequests adds the rules about an app's error rate and response time, if known.
func (e *evaluator) evaluateRequests(w *appWorkers) {
	if w.requests == nil {
		return
	}
	q, limits := w.requests, e.limits(w.app)
	if v := q.ErrorRatio; v != nil {
		r := rule{Subject: Subject{App: w.app, Rule: "error_rate"}, component: "requests"}
		if levels.Enough(q.Errors5m, leastFailures) {
			r.level, r.release = levels.Present(*v, q.LastErrorRatio, q.LastRequests, limits.ErrorRate)
			r.summary = FormatPercent(*v) + " of the requests to " + w.app + " fail with 5xx"
			r.advice = adviseErrors(q)
		}
		e.add(r)
	}
	if v := q.Mean; v != nil {
		r := rule{Subject: Subject{App: w.app, Rule: "response_time"}, component: "requests"}
		if levels.Enough(q.Timed5m, leastTimed) {
			r.level, r.release = levels.Present(*v, q.LastMean, q.LastTimed, limits.ResponseTime)
			r.summary = w.app + " takes " + FormatSeconds(*v) + " per request on average"
			r.advice = deferred(func() adviser { return e.adviseSlow(w, *v) })
		}
		e.add(r)
	}
}
