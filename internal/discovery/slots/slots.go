// Package slots gives each worker of an app a stable number: a worker that
// replaces another one takes over its slot, so that metrics by worker do not grow
// with each restart.
package slots

import (
	"cmp"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
)

const (
	// arrivalWait is how long a new worker waits for a slot to become free before
	// it gets one of its own: on HUP gunicorn starts the new workers before the
	// old ones end, and they are the same slots.
	arrivalWait = 15 * time.Second
	// quietTime is how long no slot must have been added for that: while an app
	// starts, its workers come one after the other. A worker that takes the slot of
	// another one adds none.
	quietTime = 5 * time.Second
)

// Slot is the number of one worker, 0 to n−1, reused when its process is replaced.
type Slot struct {
	Process *table.Process // nil: free
	used    bool           // it has had a process
	freed   time.Time
	CPU     table.CPUTime // of all its processes, in ticks
	State   Tracker       // nil: not inspected yet
	Rate    Rate
}

// arrival is a worker that has no slot yet.
type arrival struct {
	since time.Time
	State Tracker // nil: not inspected yet
}

// Tracker is what an inspector keeps of a worker from one inspection to the next.
type Tracker interface {
	// Unready reports whether the worker was never seen ready for a request, or in
	// one.
	Unready() bool
}

// Set is the slots of one app.
type Set struct {
	Slots    []*Slot
	Waiting  map[*table.Process]*arrival // workers without a slot yet
	added    time.Time                   // when the last slot was added for a worker that did not wait
	Restarts uint64
	Unready  recent // workers that ended before they were ready for a request
	Dropped  int    // workers over the bound
}

// New returns an empty Set.
func New() Set { return Set{Waiting: make(map[*table.Process]*arrival)} }

// Assign sorts the present workers by age and assigns slots to them. The slots of those
// that have ended become free; workers beyond MaxWorkers are counted in Dropped.
func (a *Set) Assign(workers []*table.Process, now time.Time) {
	slices.SortFunc(workers, func(x, y *table.Process) int {
		return cmp.Or(cmp.Compare(x.Start, y.Start), cmp.Compare(x.PID, y.PID))
	})
	a.Dropped = max(0, len(workers)-table.MaxWorkers)
	current := make(map[*table.Process]bool, len(workers))
	for _, p := range workers[:len(workers)-a.Dropped] {
		current[p] = true
	}
	free := 0
	for _, s := range a.Slots {
		if s.Process != nil && !current[s.Process] {
			a.free(s, now)
		}
		if s.Process == nil {
			free++
			continue
		}
		delete(current, s.Process)
	}
	for p, arrived := range a.Waiting {
		if !current[p] {
			a.countUnready(arrived.State, now)
			delete(a.Waiting, p)
		}
	}
	for _, p := range workers {
		if current[p] {
			free = a.placeWorker(p, free, now)
		}
	}
	a.trim(len(workers) > 0, now)
}

// free marks the slot of a worker that has ended as free.
func (a *Set) free(s *Slot, now time.Time) {
	a.countUnready(s.State, now)
	s.Process, s.freed = nil, now
}

// countUnready counts the end of a worker if it was never ready for a request.
func (a *Set) countUnready(s Tracker, now time.Time) {
	if s != nil && s.Unready() {
		a.Unready.add(now)
	}
}

// placeWorker assigns a slot to a worker, a new one if none is free, or lets it wait for
// one. free is how many slots are free; it returns how many are left.
func (a *Set) placeWorker(p *table.Process, free int, now time.Time) int {
	if free == 0 && len(a.Slots) > 0 && now.Sub(a.added) > quietTime {
		arrived := a.Waiting[p]
		if arrived == nil {
			a.Waiting[p] = &arrival{since: now}
			return 0
		}
		if now.Sub(arrived.since) < arrivalWait {
			return 0
		}
	}
	var before Tracker
	if arrived := a.Waiting[p]; arrived != nil {
		before = arrived.State
	}
	delete(a.Waiting, p)
	for _, s := range a.Slots {
		if s.Process == nil {
			if s.used {
				a.Restarts++
			}
			s.Process, s.used = p, true
			s.State = before
			return free - 1
		}
	}
	if len(a.Waiting) == 0 {
		a.added = now
	}
	a.Slots = append(a.Slots, &Slot{Process: p, used: true, State: before})
	return 0
}

// shrinkAfter is how long a slot is empty until it is not expected to be filled
// again.
const shrinkAfter = 2 * time.Minute

// trim makes the slots of a running app 0 to n−1 again: it moves the worker of the last
// slot into one that has been free for long, as after an upgrade in which old and new
// workers ran side by side, and removes free slots at the end.
func (a *Set) trim(running bool, now time.Time) {
	for len(a.Slots) > 0 && running {
		last := a.Slots[len(a.Slots)-1]
		if last.Process != nil {
			i := slices.IndexFunc(a.Slots, func(s *Slot) bool { return s.longFree(now) })
			if i < 0 {
				return
			}
			a.Slots[i].Process, a.Slots[i].State = last.Process, last.State
			a.Slots = a.Slots[:len(a.Slots)-1]
			continue
		}
		if !last.longFree(now) {
			return
		}
		a.Slots = a.Slots[:len(a.Slots)-1]
	}
}

// longFree reports whether a slot has been free for shrinkAfter.
func (s *Slot) longFree(now time.Time) bool {
	return s.Process == nil && now.Sub(s.freed) >= shrinkAfter
}

// recent is the times of events, at most the last 64.
type recent struct {
	at   [64]time.Time
	next int
}

// add adds a time, in place of the oldest one.
func (r *recent) add(now time.Time) {
	r.at[r.next] = now
	r.next = (r.next + 1) % len(r.at)
}

// Count returns the number of events in the minute before now, at most 64.
func (r *recent) Count(now time.Time) (n int) {
	for _, at := range r.at {
		if !at.IsZero() && now.Sub(at) <= time.Minute {
			n++
		}
	}
	return n
}

// Rate keeps the last minute of a growing number, one point in five seconds.
type Rate struct {
	at [14]time.Time
	v  [14]float64
	n  int
}

// Add adds a point unless the last one is younger than four seconds.
func (r *Rate) Add(now time.Time, v float64) {
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

// PerSecond returns the mean growth per second over the points of the last 65 s, or the
// last two, however old; 0 for a fall; false while these cover less than a second.
func (r *Rate) PerSecond(now time.Time) (float64, bool) {
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
