package throttle_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/appside/control"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/throttle"
	"github.com/resp-exporter/resp-exporter/internal/heal/followers"
)

// shop is the app of the tests, with two workers, and what they report.
type shop struct {
	mu      sync.Mutex
	reports []appside.Report
}

func newShop() *shop {
	s := &shop{}
	for pid := 10; pid < 12; pid++ {
		s.reports = append(s.reports, appside.Report{PID: pid, Began: began(), State: appside.State{Control: appside.Control{Follows: true, Name: "shop"}}})
	}
	return s
}

func began() time.Time { return time.Unix(1_700_000_000, 0) }

func (s *shop) Snapshot(context.Context) (*discovery.Snapshot, error) {
	return &discovery.Snapshot{Apps: []discovery.App{{Name: "shop", Up: true, Workers: []discovery.Worker{{Slot: 0, Process: discovery.Process{PID: 10}, Start: began()}, {Slot: 1, Process: discovery.Process{PID: 11}, Start: began()}}}}}, nil
}

func (s *shop) Reports(string) []appside.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]appside.Report(nil), s.reports...)
}

// does sets what a worker reports: whether it follows the throttle, and its counters.
func (s *shop) does(worker int, throttled bool, offered, shed uint64) {
	s.reports[worker].Control.Throttled = throttled
	s.reports[worker].Counters.Offered, s.reports[worker].Counters.Shed = offered, shed
}

// action returns the action with a writer of real files.
func (s *shop) action(t *testing.T, c config.Throttle, unhealthy func() (bool, error)) (*throttle.Action, *throttle.Holder, *control.Writer) {
	t.Helper()
	w := control.New(t.TempDir(), nil)
	h := throttle.NewHolder(throttle.Options{Control: w, Enforced: func() bool { return true }, MayRaise: func() bool { return true }, Call: func(context.Context, string, string) {}})
	d := throttle.Deps{
		Followers: followers.Finder{Processes: s, Reporter: s, Check: w.Check}, Holder: h,
		Condition: func(string, string) (bool, error) { return unhealthy() },
	}
	return throttle.New(d, c), h, w
}

func yes() (bool, error) { return true, nil }

func alert() action.Alert { return action.Alert{Labels: map[string]string{"app": "shop"}} }

