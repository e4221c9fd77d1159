package sampling

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/reserve"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/share"
)

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
		save(s, savings)
		s.mu.Unlock()
		s.sample()
		return s.order[0].threads[0]
	}
	until(t, "a stack", func() bool { return sample(share.MaxSavings).stack.known })
	first := sample(share.MaxSavings)
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
		if passed := at.Sub(seen[i]); passed < reserve.Period {
			t.Errorf("stacks were read %s after each other", passed)
		}
	}
	if s.skipped == 0 || s.order[0].user.Looks {
		t.Errorf("%d skipped", s.skipped)
	}
}
