package charts

import "github.com/resp-exporter/resp-exporter/internal/model"

const (
	errorSeconds = 60 // window of the error rate, as of the request rate
	errorPoints  = 16 // points kept for it: 75 s
)

// errorCount is the number of 5xx responses of an app at its latest points.
type errorCount struct {
	seen   bool
	total  float64 // of the point being recorded
	times  [errorPoints]int64
	totals [errorPoints]float64
	n      uint64
}

// recordErrors sets in the current point the 5xx responses per second of each app, by
// their totals.
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

// rate adds the current total and returns by how much it grew per second since the newest
// total that is a minute old, else since the oldest; false if there is no earlier one. A
// total that fell starts anew.
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
