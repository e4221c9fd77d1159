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
	inside       insideCounts
	hasDurations bool
	fromServer   bool
	tellsKilled  bool // its workers say which requests are in progress
}

// pairView is a copy of a pair.
type pairView struct {
	method, route string
	codes         []codeCount
	killed        uint64
	durations     *durationBuckets
}

// Collect implements [Collector]. The state has the rate, the error ratio, the mean
// and the quantiles of each app over the last minutes. The error has the error of
// RequestsOptions.Problem and what is wrong with the received lines.
func (r *Requests) Collect(ctx context.Context) (Sample, error) {
	r.resolve(ctx, true)
	r.markTelling()
	// The mutex of the history is held from the snapshot on, so that concurrent calls
	// add their points in the order of their snapshots.
	r.history.mu.Lock()
	views, dropped := r.snapshot()
	var s Sample
	r.history.prune(views)
	r.history.addPoints(&s, views, r.shed(), r.o.Now())
	r.history.mu.Unlock()

	for i := range views {
		views[i].publish(&s)
	}
	r.publishTold(&s, views)
	s.add(seriesDropped, float64(dropped.requests), httpRequests.name)
	s.add(seriesDropped, float64(dropped.durations), httpDuration.name)
	s.add(seriesDropped, float64(dropped.killed), httpKilled.name)
	s.add(seriesDropped, float64(dropped.logs), appLogMessages.name)
	s.add(seriesDropped, float64(dropped.queueTimes), httpQueueTime.name)
	s.add(seriesDropped, float64(dropped.poolWaits), poolWait.name)
	s.add(seriesDropped, float64(dropped.taskRuns), taskRuns.name)
	s.add(seriesDropped, float64(dropped.taskRestarts), taskRestarts.name)
	r.publishLeftOut(&s)
	r.publishReceived(&s, &dropped)
	err := errors.Join(r.refusedLack(), r.faultLacks())
	if r.o.Problem != nil {
		err = errors.Join(r.o.Problem(), err)
	}
	return s, err
}

// publishReceived adds the metrics of what the listeners have received, with the lines that
// workers had not sent before their end; nothing without listeners.
func (r *Requests) publishReceived(s *Sample, l *limits) {
	if r.o.Stats == nil {
		return
	}
	st := r.o.Stats()
	// The outcomes are disjoint: a line whose event was folded or dropped is not "parsed".
	// Listeners count a little later than Observe, and a counter must not decrease, so
	// the highest published value is kept.
	r.mu.Lock()
	r.publishedParsed = max(r.publishedParsed, float64(st.Parsed)+float64(l.unsent.parsed)-float64(l.lines)-float64(l.untrusted))
	parsed := r.publishedParsed
	r.mu.Unlock()
	s.add(statsdLines, parsed, "parsed")
	s.add(statsdLines, float64(st.Unknown+l.unsent.unknown), "unknown")
	s.add(statsdLines, float64(st.Malformed+l.unsent.malformed), "malformed")
	s.add(statsdLines, float64(l.lines), "over_limit")
	s.add(statsdLines, float64(l.untrusted), "untrusted")
	s.add(statsdPackets, float64(st.Packets))
	s.add(statsdDropped, float64(st.Dropped), "socket")
	if st.BufferBytes > 0 {
		s.add(statsdBuffer, float64(st.BufferBytes))
	}
}

// snapshot returns copies of all accounts, the shared ones too, sorted by name, and of the
// limits with the counts of what was over them.
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

// view returns a copy of an account that later events do not change, its pairs sorted by
// route, then by method.
func (a *account) view() appView {
	v := appView{name: a.name, serial: a.serial, slow: a.slow.n, logs: a.logs, inside: a.inside.clone(), hasDurations: a.hasDurations, fromServer: a.fromServer, tellsKilled: a.tellsKilled}
	for _, r := range a.routes {
		for m, p := range r.methods {
			if p == nil {
				continue
			}
			pv := pairView{method: methodNames()[m], route: r.name, codes: slices.Clone(p.codes), killed: p.killed}
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

// publish adds the series of an account to s.
func (v *appView) publish(s *Sample) {
	for _, p := range v.pairs {
		for _, c := range p.codes {
			s.add(httpRequests, float64(c.n), v.name, strconv.Itoa(c.code), p.method, p.route)
		}
		if v.tellsKilled {
			s.add(httpKilled, float64(p.killed), v.name, p.method, p.route)
		}
		if p.durations != nil {
			s.Metrics = append(s.Metrics, newDurationMetric(httpDuration, p.durations, v.name, p.method, p.route))
		}
	}
	v.inside.publish(s, v.name)
	if v.hasDurations {
		s.add(httpSlow, float64(v.slow), v.name)
	}
	if v.fromServer {
		for i, level := range logLevels() {
			s.add(appLogMessages, float64(v.logs[i].n), v.name, level)
		}
	}
}
