package sampling

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
)

// The reserve is at most a thousandth of a core over any time, but for what can be saved.
func TestReserve(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	var x reserve
	var passed, used time.Duration
	for range 10_000 {
		d, look := time.Duration(r.Int64N(int64(2*time.Second))), time.Duration(r.Int64N(int64(300*time.Microsecond)))
		for x.used = 0; x.used < x.left && r.IntN(10) > 0; x.used += look {
			used += look
		}
		x.fill(d)
		if passed += d; used > passed/reserveShare+maxReserve+300*time.Microsecond {
			t.Fatalf("%s used in %s", used, passed)
		}
		if x.left > maxReserve {
			t.Fatalf("%s are left", x.left)
		}
	}
	if used < passed/reserveShare/2 {
		t.Errorf("%s used in %s: nothing was to be had", used, passed)
	}
}

// Where there is no CPU time for the stacks of all, that of a long request is read each
// second, and nothing is added to the time of views.
func TestStackOfALongRequest(t *testing.T) {
	t.Parallel()
	pid, start, _ := startPython(t, "import time\ndef charge():\n  while True: time.sleep(.01)\nprint(1, flush=True)\ncharge()")
	s := New(Options{ProcRoot: "/proc", SysRoot: "/sys", Settings: Settings{Rate: 20, Stacks: true}})
	t.Cleanup(s.closeAll)
	r := Registration{PID: pid, Start: start, App: "shop", Server: cmdline.Gunicorn, Sync: true, Known: true, InFlight: 1}
	sample := func(savings time.Duration) *thread {
		s.Register(r)
		s.mu.Lock()
		s.savings = savings
		s.mu.Unlock()
		s.sample()
		return s.order[0].threads[0]
	}
	until(t, "a stack", func() bool { return sample(maxSavings).stack.known })
	first := sample(maxSavings)
	views, seen := first.inViews, []time.Time{first.stack.at}
	for began := time.Now(); len(seen) < 4; time.Sleep(20 * time.Millisecond) {
		x := sample(-time.Hour)
		if at := x.stack.at; !at.Equal(seen[len(seen)-1]) {
			seen = append(seen, at)
			if x.stack.own.Function != "charge" {
				t.Errorf("%+v", x.stack.own)
			}
		}
		if time.Since(began) > 40*time.Second {
			t.Fatalf("stacks were read at %v alone", seen)
		}
		if x.inViews != views {
			t.Fatal("a sample without stacks was added to the time of views")
		}
	}
	for i, at := range seen[1:] {
		if passed := at.Sub(seen[i]); passed < keepPeriod {
			t.Errorf("stacks were read %s after each other", passed)
		}
	}
	if s.skipped == 0 || s.looks {
		t.Errorf("%d skipped", s.skipped)
	}
}

// The stack of a request is kept once a second, from a second after its begin.
func TestWantsKept(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		busy, looked, kept time.Duration // before now; 0: never
		notCounted, want   bool
	}{
		"idle":                      {0, 2 * time.Second, 2 * time.Second, false, false},
		"a short request":           {keepPeriod - 1, 0, 0, false, false},
		"a long request":            {keepPeriod, 0, 0, false, true},
		"not of a request":          {keepPeriod, 0, 0, true, false},
		"seen":                      {time.Minute, keepPeriod - 1, 0, false, false},
		"seen long ago":             {time.Minute, keepPeriod, 0, false, true},
		"tried":                     {time.Minute, keepPeriod, keepPeriod - 1, false, false},
		"tried long ago":            {time.Minute, 0, keepPeriod, false, true},
		"seen in an earlier, short": {keepPeriod - 1, time.Minute, 0, false, false},
	} {
		before := func(d time.Duration) time.Time {
			if d == 0 {
				return time.Time{}
			}
			return now.Add(-d)
		}
		x := &thread{busy: before(c.busy), kept: before(c.kept), counted: !c.notCounted, stack: stackInfo{known: c.looked > 0, at: before(c.looked)}}
		if got := x.wantsKept(now); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
