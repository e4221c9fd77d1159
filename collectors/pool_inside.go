package collectors

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// maxSites is how many places in the app are listed where leaked connections of a pool were
// checked out.
const maxSites = 5

// Inside is what the workers of the apps report of themselves; [appside.Keeper] is.
type Inside interface {
	Workers() []appside.Worker
}

// poolName identifies a pool.
type poolName struct{ app, name string }

// insidePools is the pools that the apps report themselves.
type insidePools map[poolName]*insidePool

// insidePool is one pool, as the workers of its app report it.
type insidePool struct {
	slots     map[string]*model.PoolWorker // "": those of no slot, together
	processes int
	capacity  int // of the processes that report it
	largest   int // of one of them
	unlimited bool
	waiting   int
	oldest    time.Duration
	sites     map[appside.Site]*model.PoolSite
}

// inside returns the pools that the watched apps report themselves, at most 16 of an app;
// more are counted in c.droppedPools. It is empty, not nil, if none reports any.
func (c *Pool) inside(v *sampledConnections) insidePools {
	out := make(insidePools)
	if c.o.Inside == nil {
		return out
	}
	names := make(map[string]int) // by app
	for _, w := range c.o.Inside.Workers() {
		if v.slots[w.App] == nil {
			continue // it is not watched any more
		}
		seen := make(map[string]bool)
		for _, p := range poolsOf(&w) {
			x := out.of(poolName{w.App, p.Name}, names)
			if x == nil {
				c.droppedPools++
				continue
			}
			x.add(p, v.slots[w.App][w.PID], !seen[p.Name])
			seen[p.Name] = true
		}
	}
	return out
}

// poolsOf returns the pools that a worker reports in all of its states; several may have
// one name.
func poolsOf(w *appside.Worker) (out []*appside.Pool) {
	for i := range w.States {
		for j := range w.States[i].Pools {
			out = append(out, &w.States[i].Pools[j])
		}
	}
	return out
}

// of returns the pool of a name, which it makes if there is none; nil if its app has 16
// others. names counts the pools of each app.
func (l insidePools) of(key poolName, names map[string]int) *insidePool {
	x := l[key]
	if x == nil && names[key.app] < maxPools {
		x = &insidePool{slots: make(map[string]*model.PoolWorker), sites: make(map[appside.Site]*model.PoolSite)}
		l[key] = x
		names[key.app]++
	}
	return x
}

// add adds what one state of a worker reports about the pool. first: it is the worker's
// first about this pool.
func (x *insidePool) add(p *appside.Pool, slot string, first bool) {
	if x.slots[slot] == nil {
		x.slots[slot] = &model.PoolWorker{Slot: slot}
	}
	w := x.slots[slot]
	w.InUse += float64(p.InUse - p.Leaked)
	w.Idle += float64(p.Idle)
	w.Leaked += float64(p.Leaked)
	if first {
		x.processes++
	}
	x.capacity += p.Size + p.Overflow
	x.largest = max(x.largest, p.Size+p.Overflow)
	x.unlimited = x.unlimited || p.Unlimited
	x.waiting += p.Waiting
	x.oldest = max(x.oldest, p.Oldest)
	if p.LeakedThere == 0 || p.Site == (appside.Site{}) {
		return
	}
	s := x.sites[p.Site]
	if s == nil {
		s = &model.PoolSite{Route: p.Site.Route, File: p.Site.File, Function: p.Site.Function, Line: p.Site.Line}
		x.sites[p.Site] = s
	}
	s.Connections += float64(p.LeakedThere)
	s.Seconds = max(s.Seconds, p.Oldest.Seconds())
}

// take removes the pool that an app reports under a name, and returns it; nil if there is
// none.
func (l insidePools) take(app, name string) *insidePool {
	x := l[poolName{app, name}]
	delete(l, poolName{app, name})
	return x
}

// publish adds the series and the state of the pools that are left: no configured server
// has them.
func (l insidePools) publish(s *Sample, v *sampledConnections) {
	order := slices.SortedFunc(maps.Keys(l), func(a, b poolName) int {
		return cmp.Or(cmp.Compare(a.app, b.app), cmp.Compare(a.name, b.name))
	})
	for _, key := range order {
		out := model.Pool{App: key.app, Name: key.name}
		l[key].replace(&out, v.processes(key.app))
		publishPool(s, out)
	}
}

// replace sets the numbers of p, a pool as seen from outside, to those that its workers
// report. Workers that report nothing keep theirs. Connections of no known worker are
// left out: they may be those that are reported.
func (x *insidePool) replace(p *model.Pool, processes int) {
	workers := make([]model.PoolWorker, 0, len(p.Workers)+len(x.slots))
	for _, w := range p.Workers {
		in := x.slots[w.Slot]
		switch {
		case w.Slot == "":
		case in == nil:
			workers = append(workers, w)
		default: // the server knows which of those that are checked out sleep in a transaction
			asleep := min(max(w.InTransaction+w.Leaked-in.Leaked, 0), in.InUse)
			in.InTransaction, in.InUse = asleep, in.InUse-asleep
		}
	}
	for _, w := range x.slots {
		workers = append(workers, *w)
	}
	slices.SortFunc(workers, func(a, b model.PoolWorker) int { return cmp.Compare(a.Slot, b.Slot) })
	p.Source, p.Workers = model.PoolInside, workers
	p.InUse, p.Idle, p.InTransaction, p.Leaked = 0, 0, 0, 0
	for i := range workers {
		w := &workers[i]
		p.InUse, p.Idle, p.InTransaction, p.Leaked = p.InUse+w.InUse, p.Idle+w.Idle, p.InTransaction+w.InTransaction, p.Leaked+w.Leaked
	}
	p.Waiting = model.Known(float64(x.waiting))
	if x.oldest > 0 {
		p.OldestCheckout = model.Known(x.oldest.Seconds())
	}
	for _, s := range x.sites {
		p.Sites = append(p.Sites, *s)
	}
	slices.SortFunc(p.Sites, func(a, b model.PoolSite) int {
		return cmp.Or(-cmp.Compare(a.Connections, b.Connections), -cmp.Compare(a.Seconds, b.Seconds), cmp.Compare(a.File, b.File), a.Line-b.Line, cmp.Compare(a.Route, b.Route))
	})
	p.Sites = p.Sites[:min(len(p.Sites), maxSites)]
	if n := x.capacity + x.largest*max(processes-x.processes, 0); n > 0 && !x.unlimited {
		setCapacity(p, float64(n))
	}
}
