package collectors

import "github.com/resp-exporter/resp-exporter/internal/appside"

var httpKilled = counter("http_requests_killed_total",
	"Requests that the end of their worker cut off, as the worker had reported their start in its memory file. Only for apps that keep one, see docs/statsd.md.",
	"app", "method", "route")

// MemoryFiles is the memory files of the workers of all apps; [appside.Keeper] is.
type MemoryFiles interface {
	Has(app string) bool
	TaskRestarts() []appside.Restarts
	Workers() []appside.Worker
	Totals() []appside.Totals
	Counts() appside.Counts
}

// CountKilled counts requests of a watched app that were cut off by the end of their
// worker. Their routes count in the limits like those of all requests.
func (r *Requests) CountKilled(app string, list []appside.Request) {
	if len(list) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.accounts.apps[app]
	if a == nil || a.class == classClaimed { // what another user has reported under its name is dropped
		r.watchApp(a, app, nil)
		a = r.accounts.apps[app]
	}
	a.dirty, a.tellsKilled = true, true
	for _, x := range list {
		p, folded := a.ensurePair(methodIndex([]byte(x.Method)), x.Route, &r.limits)
		p.killed++
		if folded {
			r.limits.killed++
		}
	}
}

// markTelling marks the watched apps whose workers tell which requests are in progress,
// so that their counters of killed requests begin at 0, and sets the counts of restarts
// of their tasks.
func (r *Requests) markTelling() {
	if r.o.Inside == nil {
		return
	}
	var telling []string
	for _, name := range r.Names() { // without the mutex, for which events wait
		if r.o.Inside.Has(name) {
			telling = append(telling, name)
		}
	}
	restarts := r.o.Inside.TaskRestarts()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range telling {
		if a := r.accounts.apps[name]; a != nil && a.class == classWatched {
			a.tellsKilled = true
		}
	}
	for _, x := range restarts {
		a := r.accounts.apps[x.App]
		if a == nil || a.class != classWatched {
			continue // it is counted from when the app is watched
		}
		n, folded := a.task(x.Task, &r.limits)
		if folded {
			r.limits.taskRestarts += x.N
		}
		n.restarts, n.tellsRestarts = n.restarts+x.N, true
	}
}

// publishLeftOut adds the metrics of what was left out of the memory files; nothing if
// these are off.
func (r *Requests) publishLeftOut(s *Sample) {
	if r.o.Inside == nil {
		return
	}
	n := r.o.Inside.Counts()
	s.add(seriesDropped, float64(n.Workers), "memory_file")
	s.add(seriesDropped, float64(n.Invalid), "memory_file_slot")
}
