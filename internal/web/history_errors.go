package web

import "github.com/resp-exporter/resp-exporter/internal/model"

const (
	errorSeconds = 60 // an error rate is taken over this, as the rate of requests is
	errorPoints  = 16 // moments kept for it: 75 s
)

// errorCount is what an app had answered with 5xx at its latest moments.
type errorCount struct {
	seen   bool
	total  float64 // of the moment being recorded
	times  [errorPoints]int64
	totals [errorPoints]float64
	n      uint64
}

// recordErrors turns the counts of answers into 5xx per second.
func (h *History) recordErrors(r *model.State, now int64) {
	for _, e := range h.errors {
		e.seen, e.total = false, 0
	}
	for i := range r.Requests {
		name, errors := r.Requests[i].App, r.Requests[i].Errors
		if errors == nil {
			continue
		}
		e := h.errors[name]
		if e == nil {
			if len(h.errors) >= MaxSeries {
				continue
			}
			e = &errorCount{}
			h.errors[name] = e
		}
		e.seen, e.total = true, *errors
	}
	for name, e := range h.errors {
		if !e.seen {
			delete(h.errors, name)
			continue
		}
		if rate, ok := e.rate(now); ok {
			h.set(seriesKey{name, "errors", ""}, rate)
		}
	}
}

// rate keeps the total and returns how fast it grew since the newest moment
// that is a minute old, else since the oldest. A total that fell begins anew.
func (e *errorCount) rate(now int64) (float64, bool) {
	if e.n > 0 && e.total < e.totals[(e.n-1)%errorPoints] {
		e.n = 0
	}
	e.times[e.n%errorPoints], e.totals[e.n%errorPoints] = now, e.total
	e.n++
	base := e.n - min(e.n, errorPoints)
	for i := base; i < e.n && now-e.times[i%errorPoints] >= errorSeconds; i++ {
		base = i
	}
	span := now - e.times[base%errorPoints]
	if span <= 0 {
		return 0, false
	}
	return (e.total - e.totals[base%errorPoints]) / float64(span), true
}
