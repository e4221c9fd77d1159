package collectgarbage_test

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
	"github.com/resp-exporter/resp-exporter/internal/heal/action/collectgarbage"
	"github.com/resp-exporter/resp-exporter/internal/heal/followers"
)

// shop is an app with five workers.
type shop []appside.Report

func newShop() shop {
	s := make(shop, 5)
	for i := range s {
		s[i] = appside.Report{PID: 10 + i, Began: began(), State: appside.State{Control: appside.Control{Follows: true, Name: "shop"}}}
	}
	return s
}

func began() time.Time { return time.Unix(1_700_000_000, 0) }

func (s shop) Snapshot(context.Context) (*discovery.Snapshot, error) {
	app := discovery.App{Name: "shop", Up: true}
	for i := range s {
		app.Workers = append(app.Workers, discovery.Worker{Slot: i, Process: discovery.Process{PID: 10 + i}, Start: began()})
	}
	return &discovery.Snapshot{Apps: []discovery.App{app}}, nil
}

func (s shop) Reports(string) []appside.Report { return s }

// Garbage counts as collected when enough workers have acknowledged it, and all of them had
// the time, and when enough was freed.
func TestCollect(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		done    int // workers
		after   uint64
		late    bool // the time is over
		other   bool // it was another run
		crashed bool
		want    action.Outcome
	}{
		"nobody":            {0, 0, true, false, false, action.Unchanged},
		"all":               {5, 80, false, false, false, action.Verified},
		"four, one may":     {4, 80, false, false, false, action.Unchanged},
		"four, and no more": {4, 80, true, false, false, action.Verified},
		"three":             {3, 80, true, false, false, action.Unchanged},
		"nothing freed":     {5, 99, true, false, false, action.Unchanged},
		"grown":             {5, 120, true, false, false, action.Unchanged},
		"another run":       {5, 80, true, true, false, action.Unchanged},
		"after a crash":     {5, 80, true, false, true, action.Verified},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, w := newShop(), control.New(t.TempDir(), nil)
			a := collectgarbage.New(collectgarbage.Deps{Followers: followers.Finder{Processes: s, Reporter: s, Check: w.Check}, Control: w}, config.Collect{Stagger: time.Second, MinFreed: 0.1})
			p, err := a.Plan(t.Context(), action.PlanRequest{RunID: "r-0123456789ab", Alert: action.Alert{Labels: map[string]string{"app": "shop"}}})
			if err != nil || !p.Refused.IsZero() || p.Total != 5 || len(p.Victims) != 5 || w.Stats().Files != 0 {
				t.Fatalf("%+v, %v", p, err)
			}
			if n, err := a.Apply(t.Context(), p); n != 5 || err != nil {
				t.Fatalf("applied to %d, %v", n, err)
			}
			asked := w.Asked("shop").Garbage
			if asked == nil || !strings.HasPrefix(asked.Run, "r-0123456789ab.") || asked.Stagger != time.Second {
				t.Fatalf("asked %+v", asked)
			}
			run := asked.Run
			if c.other {
				run = "r-other"
			}
			for i := range c.done {
				s[i].Garbage = appside.Garbage{Run: run, Objects: 1000, Took: time.Second, Before: 100 << 20, After: c.after << 20}
			}
			if c.late {
				collectgarbage.Late(p)
			}
			if c.crashed {
				p.Private = nil
			}
			got, err := a.Verify(t.Context(), p)
			if got != c.want || err != nil {
				t.Errorf("%s, %v; want %s", got, err, c.want)
			}
			if ended := w.Asked("shop").Garbage == nil; ended != (c.want == action.Verified) {
				t.Errorf("it is asked no more: %t", ended)
			}
			if a.Report(t.Context(), p) == "" {
				t.Error("no report")
			}
			if a.Revert(t.Context(), p); w.Asked("shop").Garbage != nil {
				t.Error("it is asked for still")
			}
		})
	}
}
