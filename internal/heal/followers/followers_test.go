package followers_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/followers"
)

// apps is what a test says that is watched.
type apps []discovery.App

func (a apps) Snapshot(context.Context) (*discovery.Snapshot, error) {
	return &discovery.Snapshot{Apps: a}, nil
}

// reports are what a test says that workers report.
type reports []appside.Report

func (r reports) Reports(string) []appside.Report { return r }

var began = time.Unix(1_700_000_000, 0)

// report returns what a worker reports that follows the control file of an app.
func report(pid int, at time.Time, name string) appside.Report {
	return appside.Report{PID: pid, Began: at, State: appside.State{Control: appside.Control{Follows: name != "", Name: name}}}
}

// refusing returns what a worker reports that refuses the file of its app.
func refusing(pid int) appside.Report {
	r := report(pid, began, "shop")
	r.Control.Refused = true
	return r
}

func TestFind(t *testing.T) {
	t.Parallel()
	up := discovery.App{Name: "shop", Up: true, Workers: []discovery.Worker{{Slot: 0, Process: discovery.Process{PID: 10}, Start: began}, {Slot: 1, Process: discovery.Process{PID: 11}, Start: began}}}
	down := discovery.App{Name: "shop"}
	many, followed := discovery.App{Name: "shop", Up: true}, reports{}
	for pid := 20; pid < 30; pid++ {
		many.Workers = append(many.Workers, discovery.Worker{Slot: pid - 20, Process: discovery.Process{PID: pid}, Start: began})
		if pid > 20 {
			followed = append(followed, report(pid, began, "shop"))
		}
	}
	for name, c := range map[string]struct {
		app     discovery.App
		reports reports
		check   error
		want    action.Code // "": it has followers
		n       int
	}{
		"all":               {up, reports{report(10, began, "shop"), report(11, began, "shop")}, nil, "", 2},
		"one has no file":   {up, reports{report(11, began, "shop")}, nil, "", 1},
		"another process":   {up, reports{report(11, began, "shop"), report(12, began, "shop"), report(10, began.Add(-time.Minute), "shop")}, nil, "", 1},
		"no integration":    {up, nil, nil, action.CodeNoIntegration, 0},
		"another name":      {up, reports{report(10, began, "blog")}, nil, action.CodeNotFollowed, 0},
		"no name, or older": {up, reports{report(10, began, "")}, nil, action.CodeNotFollowed, 0},
		"another version":   {up, reports{{PID: 10, Began: began, OtherVersion: true}}, nil, action.CodeNotFollowed, 0},
		"one is older":      {up, reports{{PID: 10, Began: began, OtherVersion: true}, report(11, began, "shop")}, nil, "", 1},
		"file":              {up, reports{report(10, began, "shop")}, errors.New("no"), action.CodeNoControl, 0},
		"refused":           {up, reports{refusing(10), refusing(11)}, nil, action.CodeNotFollowed, 0},
		"refused by one":    {up, reports{refusing(10), report(11, began, "shop")}, nil, action.CodeNotFollowed, 0},
		"refused by few":    {many, append(reports{refusing(20)}, followed...), nil, "", 9},
		"down":              {down, nil, nil, action.CodeAppDown, 0},
		"unknown app":       {discovery.App{Name: "blog", Up: true}, nil, nil, action.CodeUnknownApp, 0},
	} {
		f := followers.Finder{Processes: apps{c.app}, Reporter: c.reports, Check: func(string) error { return c.check }}
		list, refused, err := f.Find(t.Context(), "shop")
		if err != nil || refused.Code != c.want || len(list) != c.n {
			t.Errorf("%s: %d followers, %q, %v; want %d, %q", name, len(list), refused.Code, err, c.n, c.want)
		}
		if missing := c.n == 0 && c.app.Up && c.app.Name == "shop"; refused.Code.Unavailable() != missing {
			t.Errorf("%s: unavailable %t", name, refused.Code.Unavailable())
		}
	}
}

func TestAreEnough(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		done, all int
		want      bool
	}{{0, 0, false}, {4, 5, true}, {3, 4, false}, {1, 1, true}, {79, 100, false}, {80, 100, true}} {
		if got := followers.AreEnough(c.done, c.all); got != c.want {
			t.Errorf("%d of %d: %t", c.done, c.all, got)
		}
	}
}
