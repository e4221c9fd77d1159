package cause

import (
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	// release is the part of its limit below which a number must fall to be no harm any
	// more.
	release = 0.5
	// more is how many times what is usual is harm.
	more = 4
	// Below these a number is no harm, however small what is usual is.
	leastQueue   = 4   // connections
	leastAge     = 2   // seconds, of a request
	leastMean    = 0.3 // seconds
	leastTaskAge = 10  // seconds, of a task
	leastErrors  = 3   // requests
	leastTimed   = 3   // requests
	// leastLatest is how many requests since the look before show that they are fast again.
	leastLatest = 10
	// fullQueue is how full an accept queue is that is nearly full, with leastFull
	// connections.
	fullQueue = 0.8
	leastFull = 3
)

// harmState is which harm the last look has found.
type harmState struct{ queue, latency, stuck, errors, tasks bool }

// limit returns the limit v if the harm is not present yet; if it is, half of v, below
// which the harm ends.
func limit(v float64, present bool) float64 {
	if present {
		return v * release
	}
	return v
}

// next returns the harm that a look shows, and keeps which kinds of harm there are for
// the next look. beyond: the queue is beyond its threshold or nearly full ([harmState.ofQueue]),
// or more workers are stuck than usual.
func (h *harmState) next(l *look, limits config.Thresholds, u *usual) (out model.Harm, beyond bool) {
	out.Queue, beyond = h.ofQueue(l, limits, u)
	out.Latency = h.ofLatency(l, limits, u)
	if c := l.workers.Counts; c != nil && c.Stuck > 0 && c.Stuck > u.stuck {
		out.Stuck, beyond = &c.Stuck, true
	}
	out.Errors = h.ofErrors(l, limits, u)
	out.Tasks = h.ofTasks(l, limits, u)
	*h = harmState{out.Queue != nil, out.Latency != nil, out.Stuck != nil, out.Errors != nil, out.Tasks != nil}
	return out, beyond
}

// ofQueue returns how many connections wait to be accepted, if these are too many: beyond the
// threshold, nearly as many as the queue takes, or, if what is usual is known, as many as threads
// (4 at least) and many more than usual; once it is so, half of the threads (2 at least). Else, or
// if it is not known, nil. beyond: for one of the first two reasons.
func (h *harmState) ofQueue(l *look, limits config.Thresholds, u *usual) (_ *float64, beyond bool) {
	if l.queue == nil {
		return nil, false
	}
	q := *l.queue
	beyond = q >= limits.RequestQueue.Warning
	if f := measures.Fullest(measures.Listeners(l.state, l.workers.App)); f != nil && f.Fullness != nil && *f.Fullness >= fullQueue && *f.Length >= leastFull {
		beyond = true
	}
	if beyond {
		return &q, true
	}
	least := max(leastQueue, l.capacity())
	if u.known() && q >= limit(max(least, more*u.queue), h.queue) || h.queue && q >= least*release && q > 1 {
		return &q, false
	}
	return nil, false
}

// ofLatency returns how long requests take, in seconds, if that is too long by the limit or by
// what is usual, half of it once it was; else nil. It is the mean of those that ended lately
// or, if that is not too long or too few ended, the age of the oldest one, if two (in an app of
// one thread one) are that old.
func (h *harmState) ofLatency(l *look, limits config.Thresholds, u *usual) *float64 {
	r := l.recent
	if h.latency && l.latest.timed >= leastLatest { // those of the looks before were slow
		r = l.latest
	}
	if r.timed >= leastTimed {
		mean := r.seconds / r.timed
		if mean >= limit(limits.ResponseTime.Warning, h.latency) || u.serves() && u.mean > 0 && mean >= limit(max(leastMean, more*u.mean), h.latency) {
			return &mean
		}
	}
	oldest := valueOf(l.totals.Oldest)
	several := min(2, max(1, int(l.capacity())))
	if a := limit(limits.ResponseTime.Warning, h.latency); oldest >= a && oldest > 2*u.oldest*limit(1, h.latency) && l.olderThan(a) >= several {
		return &oldest
	}
	if a := limit(max(leastAge, more*u.oldest), h.latency); u.serves() && oldest >= a && l.olderThan(a) >= several {
		return &oldest
	}
	return nil
}

// olderThan returns how many workers, or threads if these are more, have been in one
// request for at least age seconds.
func (l *look) olderThan(age float64) (n int) {
	for i := range l.workers.Workers {
		if w := &l.workers.Workers[i]; (w.State == "busy" || w.State == "stuck") && w.Seconds >= age {
			n++
		}
	}
	return max(n, l.longWaits(age))
}

// longWaits returns how many threads have been in one wait, or in one request, for at
// least age seconds. Waits for a client and of an event loop do not count.
func (l *look) longWaits(age float64) (n int) {
	for _, t := range l.threads {
		waits := t.Seconds >= age && t.On != "client" && t.On != "loop"
		began := t.Seen
		if t.Stack != nil && !t.Stack.Started.IsZero() {
			began = t.Stack.Started
		}
		if waits || !began.IsZero() && l.now.Sub(began).Seconds() >= age {
			n++
		}
	}
	return n
}

// ofErrors returns which part of the last requests failed, from 0 to 1, if that is too large
// by the threshold (half of it once it was) and by what is usual, at first with at least
// leastErrors of them; else, or without requests, nil.
func (h *harmState) ofErrors(l *look, limits config.Thresholds, u *usual) *float64 {
	r := l.recent
	if r.total <= 0 || r.errors < leastErrors && !h.errors {
		return nil
	}
	ratio := r.errors / r.total
	if n := l.latest.total; h.errors && n*ratio >= leastErrors { // if it went on, some of these would have failed
		ratio = l.latest.errors / n
	}
	if ratio > 0 && ratio >= limit(limits.ErrorRate.Warning, h.errors) && ratio >= more/2*u.errors {
		return &ratio
	}
	return nil
}

// ofTasks returns the age in seconds of the oldest waiting task, if it is overdue: beyond the
// threshold, or no worker serves its queue and it is older than leastTaskAge and than usual;
// half of these once it is so. Otherwise, or if it is not known, it returns nil.
func (h *harmState) ofTasks(l *look, limits config.Thresholds, u *usual) *float64 {
	var worst *float64
	for i := range l.state.Queues {
		q := &l.state.Queues[i]
		if q.App != l.workers.App || q.Oldest == nil || q.Length <= 0 {
			continue
		}
		late := *q.Oldest >= limit(limits.TaskAge.Warning, h.tasks)
		left := *q.Oldest >= limit(max(leastTaskAge, more*u.tasks), h.tasks) && q.Workers != nil && *q.Workers == 0
		if (late || left) && (worst == nil || *q.Oldest > *worst) {
			worst = q.Oldest
		}
	}
	return worst
}
