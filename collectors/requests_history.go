package collectors

import (
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// The windows of the figures on the status page.
const (
	shortWindow = time.Minute
	longWindow  = 5 * time.Minute
	// minPointInterval is the least time between two points of a history, so that
	// frequent scrapes do not fill it.
	minPointInterval = 4 * time.Second
	// minRateSpan is the least time over which a rate is computed.
	minRateSpan = time.Second
)

// requestHistory is the last minutes of each app, for the status page.
type requestHistory struct {
	mu       sync.Mutex
	lastRead time.Time // an app that is newer had no requests then
	apps     map[string]*appHistory
}

// appHistory is one app's points, oldest first, and none much older than longWindow.
type appHistory struct {
	points []point
	serial uint64 // of the account
}

// point is the counters of an app at one time.
type point struct {
	at                     time.Time
	requests, errors, slow uint64
	shed                   uint64 // of the errors: answered with 503 because a throttle is in force
	count                  uint64
	sum                    float64
	native                 *[nativeSlots]uint64 // nil once older than shortWindow
}

// rateOf returns the requests per second of an app over the minute before the last
// collection; false if the app has no history, less than four seconds of it, or none from
// the last minute. r may be nil.
func (r *Requests) rateOf(app string) (float64, bool) {
	if r == nil {
		return 0, false
	}
	r.history.mu.Lock()
	defer r.history.mu.Unlock()
	h := r.history.apps[app]
	if h == nil {
		return 0, false
	}
	last := &h.points[len(h.points)-1]
	first := h.pointBefore(last.at, shortWindow)
	span := last.at.Sub(first.at)
	if span < minPointInterval || r.o.Now().Sub(last.at) > shortWindow {
		return 0, false
	}
	return float64(last.requests-first.requests) / span.Seconds(), true
}

// AnsweredBy returns how many requests of an app were reported so far with a status, as of
// the last point of its history, at most some seconds before the last collection; false if
// the app has no history.
func (r *Requests) AnsweredBy(app string) (float64, bool) {
	r.history.mu.Lock()
	defer r.history.mu.Unlock()
	h := r.history.apps[app]
	if h == nil || len(h.points) == 0 {
		return 0, false
	}
	return float64(h.points[len(h.points)-1].requests), true
}

// prune removes the histories of accounts that were removed, also if a new one has the
// name.
func (p *requestHistory) prune(views []appView) {
	serials := make(map[string]uint64, len(views))
	for i := range views {
		serials[views[i].name] = views[i].serial
	}
	for name, h := range p.apps {
		if n, ok := serials[name]; !ok || n != h.serial {
			delete(p.apps, name)
		}
	}
}

// addPoints adds a point to the history of each app, and to the state the app's numbers
// over the last minutes. shed is how many requests each app has shed so far, by its name.
func (p *requestHistory) addPoints(s *Sample, views []appView, shed map[string]uint64, now time.Time) {
	for i := range views {
		v := &views[i]
		h := p.apps[v.name]
		if h == nil {
			h = &appHistory{serial: v.serial, points: []point{{at: p.lastRead, shed: shed[v.name], native: new([nativeSlots]uint64)}}}
			p.apps[v.name] = h
		}
		current := v.point(now)
		current.shed = shed[v.name]
		s.State.Requests = append(s.State.Requests, h.summary(v, &current))
		h.addPoint(current)
	}
	p.lastRead = now
}

// point returns the counters of an account at now, all of its pairs summed up; shed is not
// set.
func (v *appView) point(now time.Time) point {
	p := point{at: now, slow: v.slow, native: new([nativeSlots]uint64)}
	for _, pair := range v.pairs {
		for _, c := range pair.codes {
			p.requests += c.n
			if c.code >= 500 {
				p.errors += c.n
			}
		}
		if pair.durations == nil {
			continue
		}
		p.count += pair.durations.count.n
		p.sum += pair.durations.sum
		for i, n := range pair.durations.native {
			p.native[i] += n
		}
	}
	return p
}

// pointBefore returns a pointer to the newest point that is at least age old at now; to
// the oldest if none is.
func (h *appHistory) pointBefore(now time.Time, age time.Duration) *point {
	b := &h.points[0]
	for i := range h.points {
		if now.Sub(h.points[i].at) >= age {
			b = &h.points[i]
		}
	}
	return b
}

// addPoint appends a point, unless the last one is too recent, and forgets points and
// native buckets that no window needs any more.
func (h *appHistory) addPoint(p point) {
	if p.at.Sub(h.points[len(h.points)-1].at) < minPointInterval {
		return
	}
	h.points = append(h.points, p)
	old := h.pointBefore(p.at, longWindow)
	for len(h.points) > 1 && &h.points[0] != old {
		h.points = h.points[1:]
	}
	short := h.pointBefore(p.at, shortWindow)
	for i := range h.points {
		if h.points[i].at.Before(short.at) {
			h.points[i].native = nil
		}
	}
}

// summary returns an app's numbers: totals, and those of the last minute and five minutes
// up to the point now, or of as long as the history is. Ratios, from 0 to 1, and times,
// in seconds, are nil without a request in their window; the rate is nil if there never
// was one, or its window is shorter than a second.
func (h *appHistory) summary(v *appView, now *point) model.AppRequests {
	out := model.AppRequests{App: v.name}
	if now.requests > 0 {
		out.Errors, out.Total = model.Known(float64(now.errors)), model.Known(float64(now.requests))
	}
	if v.hasDurations {
		out.Timed, out.Seconds = model.Known(float64(now.count)), model.Known(now.sum)
	}
	base := h.pointBefore(now.at, longWindow)
	out.Requests5m, out.Errors5m, out.Timed5m = counted(now.requests-base.requests), counted(now.failed(base)), counted(now.count-base.count)
	out.ErrorRatio, out.Mean = now.errorRatio(base), now.mean(base)
	if v.hasDurations {
		out.Slow5m = model.Known(float64(now.slow - base.slow))
	}
	if n := now.shed - base.shed; n > 0 {
		out.Shed5m = counted(n)
	}
	base = h.pointBefore(now.at, shortWindow)
	out.LastRequests, out.LastTimed = counted(now.requests-base.requests), counted(now.count-base.count)
	out.LastErrorRatio, out.LastMean = now.errorRatio(base), now.mean(base)
	if span := now.at.Sub(base.at); span >= minRateSpan && len(v.pairs) > 0 {
		out.Rate = model.Known(float64(now.requests-base.requests) / span.Seconds())
	}
	if base.native == nil {
		return out
	}
	since := *now.native
	for i := range since {
		since[i] -= base.native[i]
	}
	out.P50, out.P95, out.P99 = quantile(&since, 0.5), quantile(&since, 0.95), quantile(&since, 0.99)
	return out
}

func counted(n uint64) *float64 { return model.Known(float64(n)) }

// failed returns the number of requests since an earlier point that failed with 5xx, without
// those that a throttle shed. Both are counted apart, so it is 0 if more were shed than failed.
func (p *point) failed(base *point) uint64 {
	failed, shed := p.errors-base.errors, p.shed-base.shed
	return failed - min(failed, shed)
}

// errorRatio returns the share of requests since an earlier point that failed with 5xx, from 0
// to 1, without those that a throttle shed; nil if there were no others.
func (p *point) errorRatio(base *point) *float64 {
	requests, shed := p.requests-base.requests, p.shed-base.shed
	if requests <= shed {
		return nil
	}
	return model.Known(float64(p.failed(base)) / float64(requests-shed))
}

// mean returns the mean duration of the requests since an earlier point, in seconds; nil
// if none was timed.
func (p *point) mean(base *point) *float64 {
	n := p.count - base.count
	if n == 0 {
		return nil
	}
	return model.Known((p.sum - base.sum) / float64(n))
}
