package discovery

import (
	"cmp"
	"slices"
	"time"
)

const (
	// settle is how long a new worker waits for a slot to come free before it
	// gets one of its own: gunicorn's HUP starts the new workers before the old
	// ones end, and they are the same slots.
	settle = 15 * time.Second
	// quiet is how long no slot must have been given for that: while an app
	// starts, its workers come one after the other.
	quiet = 5 * time.Second
)

// slot is a stable place for a worker: 0 to n−1, used again when its process
// is replaced.
type slot struct {
	p     *process // nil: free
	used  bool     // somebody has been here before
	freed time.Time
	cpu   cpuTime // of all its processes, in ticks
	state Tracker // nil: not inspected yet
	rate  rate
}

// arrival is a worker that has no slot yet.
type arrival struct {
	since time.Time
	state Tracker // nil: not inspected yet
}

// Tracker is what is kept of a worker from one inspection to the next.
type Tracker interface {
	// Unready reports whether the worker was never seen ready for a request, or in
	// one.
	Unready() bool
}

// slotSet is the slots of one app.
type slotSet struct {
	slots    []*slot
	waiting  map[*process]*arrival // workers without a slot yet
	changed  time.Time             // when a slot was last given
	restarts uint64
	unready  recent // workers that ended before they were ready for a request
	dropped  int    // workers over the bound
}

func newSlotSet() slotSet { return slotSet{waiting: make(map[*process]*arrival)} }

// assign gives slots to the workers of now.
func (a *slotSet) assign(workers []*process, now time.Time) {
	slices.SortFunc(workers, func(x, y *process) int {
		return cmp.Or(cmp.Compare(x.start, y.start), cmp.Compare(x.pid, y.pid))
	})
	a.dropped = max(0, len(workers)-maxWorkers)
	current := make(map[*process]bool, len(workers))
	for _, p := range workers[:len(workers)-a.dropped] {
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
			a.ended(arrived.state, now)
			delete(a.waiting, p)
		}
	}
	for _, p := range workers {
		if current[p] {
			free = a.place(p, free, now)
		}
	}
	a.trim(len(workers) > 0, now)
}

// vacate frees the slot of a worker that ended.
func (a *slotSet) vacate(s *slot, now time.Time) {
	a.ended(s.state, now)
	s.p, s.freed = nil, now
}

// ended notes the end of a worker that was never ready for a request.
func (a *slotSet) ended(s Tracker, now time.Time) {
	if s != nil && s.Unready() {
		a.unready.add(now)
	}
}

// place gives p a slot, or lets it wait for one; it returns the free ones left.
func (a *slotSet) place(p *process, free int, now time.Time) int {
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
	var before Tracker
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
func (a *slotSet) trim(running bool, now time.Time) {
	for len(a.slots) > 0 && running {
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
