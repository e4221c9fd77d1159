package tracememory_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/appside/control"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/tracememory"
	"github.com/resp-exporter/resp-exporter/internal/heal/followers"
)

// shop is an app of which the second of three workers is the largest.
type shop []appside.Report

func newShop() shop {
	s := make(shop, 3)
	for i := range s {
		s[i] = appside.Report{PID: 10 + i, Began: time.Unix(1_700_000_000, 0), State: appside.State{PID: i + 1, Control: appside.Control{Follows: true, Name: "shop"}}}
	}
	return s
}

func (s shop) Snapshot(context.Context) (*discovery.Snapshot, error) {
	app := discovery.App{Name: "shop", Up: true}
	for i, rss := range []uint64{50, 90, 70} {
		app.Workers = append(app.Workers, discovery.Worker{Slot: i, Process: discovery.Process{PID: 10 + i, RSS: rss << 20}, Start: s[i].Began})
	}
	return &discovery.Snapshot{Apps: []discovery.App{app}}, nil
}

func (s shop) Reports(string) []appside.Report { return s }

// action returns the action for the app; slopes are those of the workers that are suspected.
func (s shop) action(t *testing.T, minWorkers int, slopes map[int]float64) (*tracememory.Action, *control.Writer) {
	t.Helper()
	w := control.New(t.TempDir(), nil)
	leaks := func(_ string, slot, _ int) (float64, bool) { v, ok := slopes[slot]; return v, ok }
	d := tracememory.Deps{Followers: followers.Finder{Processes: s, Reporter: s, Check: w.Check}, Control: w, Processes: s, Leaks: leaks}
	return tracememory.New(d, config.Trace{Duration: 10 * time.Second, MinWorkers: minWorkers}), w
}

func request(app string) action.PlanRequest {
	return action.PlanRequest{RunID: "r-1", Alert: action.Alert{Labels: map[string]string{"app": app}}}
}

// One worker is traced: the one that loses most memory, or else the largest.
func TestTracePlan(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		slopes  map[int]float64
		workers int
		slot    string
		app     string
		want    action.Code
	}{
		"largest":         {nil, 2, "1", "shop", ""},
		"leaks":           {map[int]float64{2: 5}, 3, "2", "shop", ""},
		"leaks most":      {map[int]float64{0: 9, 2: 5}, 2, "0", "shop", ""},
		"too few workers": {nil, 4, "", "shop", action.CodeTooFewWorkers},
		"unknown app":     {nil, 2, "", "blog", action.CodeUnknownApp},
	} {
		a, w := newShop().action(t, c.workers, c.slopes)
		p, err := a.Plan(t.Context(), request(c.app))
		if err != nil || p.Refused.Code != c.want || w.Stats().Files != 0 {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if c.want == "" && (p.Total != 1 || p.Victims[0].ID != c.slot || p.Target != "app:shop/trace" || a.Target(request(c.app).Alert) != p.Target) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// A trace is verified when the worker reports lines of this run. It is asked for no more then.
func TestTrace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		worker  int
		other   bool // another run
		crashed bool
		want    action.Outcome
	}{
		"no answer":      {-1, false, false, action.Unchanged},
		"answer":         {1, false, false, action.Verified},
		"another worker": {0, false, false, action.Unchanged},
		"another run":    {1, true, false, action.Unchanged},
		"after a crash":  {1, false, true, action.Verified},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop()
			a, w := s.action(t, 2, nil)
			p, err := a.Plan(t.Context(), request("shop"))
			if err != nil || p.Total != 1 {
				t.Fatalf("%+v, %v", p, err)
			}
			if n, err := a.Apply(t.Context(), p); n != 1 || err != nil {
				t.Fatalf("applied to %d, %v", n, err)
			}
			asked := w.Asked("shop").Trace
			if asked == nil || asked.PID != 2 || asked.For != 10*time.Second || time.Until(asked.Until) > time.Minute {
				t.Fatalf("asked %+v", asked)
			}
			run := asked.Run
			if c.other {
				run = "r-0"
			}
			if c.worker >= 0 {
				s[c.worker].Growth = []appside.Growth{{Run: run, File: "/srv/cart.py", Line: 42, Blocks: 7, Bytes: 3 << 20}, {Run: run, File: "/srv/x.py", Line: 1, Bytes: 5}}
			}
			if c.crashed {
				p.Private = nil
			}
			got, err := a.Verify(t.Context(), p)
			if got != c.want || err != nil || (w.Asked("shop").Trace == nil) != (c.want == action.Verified) {
				t.Errorf("%s, %v; want %s; asked %+v", got, err, c.want, w.Asked("shop").Trace)
			}
			if said := a.Report(t.Context(), p); strings.Contains(said, "cart.py line 42") != (c.want == action.Verified) || strings.Contains(said, "/srv") {
				t.Errorf("report %q", said)
			}
			if a.Revert(t.Context(), p); w.Asked("shop").Trace != nil {
				t.Error("it is asked for still")
			}
		})
	}
}
