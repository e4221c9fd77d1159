package health

import "github.com/resp-exporter/resp-exporter/internal/config"

// What is counted before a ratio or a mean of requests is judged: a few failures of a
// few requests say nothing, and neither does one slow request.
const (
	leastFailures = 3 // failed requests in five minutes
	leastTimed    = 5 // requests in five minutes of which the duration is known
	leastLast     = 5 // requests in the last minute, before it can show that a fault has ended
)

// evaluateRequests evaluates the error rate and the response time, where reported.
func (e *evaluator) evaluateRequests(w *appWorkers) {
	if w.requests == nil {
		return
	}
	q, limits := w.requests, e.limits(w.app)
	if v := q.ErrorRatio; v != nil {
		r := rule{Subject: Subject{App: w.app, Rule: "error_rate"}, component: "requests"}
		if enough(q.Errors5m, leastFailures) {
			r.level, r.release = present(*v, q.LastErrorRatio, q.LastRequests, limits.ErrorRate)
			r.summary = FormatPercent(*v) + " of the requests to " + w.app + " fail with 5xx"
			r.advice = adviseErrors(q)
		}
		e.add(r)
	}
	if v := q.Mean; v != nil {
		r := rule{Subject: Subject{App: w.app, Rule: "response_time"}, component: "requests"}
		if enough(q.Timed5m, leastTimed) {
			r.level, r.release = present(*v, q.LastMean, q.LastTimed, limits.ResponseTime)
			r.summary = w.app + " takes " + FormatSeconds(*v) + " per request on average"
			r.advice = deferred(func() adviser { return e.adviseSlow(w, *v) })
		}
		e.add(r)
	}
}

// enough reports whether at least that many were counted. A number that is not known
// is enough.
func enough(counted *float64, least float64) bool { return counted == nil || *counted >= least }

// present returns the levels of a value of five minutes that are still present: no
// worse than those of the last minute, if enough was counted in it. Otherwise a fault of
// a few seconds would be reported for five minutes.
func present(v float64, last, counted *float64, l config.Limit) (level, release Level) {
	level, release = rises(v, l)
	if last == nil || counted == nil || *counted < leastLast {
		return level, release
	}
	now, lower := rises(*last, l)
	return min(level, now), min(release, lower)
}