func TestPlan(t *testing.T) {
	t.Parallel()
	target := config.Throttle{Target: time.Second, Component: "memory", TTL: time.Minute, MaxTime: time.Hour}
	for name, c := range map[string]struct {
		settings  config.Throttle
		unhealthy func() (bool, error)
		change    func(*shop)
		code      action.Code
		cleared   bool
		err       bool
	}{
		"share":         {settings(), yes, nil, "", false, false},
		"healthy":       {settings(), func() (bool, error) { return false, nil }, nil, "", true, false},
		"not judged":    {settings(), func() (bool, error) { return false, errors.New("no") }, nil, "", false, true},
		"no proxy":      {target, yes, nil, action.CodeNoQueueTime, false, false},
		"target":        {target, yes, func(s *shop) { s.reports[1].Control.QueueTime = true }, "", false, false},
		"without files": {settings(), yes, func(s *shop) { s.reports = nil }, action.CodeNoIntegration, false, false},
	} {
		s := newShop()
		if c.change != nil {
			c.change(s)
		}
		a, _, w := s.action(t, c.settings, c.unhealthy)
		p, err := a.Plan(t.Context(), action.PlanRequest{Alert: alert()})
		if p.Refused.Code != c.code || p.Cleared != c.cleared || (err != nil) != c.err {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if ok := c.code == "" && !c.cleared && !c.err; ok != (p.Total == 2 && len(p.Victims) == 2 && p.Summary != "") {
			t.Errorf("%s: %+v", name, p)
		}
		if w.Stats().Files > 0 {
			t.Errorf("%s: a plan wrote a file", name)
		}
	}
}

// A throttle is verified by the share that was shed since it began, and taken back when it
// failed. Meanwhile another step is unavailable.
func TestVerify(t *testing.T) {
	t.Parallel()
	s := newShop()
	s.does(0, false, 1000, 900) // of a throttle before
	a, h, w := s.action(t, settings(), yes)
	p, err := a.Plan(t.Context(), action.PlanRequest{Alert: alert()})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := a.Apply(t.Context(), p); n != 2 || err != nil {
		t.Fatalf("applied to %d, %v", n, err)
	}
	if x := w.Asked("shop").Throttle; x == nil || x.Percent != 10 || !h.Holds("shop") {
		t.Errorf("asked %+v", x)
	}
	for _, c := range []struct {
		what string
		set  func()
		want action.Outcome
	}{
		{"nothing yet", func() {}, action.Unchanged},
		{"one of two", func() { s.does(0, true, 1100, 910) }, action.Unchanged},
		{"few requests", func() { s.does(0, true, 1001, 900); s.does(1, true, 5, 0) }, action.Verified},
		{"shed too few", func() { s.does(0, true, 1200, 905); s.does(1, true, 200, 5) }, action.Unchanged},
		{"shed", func() { s.does(0, true, 1200, 920); s.does(1, true, 200, 20) }, action.Verified},
	} {
		c.set()
		if got, err := a.Verify(t.Context(), p); got != c.want || err != nil {
			t.Errorf("%s: %s, %v; want %s", c.what, got, err, c.want)
		}
	}
	if a.Report(t.Context(), p) == "" {
		t.Error("no report")
	}
	if again, err := a.Plan(t.Context(), action.PlanRequest{Alert: alert()}); err != nil || again.Refused.Code != action.CodeThrottled {
		t.Errorf("a second one: %+v, %v", again, err)
	}
	a.Revert(t.Context(), p)
	if w.Asked("shop").Throttle != nil || h.Holds("shop") {
		t.Error("it is not taken back")
	}
	p.Private = nil
	if got, err := a.Verify(t.Context(), p); got != action.Unchanged || err != nil {
		t.Errorf("after a crash: %s, %v", got, err)
	}
}

// A throttle that has ended counts as help only if its component is healthy. After one that
// ended by max_time the app gets no other one until then.
func TestEnded(t *testing.T) {
	for name, c := range map[string]struct {
		settings func(*config.Throttle)
		end      func(unhealthy *bool, err *error)
		after    time.Duration
		want     action.Outcome
		again    action.Code
	}{
		"healthy":  {nil, func(unhealthy *bool, _ *error) { *unhealthy = false }, time.Minute, action.Verified, ""},
		"max_time": {func(c *config.Throttle) { c.MaxTime = 20 * time.Second }, func(*bool, *error) {}, 30 * time.Second, action.Unchanged, action.CodeThrottleSpent},
		"unknown":  {nil, func(_ *bool, err *error) { *err = errors.New("too old") }, 2 * time.Minute, action.Unchanged, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				s, w := newShop(), control.New(dir, nil)
				var mu sync.Mutex
				unhealthy, unknown := true, error(nil)
				set := func(f func()) { mu.Lock(); defer mu.Unlock(); f() }
				calls := 0
				h := throttle.NewHolder(throttle.Options{
					Control: w, Enforced: func() bool { return true }, MayRaise: func() bool { return true },
					Call: func(context.Context, string, string) { set(func() { calls++ }) },
				})
				settings := settings()
				if c.settings != nil {
					c.settings(&settings)
				}
				a := throttle.New(throttle.Deps{
					Followers: followers.Finder{Processes: s, Reporter: s, Check: w.Check}, Holder: h,
					Condition: func(string, string) (bool, error) { mu.Lock(); defer mu.Unlock(); return unhealthy, unknown },
				}, settings)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() { _ = h.Run(ctx) }()
				plan := func() action.Plan {
					p, err := a.Plan(ctx, action.PlanRequest{Alert: alert()})
					if err != nil {
						t.Fatal(err)
					}
					return p
				}
				p := plan()
				if _, err := a.Apply(ctx, p); err != nil {
					t.Fatal(err)
				}
				set(func() { c.end(&unhealthy, &unknown) })
				time.Sleep(c.after)
				if got, err := a.Verify(ctx, p); got != c.want || err != nil || h.Holds("shop") {
					t.Errorf("%s, %v, holds %t", got, err, h.Holds("shop"))
				}
				set(func() { unhealthy, unknown = true, nil })
				time.Sleep(time.Minute)
				again := plan()
				if again.Refused.Code != c.again || again.Refused.Code.Unavailable() {
					t.Errorf("another one: %+v", again.Refused)
				}
				set(func() { unhealthy = false })
				time.Sleep(2 * time.Second)
				set(func() { unhealthy = true })
				if again := plan(); !again.Refused.IsZero() {
					t.Errorf("after the component was healthy: %+v", again.Refused)
				}
				set(func() {
					if want := map[bool]int{true: 1}[c.again != ""]; calls != want {
						t.Errorf("a person was called %d times, want %d", calls, want)
					}
				})
			})
		})
	}
}

// A directory that cannot be written makes the step unavailable, also when it is applied.
func TestNoDirectory(t *testing.T) {
	t.Parallel()
	s := newShop()
	w := control.New("", nil)
	h := throttle.NewHolder(throttle.Options{Control: w})
	a := throttle.New(throttle.Deps{
		Followers: followers.Finder{Processes: s, Reporter: s, Check: func(string) error { return nil }}, Holder: h,
		Condition: func(string, string) (bool, error) { return true, nil },
	}, settings())
	p, err := a.Plan(t.Context(), action.PlanRequest{Alert: alert()})
	if err != nil || !p.Refused.IsZero() {
		t.Fatalf("%+v, %v", p, err)
	}
	_, err = a.Apply(t.Context(), p)
	if refused, ok := errors.AsType[action.Refusal](err); !ok || refused.Code != action.CodeNoControl || h.Holds("shop") {
		t.Errorf("%v", err)
	}
}
