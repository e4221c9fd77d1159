package slots

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
)

func workers(n, firstPID int) []*table.Process {
	var ps []*table.Process
	for i := range n {
		ps = append(ps, &table.Process{PID: firstPID + i, Start: uint64(firstPID + i)})
	}
	return ps
}

// in returns the pid of each slot; 0 is a free slot.
func in(a Set) []int {
	var pids []int
	for _, s := range a.Slots {
		if s.Process == nil {
			pids = append(pids, 0)
			continue
		}
		pids = append(pids, s.Process.PID)
	}
	return pids
}

func expectSlots(t *testing.T, a Set, want ...int) {
	t.Helper()
	got := in(a)
	if len(got) != len(want) {
		t.Fatalf("slots %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("slots %v, want %v", got, want)
		}
	}
}

func TestSlotIsUsedAgain(t *testing.T) {
	now := time.Unix(1000, 0)
	a := New()
	four := workers(4, 100)
	a.Assign([]*table.Process{four[2], four[0], four[3], four[1]}, now)
	expectSlots(t, a, 100, 101, 102, 103)
	for i, p := range workers(4, 200) { // each is replaced in turn
		now = now.Add(time.Minute)
		four[i] = p
		a.Assign(append([]*table.Process(nil), four...), now)
	}
	expectSlots(t, a, 200, 201, 202, 203)
	if a.Restarts != 4 {
		t.Errorf("%d restarts, want 4", a.Restarts)
	}
}

func TestReloadKeepsSlots(t *testing.T) {
	now := time.Unix(1000, 0)
	a := New()
	old, fresh := workers(2, 100), workers(2, 200)
	a.Assign(append([]*table.Process(nil), old...), now)
	now = now.Add(time.Minute)
	a.Assign(append(append([]*table.Process(nil), old...), fresh...), now) // HUP: the new ones are there first
	expectSlots(t, a, 100, 101)
	if len(a.Waiting) != 2 {
		t.Errorf("%d wait, want 2", len(a.Waiting))
	}
	a.Assign(append([]*table.Process(nil), fresh...), now.Add(time.Second))
	expectSlots(t, a, 200, 201)
	if a.Restarts != 2 || len(a.Waiting) != 0 {
		t.Errorf("%d restarts, %d waiting", a.Restarts, len(a.Waiting))
	}
}

// A scan may find a reload at any moment: some of the old workers have ended, and
// some of the new ones have started.
func TestReloadKeepsSlotsAtAnyMoment(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	for range 300 {
		n := 1 + r.IntN(8)
		now := time.Unix(1000, 0)
		a := New()
		old, fresh := workers(n, 100), workers(n, 200)
		a.Assign(slices.Clone(old), now)
		now = now.Add(quietTime + time.Second)
		for started, ended := 0, 0; started < n || ended < n; now = now.Add(time.Second) {
			started = min(n, started+r.IntN(n+1))
			ended = min(started, ended+r.IntN(n+1)) // gunicorn starts as many as it ends, or more
			a.Assign(slices.Concat(old[ended:], fresh[:started]), now)
			if now.Sub(time.Unix(1000, 0)) > arrivalWait {
				ended, started = n, n
				a.Assign(slices.Clone(fresh), now)
			}
		}
		if len(a.Slots) != n || len(a.Waiting) != 0 || a.Restarts != uint64(n) {
			t.Fatalf("seed %d: slots %v with %d waiting and %d restarts, want %d of each", seed, in(a), len(a.Waiting), a.Restarts, n)
		}
	}
}

func TestScaleUpAndDown(t *testing.T) {
	now := time.Unix(1000, 0)
	a := New()
	all := workers(3, 100)
	a.Assign(append([]*table.Process(nil), all[:2]...), now)
	for _, d := range []time.Duration{time.Minute, time.Minute + arrivalWait} {
		a.Assign(append([]*table.Process(nil), all...), now.Add(d))
	}
	expectSlots(t, a, 100, 101, 102)
	if a.Restarts != 0 {
		t.Errorf("%d restarts, want none: a third worker came", a.Restarts)
	}
	now = now.Add(time.Hour)
	for _, d := range []time.Duration{0, shrinkAfter + time.Second} {
		a.Assign(append([]*table.Process(nil), all[:2]...), now.Add(d))
	}
	expectSlots(t, a, 100, 101)
}

// If old and new workers run side by side for long, the new ones get slots of their
// own; after the old ones have ended, they move into the free slots.
func TestSlotsCloseUp(t *testing.T) {
	now := time.Unix(1000, 0)
	a := New()
	old, fresh := workers(2, 100), workers(2, 200)
	at := func(d time.Duration, ps ...*table.Process) {
		a.Assign(append([]*table.Process(nil), ps...), now.Add(d))
	}
	at(0, old...)
	both := append(append([]*table.Process(nil), old...), fresh...)
	at(time.Minute, both...)
	at(time.Minute+arrivalWait, both...)
	expectSlots(t, a, 100, 101, 200, 201)
	at(2*time.Minute, fresh...)
	expectSlots(t, a, 0, 0, 200, 201)
	at(2*time.Minute+shrinkAfter, fresh...)
	expectSlots(t, a, 201, 200)
	if a.Restarts != 0 {
		t.Errorf("%d restarts: nobody was replaced in a slot", a.Restarts)
	}
}

func TestManyWorkersAreBounded(t *testing.T) {
	a := New()
	a.Assign(workers(table.MaxWorkers+7, 1), time.Unix(1000, 0))
	if len(a.Slots) != table.MaxWorkers || a.Dropped != 7 {
		t.Errorf("%d slots, %d dropped", len(a.Slots), a.Dropped)
	}
}

func TestRate(t *testing.T) {
	var r Rate
	now := time.Unix(1000, 0)
	if _, ok := r.PerSecond(now); ok {
		t.Error("a rate out of nothing")
	}
	for i := range 40 {
		r.Add(now.Add(time.Duration(i)*5*time.Second), float64(i)*10)
	}
	last := now.Add(39 * 5 * time.Second)
	if v, ok := r.PerSecond(last); !ok || v != 2 {
		t.Errorf("rate %v %v, want 2", v, ok)
	}
	if d := last.Sub(r.at[0]); d > 70*time.Second {
		t.Errorf("looks back %s, want about a minute", d)
	}
}

// unready is true for a worker that was never ready for a request.
type unready bool

func (u unready) Unready() bool { return bool(u) }

// The end of a worker that was never ready counts for a minute; that of a worker that
// was ready does not count.
func TestUnreadyWorkers(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	a := New()
	for i, p := range workers(100, 100) {
		a.Assign([]*table.Process{p}, now)
		a.Slots[0].State = unready(i != 50)
		now = now.Add(time.Second)
	}
	if n := a.Unready.Count(now); n != 59 {
		t.Errorf("%d in the last minute, want 59: one was ready", n)
	}
	if n := a.Unready.Count(now.Add(2 * time.Minute)); n != 0 {
		t.Errorf("%d two minutes later", n)
	}
}
