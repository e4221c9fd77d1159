package discovery

import (
	"testing"
	"time"
)

func workers(n, firstPID int) []*process {
	var ps []*process
	for i := range n {
		ps = append(ps, &process{pid: firstPID + i, start: uint64(firstPID + i)})
	}
	return ps
}

// in tells which pid is in which slot; 0 is a free slot.
func in(a slotSet) []int {
	var pids []int
	for _, s := range a.slots {
		if s.p == nil {
			pids = append(pids, 0)
			continue
		}
		pids = append(pids, s.p.pid)
	}
	return pids
}

func expectSlots(t *testing.T, a slotSet, want ...int) {
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
	a := newSlotSet()
	four := workers(4, 100)
	a.assign([]*process{four[2], four[0], four[3], four[1]}, now)
	expectSlots(t, a, 100, 101, 102, 103)
	for i, p := range workers(4, 200) { // each is replaced in turn
		now = now.Add(time.Minute)
		four[i] = p
		a.assign(append([]*process(nil), four...), now)
	}
	expectSlots(t, a, 200, 201, 202, 203)
	if a.restarts != 4 {
		t.Errorf("%d restarts, want 4", a.restarts)
	}
}

func TestReloadKeepsSlots(t *testing.T) {
	now := time.Unix(1000, 0)
	a := newSlotSet()
	old, fresh := workers(2, 100), workers(2, 200)
	a.assign(append([]*process(nil), old...), now)
	now = now.Add(time.Minute)
	a.assign(append(append([]*process(nil), old...), fresh...), now) // HUP: the new ones are there first
	expectSlots(t, a, 100, 101)
	if len(a.waiting) != 2 {
		t.Errorf("%d wait, want 2", len(a.waiting))
	}
	a.assign(append([]*process(nil), fresh...), now.Add(time.Second))
	expectSlots(t, a, 200, 201)
	if a.restarts != 2 || len(a.waiting) != 0 {
		t.Errorf("%d restarts, %d waiting", a.restarts, len(a.waiting))
	}
}

func TestScaleUpAndDown(t *testing.T) {
	now := time.Unix(1000, 0)
	a := newSlotSet()
	all := workers(3, 100)
	a.assign(append([]*process(nil), all[:2]...), now)
	for _, d := range []time.Duration{time.Minute, time.Minute + settle} {
		a.assign(append([]*process(nil), all...), now.Add(d))
	}
	expectSlots(t, a, 100, 101, 102)
	if a.restarts != 0 {
		t.Errorf("%d restarts, want none: a third worker came", a.restarts)
	}
	now = now.Add(time.Hour)
	for _, d := range []time.Duration{0, scaledDown + time.Second} {
		a.assign(append([]*process(nil), all[:2]...), now.Add(d))
	}
	expectSlots(t, a, 100, 101)
}

// Old and new workers ran side by side for so long that the new ones got slots
// of their own; when the old ones have gone, they move into the freed ones.
func TestSlotsCloseUp(t *testing.T) {
	now := time.Unix(1000, 0)
	a := newSlotSet()
	old, fresh := workers(2, 100), workers(2, 200)
	at := func(d time.Duration, ps ...*process) {
		a.assign(append([]*process(nil), ps...), now.Add(d))
	}
	at(0, old...)
	both := append(append([]*process(nil), old...), fresh...)
	at(time.Minute, both...)
	at(time.Minute+settle, both...)
	expectSlots(t, a, 100, 101, 200, 201)
	at(2*time.Minute, fresh...)
	expectSlots(t, a, 0, 0, 200, 201)
	at(2*time.Minute+scaledDown, fresh...)
	expectSlots(t, a, 201, 200)
	if a.restarts != 0 {
		t.Errorf("%d restarts: nobody was replaced in a slot", a.restarts)
	}
}

func TestManyWorkersAreBounded(t *testing.T) {
	a := newSlotSet()
	a.assign(workers(maxWorkers+7, 1), time.Unix(1000, 0))
	if len(a.slots) != maxWorkers || a.dropped != 7 {
		t.Errorf("%d slots, %d dropped", len(a.slots), a.dropped)
	}
}

func TestRate(t *testing.T) {
	var r rate
	now := time.Unix(1000, 0)
	if _, ok := r.perSecond(now); ok {
		t.Error("a rate out of nothing")
	}
	for i := range 40 {
		r.add(now.Add(time.Duration(i)*5*time.Second), float64(i)*10)
	}
	last := now.Add(39 * 5 * time.Second)
	if v, ok := r.perSecond(last); !ok || v != 2 {
		t.Errorf("rate %v %v, want 2", v, ok)
	}
	if d := last.Sub(r.at[0]); d > 70*time.Second {
		t.Errorf("looks back %s, want about a minute", d)
	}
}

// unready is a worker that was never ready for a request, if it is true.
type unready bool

func (u unready) Unready() bool { return bool(u) }

// Deaths are counted for a minute, and of a worker that was ready not at all.
func TestUnreadyWorkers(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	a := newSlotSet()
	for i, p := range workers(100, 100) {
		a.assign([]*process{p}, now)
		a.slots[0].state = unready(i != 50)
		now = now.Add(time.Second)
	}
	if n := a.unready.count(now); n != 59 {
		t.Errorf("%d in the last minute, want 59: one was ready", n)
	}
	if n := a.unready.count(now.Add(2 * time.Minute)); n != 0 {
		t.Errorf("%d two minutes later", n)
	}
}
