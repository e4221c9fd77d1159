package collectors

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
)

// appView is a copy of an account. It is not changed.
type appView struct {
	name         string
	serial       uint64 // of the account
	pairs        []pairView
	slow         uint64
	logs         [levelCount]weightedCount
	hasDurations bool
	fromServer   bool
}

// pairView is a copy of a pair.
type pairView struct {
	method, route string
	codes         []codeCount
	durations     *durationBuckets
}

// Collect implements [Collector]. The state has the rate, the error ratio, the mean
// and the quantiles of each app over the last minutes. The error has the error of
// RequestsOptions.Problem and what is wrong with the received lines.
func (r *Requests) Collect(ctx context.Context) (Sample, error) {
	r.resolve(ctx, true)
	// The mutex of the history is held from the snapshot on, so that concurrent calls
	// add their points in the order of their snapshots.
	r.history.mu.Lock()
	views, dropped := r.snapshot()
	var s Sample
	r.history.prune(views)
	r.history.addPoints(&s, views, r.o.Now())
	r.history.mu.Unlock()

	for i := range views {
		views[i].publish(&s)
	}
	s.add(seriesDropped, float64(dropped.requests), httpRequests.name)
	s.add(seriesDropped, float64(dropped.durations), httpDuration.name)
	s.add(seriesDropped, float64(dropped.logs), appLogMessages.name)
	r.publishReceived(&s, &dropped)
	err := errors.Join(r.refusedLack(), r.faultLacks())
	if r.o.Problem != nil {
		err = errors.Join(r.o.Problem(), err)
	}
	return s, err
}

// publishReceived adds the counters of the listeners.
func (r *Requests) publishReceived(s *Sample, l *limits) {
	if r.o.Stats == nil {
		return
	}
	st := r.o.Stats()
	// The outcomes are disjoint: a line whose event was folded or dropped is not "parsed".
	// Listeners count a little later than Observe, and a counter must not decrease, so
	// the highest published value is kept.
	r.mu.Lock()
	r.publishedParsed = max(r.publishedParsed, float64(st.Parsed)-float64(l.lines)-float64(l.untrusted))
	parsed := r.publishedParsed
	r.mu.Unlock()
	s.add(statsdLines, parsed, "parsed")
	s.add(statsdLines, float64(st.Unknown), "unknown")
	s.add(statsdLines, float64(st.Malformed), "malformed")
	s.add(statsdLines, float64(l.lines), "over_limit")
	s.add(statsdLines, float64(l.untrusted), "untrusted")
	s.add(statsdPackets, float64(st.Packets))
	s.add(statsdDropped, float64(st.Dropped), "socket")
	if st.BufferBytes > 0 {
		s.add(statsdBuffer, float64(st.BufferBytes))
	}
}

// snapshot returns copies of all accounts, sorted by name, and of the limits.
func (r *Requests) snapshot() ([]appView, limits) {
	r.mu.Lock()
	defer r.mu.Unlock()
	views := make([]appView, 0, len(r.accounts.apps))
	for _, a := range r.accounts.apps {
		views = append(views, a.view())
	}
	slices.SortFunc(views, func(a, b appView) int { return cmp.Compare(a.name, b.name) })
	return views, r.limits
}

// Names returns the names for which requests are reported, in no order. r may be nil.
func (r *Requests) Names() []string {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]string, 0, len(r.accounts.apps))
	for _, a := range r.accounts.apps {
		out = append(out, a.name)
	}
	return out
}

// view returns a copy of an account.
func (a *account) view() appView {
	v := appView{name: a.name, serial: a.serial, slow: a.slow.n, logs: a.logs, hasDurations: a.hasDurations, fromServer: a.fromServer}
	for _, r := range a.routes {
		for m, p := range r.methods {
			if p == nil {
				continue
			}
			pv := pairView{method: methodNames()[m], route: r.name, codes: slices.Clone(p.codes)}
			if p.durations != nil {
				pv.durations = p.durations.clone()
			}
			v.pairs = append(v.pairs, pv)
		}
	}
	slices.SortFunc(v.pairs, func(a, b pairView) int {
		return cmp.Or(cmp.Compare(a.route, b.route), cmp.Compare(a.method, b.method))
	})
	return v
}

// clone returns a copy.
func (h *durationBuckets) clone() *durationBuckets {
	c := *h
	return &c
}

// publish adds the series of an account.
func (v *appView) publish(s *Sample) {
	for _, p := range v.pairs {
		for _, c := range p.codes {
			s.add(httpRequests, float64(c.n), v.name, strconv.Itoa(c.code), p.method, p.route)
		}
		if p.durations != nil {
			s.Metrics = append(s.Metrics, newDurationMetric(httpDuration.desc, p.durations, v.name, p.method, p.route))
		}
	}
	if v.hasDurations {
		s.add(httpSlow, float64(v.slow), v.name)
	}
	if v.fromServer {
		for i, level := range logLevels() {
			s.add(appLogMessages, float64(v.logs[i].n), v.name, level)
		}
	}
}
