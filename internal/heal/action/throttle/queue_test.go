package throttle_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside/control"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/throttle"
	"github.com/resp-exporter/resp-exporter/internal/heal/followers"
)

// waits sets what the workers report of the time in the queue and of the share that is shed.
func (s *shop) waits(n int, waited time.Duration, share float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.reports {
		c := &s.reports[i].Control
		c.QueueTime, c.Throttled, c.Queued, c.Waited, c.Share = true, true, n, waited, share
	}
}

// aimed returns settings with a target.
func aimed(component string) config.Throttle {
	c := settings()
	c.Percent, c.Target, c.Component = 0, time.Second, component
	return c
}

// With a target the condition is the time in the queue, and the component if there is one.
func TestPlanOfTarget(t *testing.T) {
	t.Parallel()
	no, unknown := func() (bool, error) { return false, nil }, func() (bool, error) { return false, errors.New("not judged") }
	for name, c := range map[string]struct {
		component string
		unhealthy func() (bool, error)
		n         int
		waited    time.Duration
		cleared   bool
		err       bool
	}{
		"waits":                      {"", unknown, 20, 1100 * time.Millisecond, false, false},
		"waits less":                 {"", unknown, 20, 900 * time.Millisecond, true, false},
		"few requests":               {"", unknown, 2, 5 * time.Second, true, false},
		"waits, healthy":             {"workers", no, 20, 2 * time.Second, false, false},
		"waits less, unhealthy":      {"workers", yes, 20, 0, false, false},
		"waits less, healthy":        {"workers", no, 20, 0, true, false},
		"waits less, nothing judged": {"workers", unknown, 20, 0, false, true},
	} {
		s := newShop()
		s.waits(c.n, c.waited, 0)
		a, _, _ := s.action(t, aimed(c.component), c.unhealthy)
		p, err := a.Plan(t.Context(), action.PlanRequest{Alert: alert()})
		if p.Cleared != c.cleared || (err != nil) != c.err || !p.Refused.IsZero() {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// A throttle with a target lasts while requests are shed, which keeps the queue short, and
// until none was for the whole of the ramp. It is verified by the time in the queue.
func TestTargetLasts(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, w := newShop(), control.New(dir, nil)
		h := throttle.NewHolder(throttle.Options{Control: w, Enforced: func() bool { return true }, MayRaise: func() bool { return true }, Call: func(context.Context, string, string) {}})
		a := throttle.New(throttle.Deps{Followers: followers.Finder{Processes: s, Reporter: s, Check: w.Check}, Holder: h}, aimed(""))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = h.Run(ctx) }()
		s.waits(20, 4*time.Second, 0)
		p, err := a.Plan(ctx, action.PlanRequest{Alert: alert()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Apply(ctx, p); err != nil {
			t.Fatal(err)
		}
		verify := func(want action.Outcome) {
			t.Helper()
			if got, err := a.Verify(ctx, p); got != want || err != nil {
				t.Errorf("%s, %v; want %s", got, err, want)
			}
		}
		s.waits(20, 3*time.Second, 0)
		verify(action.Unchanged)
		s.waits(20, 3*time.Second, 0.5) // the queue of before drains: a throttle that sheds is not taken back
		verify(action.Verified)
		s.waits(20, 800*time.Millisecond, 0.5)
		verify(action.Verified)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if !h.Holds("shop") {
			t.Fatal("it ended while requests are shed")
		}
		s.waits(20, 100*time.Millisecond, 0)
		time.Sleep(28 * time.Second)
		s.waits(20, 800*time.Millisecond, 0.1)
		time.Sleep(2 * time.Second)
		s.waits(20, 100*time.Millisecond, 0)
		time.Sleep(28 * time.Second)
		if !h.Holds("shop") {
			t.Fatal("it ended before the ramp was over")
		}
		time.Sleep(4 * time.Second)
		if h.Holds("shop") || w.Asked("shop").Throttle != nil {
			t.Error("it lasts although nothing is shed")
		}
		verify(action.Verified)
	})
}
