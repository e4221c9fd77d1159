package discovery

import (
	"cmp"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

const (
	// maxWorkers bounds what one app can publish.
	maxWorkers = 512
	// settle is how long a new worker waits for a slot to come free before it
	// gets one of its own: gunicorn's HUP starts the new workers before the old
	// ones end, and they are the same slots.
	settle = 15 * time.Second
	// quiet is how long no slot must have been given for that: while an app
	// starts, its workers come one after the other.
	quiet = 5 * time.Second
	// forget is how long an app that is gone is still reported as down.
	forget = time.Hour
)

// seconds of CPU, in and out of the kernel.
type cpuTime struct{ user, system uint64 }

// slot is a stable place for a worker: 0 to n−1, used again when its process
// is replaced.
type slot struct {
	p     *process // nil: free
	used  bool     // somebody has been here before
	freed time.Time
	cpu   cpuTime // of all its processes, in ticks
	state stateTracker
	rate  rate
}

// arrival is a worker that has no slot yet.
type arrival struct {
	since time.Time
	state stateTracker
}

// app is what is kept of an app between refreshes. It outlives its processes:
// its counters go on when it is restarted.
type app struct {
	name string
	id   appID    // of a discovered one
	last *process // the root that it last had; nil: none yet
	conf int      // index of the configured match, −1 if discovered

	owner       procfs.Account  // whose it is; of a configured one, as of the roots it last had
	former      *procfs.Account // of a configured one: whose it was before, for long
	unit        string          // the service it ran in; "": none
	tier        tier
	since       time.Time // when it was first seen to run without a break, or of a discovered one at all
	established bool      // it has run for a while: its name, and its place, are kept for it
	strangers   []uint32  // users of other processes that match, listen and are left out; at most 8
	matchErr    error     // why what the match names is not believed

	roots   []*process
	workers []*process
	members []*process
	sockets []sockdiag.Listener
	net     *conns.Namespace

	purposes purposes // of its listening sockets

	slots    []*slot
	waiting  map[*process]*arrival // workers without a slot yet
	changed  time.Time             // when a slot was last given
	restarts uint64
	unready  recent  // workers that ended before they were ready for a request
	cpu      cpuTime // ticks
	rate     rate
	searched time.Time // when the holder of its listener was last looked for
	lost     time.Time // when its last process was gone; zero: it runs
	dropped  int       // workers over the bound
	cut      int       // processes over a bound, which are not looked at
	cutMost  int       // the most there were at once
}

func newApp(name string, conf int) *app {
	return &app{name: name, conf: conf, waiting: make(map[*process]*arrival)}
}

// root is the process that speaks for the app: the oldest of its roots.
func (a *app) root() *process {
	if len(a.roots) == 0 {
		return nil
	}
	return a.roots[0]
}

// assign gives slots to the workers of now.
func (a *app) assign(now time.Time) {
	slices.SortFunc(a.workers, func(x, y *process) int {
		return cmp.Or(cmp.Compare(x.start, y.start), cmp.Compare(x.pid, y.pid))
	})
	a.dropped = max(0, len(a.workers)-maxWorkers)
	current := make(map[*process]bool, len(a.workers))
	for _, p := range a.workers[:len(a.workers)-a.dropped] {
		current[p] = true
	}
	free := 0
	for _, s := range a.slots {
		if s.p != nil && !current[s.p] {
			a.vacate(s, now)
		}
		if s.p == nil {
			free++
			continue
		}
		delete(current, s.p)
	}
	for p, arrived := range a.waiting {
		if !current[p] {
			a.ended(&arrived.state, now)
			delete(a.waiting, p)
		}
	}
	for _, p := range a.workers {
		if current[p] {
			free = a.place(p, free, now)
		}
	}
	a.trim(now)
}

// vacate frees the slot of a worker that ended.
func (a *app) vacate(s *slot, now time.Time) {
	a.ended(&s.state, now)
	s.p, s.freed = nil, now
}

// ended notes the end of a worker that was never ready for a request.
func (a *app) ended(s *stateTracker, now time.Time) {
	if s.unready() {
		a.unready.add(now)
	}
}

// place gives p a slot, or lets it wait for one; it returns the free ones left.
func (a *app) place(p *process, free int, now time.Time) int {
	if free == 0 && len(a.slots) > 0 && now.Sub(a.changed) > quiet {
		arrived := a.waiting[p]
		if arrived == nil {
			a.waiting[p] = &arrival{since: now}
			return 0
		}
		if now.Sub(arrived.since) < settle {
			return 0
		}
	}
	var before stateTracker
	if arrived := a.waiting[p]; arrived != nil {
		before = arrived.state
	}
	delete(a.waiting, p)
	if len(a.waiting) == 0 {
		a.changed = now
	}
	for _, s := range a.slots {
		if s.p == nil {
			if s.used {
				a.restarts++
			}
			s.p, s.used = p, true
			s.state = before
			return free - 1
		}
	}
	a.slots = append(a.slots, &slot{p: p, used: true, state: before})
	return 0
}

// scaledDown is how long a slot stays empty before it is thought to stay so.
const scaledDown = 2 * time.Minute

// trim keeps the slots 0 to n−1 of an app that runs: it moves the worker of the
// last slot into one that has long been free, as after an upgrade in which old
// and new workers ran side by side, and forgets free slots at the end.
func (a *app) trim(now time.Time) {
	for len(a.slots) > 0 && len(a.workers) > 0 {
		last := a.slots[len(a.slots)-1]
		if last.p != nil {
			i := slices.IndexFunc(a.slots, func(s *slot) bool { return s.longFree(now) })
			if i < 0 {
				return
			}
			a.slots[i].p, a.slots[i].state = last.p, last.state
			a.slots = a.slots[:len(a.slots)-1]
			continue
		}
		if !last.longFree(now) {
			return
		}
		a.slots = a.slots[:len(a.slots)-1]
	}
}

func (s *slot) longFree(now time.Time) bool { return s.p == nil && now.Sub(s.freed) >= scaledDown }

// count adds the CPU time that each member used since it was last read. What
// a process used between the last reading and its end is not known and not
// counted; what it used before the first one is.
func (a *app) count(now time.Time, bySlot map[*process]*slot) {
	for _, p := range a.members {
		d := p.newCPU()
		a.cpu.user += d.user
		a.cpu.system += d.system
		if s := bySlot[p]; s != nil {
			s.cpu.user += d.user
			s.cpu.system += d.system
			s.rate.add(now, float64(s.cpu.user+s.cpu.system)/procfs.TicksPerSecond)
		}
	}
	a.rate.add(now, float64(a.cpu.user+a.cpu.system)/procfs.TicksPerSecond)
}

// recent is the times of what happened in the last minute, at most 64.
type recent struct {
	at   [64]time.Time
	next int
}

func (r *recent) add(now time.Time) {
	r.at[r.next] = now
	r.next = (r.next + 1) % len(r.at)
}

// count returns how many happened in the minute before now.
func (r *recent) count(now time.Time) (n int) {
	for _, at := range r.at {
		if !at.IsZero() && now.Sub(at) <= time.Minute {
			n++
		}
	}
	return n
}

// rate keeps the last minute of a growing number, one point in five seconds.
type rate struct {
	at [14]time.Time
	v  [14]float64
	n  int
}

func (r *rate) add(now time.Time, v float64) {
	if r.n > 0 && now.Sub(r.at[r.n-1]) < 4*time.Second {
		return
	}
	if r.n == len(r.at) {
		copy(r.at[:], r.at[1:])
		copy(r.v[:], r.v[1:])
		r.n--
	}
	r.at[r.n], r.v[r.n] = now, v
	r.n++
}

// perSecond is the mean growth over the last minute; false while there is
// less than a second to judge by.
func (r *rate) perSecond(now time.Time) (float64, bool) {
	if r.n < 2 {
		return 0, false
	}
	first, last := 0, r.n-1
	for first < last-1 && now.Sub(r.at[first]) > 65*time.Second {
		first++
	}
	d := r.at[last].Sub(r.at[first]).Seconds()
	if d < 1 {
		return 0, false
	}
	return max(0, (r.v[last]-r.v[first])/d), true
}
