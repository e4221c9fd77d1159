package discovery

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

func workers(n, firstPID int) []*process {
	var ps []*process
	for i := range n {
		ps = append(ps, &process{pid: firstPID + i, start: uint64(firstPID + i)})
	}
	return ps
}

// in tells which pid is in which slot; 0 is a free slot.
func in(a *app) []int {
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

func expectSlots(t *testing.T, a *app, want ...int) {
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
	a := newApp("shop", -1)
	four := workers(4, 100)
	a.workers = []*process{four[2], four[0], four[3], four[1]}
	a.assign(now)
	expectSlots(t, a, 100, 101, 102, 103)
	for i, p := range workers(4, 200) { // each is replaced in turn
		now = now.Add(time.Minute)
		four[i] = p
		a.workers = append([]*process(nil), four...)
		a.assign(now)
	}
	expectSlots(t, a, 200, 201, 202, 203)
	if a.restarts != 4 {
		t.Errorf("%d restarts, want 4", a.restarts)
	}
}

func TestReloadKeepsSlots(t *testing.T) {
	now := time.Unix(1000, 0)
	a := newApp("shop", -1)
	old, fresh := workers(2, 100), workers(2, 200)
	a.workers = append([]*process(nil), old...)
	a.assign(now)
	now = now.Add(time.Minute)
	a.workers = append(append([]*process(nil), old...), fresh...) // HUP: the new ones are there first
	a.assign(now)
	expectSlots(t, a, 100, 101)
	if len(a.waiting) != 2 {
		t.Errorf("%d wait, want 2", len(a.waiting))
	}
	a.workers = append([]*process(nil), fresh...)
	a.assign(now.Add(time.Second))
	expectSlots(t, a, 200, 201)
	if a.restarts != 2 || len(a.waiting) != 0 {
		t.Errorf("%d restarts, %d waiting", a.restarts, len(a.waiting))
	}
}

func TestScaleUpAndDown(t *testing.T) {
	now := time.Unix(1000, 0)
	a := newApp("shop", -1)
	all := workers(3, 100)
	a.workers = append([]*process(nil), all[:2]...)
	a.assign(now)
	for _, d := range []time.Duration{time.Minute, time.Minute + settle} {
		a.workers = append([]*process(nil), all...)
		a.assign(now.Add(d))
	}
	expectSlots(t, a, 100, 101, 102)
	if a.restarts != 0 {
		t.Errorf("%d restarts, want none: a third worker came", a.restarts)
	}
	now = now.Add(time.Hour)
	for _, d := range []time.Duration{0, scaledDown + time.Second} {
		a.workers = append([]*process(nil), all[:2]...)
		a.assign(now.Add(d))
	}
	expectSlots(t, a, 100, 101)
}

// Old and new workers ran side by side for so long that the new ones got slots
// of their own; when the old ones have gone, they move into the freed ones.
func TestSlotsCloseUp(t *testing.T) {
	now := time.Unix(1000, 0)
	a := newApp("shop", -1)
	old, fresh := workers(2, 100), workers(2, 200)
	at := func(d time.Duration, ps ...*process) {
		a.workers = append([]*process(nil), ps...)
		a.assign(now.Add(d))
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
	a := newApp("shop", -1)
	a.workers = workers(maxWorkers+7, 1)
	a.assign(time.Unix(1000, 0))
	if len(a.slots) != maxWorkers || a.dropped != 7 {
		t.Errorf("%d slots, %d dropped", len(a.slots), a.dropped)
	}
}

func TestCPUNeverGoesBack(t *testing.T) {
	now := time.Unix(1000, 0)
	a := newApp("shop", -1)
	p := &process{pid: 1, stat: procfs.Stat{UTime: 50, STime: 5}}
	s := &slot{p: p}
	a.members = []*process{p}
	a.count(now, map[*process]*slot{p: s})
	q := &process{pid: 2, stat: procfs.Stat{UTime: 3}} // p is gone, q took its place
	s.p = q
	a.members = []*process{q}
	a.count(now.Add(5*time.Second), map[*process]*slot{q: s})
	q.stat.UTime = 2 // no kernel does this, but a counter must stand it
	a.count(now.Add(10*time.Second), map[*process]*slot{q: s})
	if a.cpu != (cpuTime{53, 5}) || s.cpu != (cpuTime{53, 5}) {
		t.Errorf("app %+v, slot %+v", a.cpu, s.cpu)
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

func TestBeat(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	ts := func(d time.Duration) unix.Timespec { return unix.NsecToTimespec(int64(d)) }
	wall := func(ago time.Duration) unix.Timespec { return unix.NsecToTimespec(now.Add(-ago).UnixNano()) }
	up := 1000 * time.Second
	for name, c := range map[string]struct {
		mode         uint32
		mtime, ctime unix.Timespec
		want         beat
	}{
		"20.1 touched, mode 1":  {0o100001, wall(time.Hour), wall(3 * time.Second), beat{age: 3 * time.Second, ok: true}},
		"20.1 touched, mode 0":  {0o100000, wall(time.Hour), wall(0), beat{ok: true}},
		"new one, monotonic":    {0o100600, ts(up - 7*time.Second), wall(0), beat{age: 7 * time.Second, ok: true}},
		"never touched":         {0o100600, wall(time.Second), wall(time.Second), beat{never: true}},
		"clock was set back":    {0o100001, wall(0), wall(-time.Minute), beat{}},
		"another time's origin": {0o100600, ts(up + time.Minute), wall(0), beat{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := beatOf(c.mode, c.mtime, c.ctime, now, up); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
