package collectors

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
)

// appView is one account of one moment. Nothing in it changes any more.
type appView struct {
	name   string
	began  uint64 // which account of that name
	pairs  []pairView
	slow   uint64
	logs   [levelCount]weighted
	timed  bool
	server bool
}

type pairView struct {
	method, route string
	codes         []codeCount
	times         *times
}

// Collect implements Collector. It also gives the readings of the status page:
// of each app the rate, the share of errors, the mean and the quantiles over
// the last minutes. Its error is what RequestsOptions.Problem says.
func (r *Requests) Collect(ctx context.Context) (Sample, error) {
	r.settle(ctx, true)
	// The page's mutex is held from the look at the accounts to the end of the
	// page's work, so that looks enter its history in their order.
	r.page.mu.Lock()
	views, dropped := r.freeze()
	var s Sample
	r.page.forget(views)
	r.page.look(&s, views, r.o.Now())
	r.page.mu.Unlock()

	for i := range views {
		views[i].publish(&s)
	}
	s.add(seriesDropped, float64(dropped.requests), httpRequests.name)
	s.add(seriesDropped, float64(dropped.durations), httpDuration.name)
	s.add(seriesDropped, float64(dropped.logs), appLogMessages.name)
	r.received(&s, &dropped)
	err := errors.Join(r.ignored(), r.notes())
	if r.o.Problem != nil {
		err = errors.Join(r.o.Problem(), err)
	}
	return s, err
}

// received publishes what the listeners count.
func (r *Requests) received(s *Sample, l *limits) {
	if r.o.Stats == nil {
		return
	}
	st := r.o.Stats()
	// The outcomes are disjoint: a line whose event was folded or dropped is not "parsed".
	// Listeners count a little later than Observe, and a counter must not go
	// back, so the most that was ever published stands.
	r.mu.Lock()
	r.parsed = max(r.parsed, float64(st.Parsed)-float64(l.lines)-float64(l.untrusted))
	parsed := r.parsed
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

// freeze copies all accounts, in the order of their names.
func (r *Requests) freeze() ([]appView, limits) {
	r.mu.Lock()
	defer r.mu.Unlock()
	views := make([]appView, 0, len(r.places.apps))
	for _, a := range r.places.apps {
		views = append(views, a.view())
	}
	slices.SortFunc(views, func(a, b appView) int { return cmp.Compare(a.name, b.name) })
	return views, r.limits
}

func (a *account) view() appView {
	v := appView{name: a.name, began: a.began, slow: a.slow.n, logs: a.logs, timed: a.timed, server: a.server}
	for _, r := range a.routes {
		for m, p := range r.methods {
			if p == nil {
				continue
			}
			pv := pairView{method: methodNames()[m], route: r.name, codes: slices.Clone(p.codes)}
			if p.times != nil {
				pv.times = p.times.clone()
			}
			v.pairs = append(v.pairs, pv)
		}
	}
	slices.SortFunc(v.pairs, func(a, b pairView) int {
		return cmp.Or(cmp.Compare(a.route, b.route), cmp.Compare(a.method, b.method))
	})
	return v
}

func (h *times) clone() *times {
	c := *h
	return &c
}

func (v *appView) publish(s *Sample) {
	for _, p := range v.pairs {
		for _, c := range p.codes {
			s.add(httpRequests, float64(c.n), v.name, strconv.Itoa(c.code), p.method, p.route)
		}
		if p.times != nil {
			s.Metrics = append(s.Metrics, newTimesMetric(httpDuration.desc, p.times, v.name, p.method, p.route))
		}
	}
	if v.timed {
		s.add(httpSlow, float64(v.slow), v.name)
	}
	if v.server {
		for i, level := range logLevels() {
			s.add(appLogMessages, float64(v.logs[i].n), v.name, level)
		}
	}
}
