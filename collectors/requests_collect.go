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
	name         string
	serial       uint64 // which account of that name
	pairs        []pairView
	slow         uint64
	logs         [levelCount]weightedCount
	hasDurations bool
	fromServer   bool
}

type pairView struct {
	method, route string
	codes         []codeCount
	durations     *durationBuckets
}

// Collect implements Collector. It also gives the readings of the status page:
// of each app the rate, the share of errors, the mean and the quantiles over
// the last minutes. Its error is what RequestsOptions.Problem says.
func (r *Requests) Collect(ctx context.Context) (Sample, error) {
	r.resolve(ctx, true)
	// The page's mutex is held from the look at the accounts to the end of the
	// page's work, so that looks enter its history in their order.
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

// received publishes what the listeners count.
func (r *Requests) publishReceived(s *Sample, l *limits) {
	if r.o.Stats == nil {
		return
	}
	st := r.o.Stats()
	// The outcomes are disjoint: a line whose event was folded or dropped is not "parsed".
	// Listeners count a little later than Observe, and a counter must not go
	// back, so the most that was ever published stands.
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

// freeze copies all accounts, in the order of their names.
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

func (h *durationBuckets) clone() *durationBuckets {
	c := *h
	return &c
}

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
