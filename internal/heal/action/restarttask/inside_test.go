package restarttask_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/appside/control"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/restarttask"
	"github.com/resp-exporter/resp-exporter/internal/heal/followers"
)

// inApp is an app with two workers, of pids 10 and 11, which know themselves as 1 and 2.
type inApp []appside.Report

func newInApp(first, second appside.Task) inApp {
	s := make(inApp, 2)
	for i, t := range []appside.Task{first, second} {
		t.Name = "mail"
		s[i] = appside.Report{PID: 10 + i, Began: time.Unix(1_700_000_000, 0), State: appside.State{PID: i + 1, Tasks: []appside.Task{t}, Control: appside.Control{Follows: true, Name: "shop"}}}
	}
	return s
}

func (s inApp) Reports(string) []appside.Report { return s }

func (s inApp) Snapshot(context.Context) (*discovery.Snapshot, error) {
	app := discovery.App{Name: "shop", Up: true}
	for i := range s {
		app.Workers = append(app.Workers, discovery.Worker{Slot: i, Process: discovery.Process{PID: s[i].PID}, Start: s[i].Began})
	}
	return &discovery.Snapshot{Apps: []discovery.App{app}}, nil
}

// action returns the action for the app, and what it asks of it.
func (s *inApp) action(t *testing.T, c config.RestartTask) (*restarttask.Action, *control.Writer) {
	t.Helper()
	w := control.New(t.TempDir(), nil)
	return restarttask.New(restarttask.Deps{Followers: followers.Finder{Processes: s, Reporter: s, Check: w.Check}, Control: w}, c), w
}

func inTask() config.RestartTask {
	return config.RestartTask{App: "shop", Task: "mail", Idempotent: true, MinStuck: time.Minute}
}

// otherHas is the task of a worker while another one runs it.
func otherHas() appside.Task { return appside.Task{State: appside.TaskElsewhere, Beat: time.Second} }

// hung is a task whose run has made no progress for five minutes.
func hung() appside.Task {
	return appside.Task{State: appside.TaskRunning, Beat: 5 * time.Minute, Began: 6 * time.Minute}
}

func TestInsidePlan(t *testing.T) {
	t.Parallel()
	named := map[string]string{"app": "shop", "task": "mail"}
	label := config.RestartTask{Idempotent: true, MinStuck: time.Minute}
	for name, c := range map[string]struct {
		task     appside.Task
		settings config.RestartTask
		labels   map[string]string
		acts     int
		want     action.Code // "": cleared; "planned"
	}{
		"hangs":                 {hung(), inTask(), nil, 0, "planned"},
		"named by the alert":    {hung(), label, named, 0, "planned"},
		"another by the alert":  {hung(), inTask(), map[string]string{"task": "cleanup"}, 0, action.CodeLabelDiffers},
		"of another app":        {hung(), label, map[string]string{"app": "blog", "task": "mail"}, 0, action.CodeUnknownApp},
		"unknown":               {hung(), label, map[string]string{"app": "shop", "task": "nail"}, 0, action.CodeUnknownTask},
		"progress":              {appside.Task{State: appside.TaskRunning, Beat: 59 * time.Second, Began: time.Hour}, inTask(), nil, 0, ""},
		"waits":                 {appside.Task{State: appside.TaskWaiting, Beat: time.Hour}, inTask(), nil, 0, ""},
		"its thread has ended":  {appside.Task{State: appside.TaskBackoff, Beat: time.Hour, Overdue: time.Hour}, inTask(), nil, 0, "planned"},
		"stopped by the app":    {appside.Task{State: appside.TaskStopped, Beat: time.Hour, Overdue: time.Hour}, inTask(), nil, 0, ""},
		"restarted just before": {hung(), inTask(), nil, 1, action.CodeBackoff},
		"may not run twice":     {hung(), config.RestartTask{App: "shop", Task: "mail", MinStuck: time.Minute}, nil, 0, action.CodeNotIdempotent},
		"no min_stuck":          {hung(), config.RestartTask{App: "shop", Task: "mail", Idempotent: true}, nil, 0, action.CodeSettingMissing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newInApp(otherHas(), c.task)
			a, w := s.action(t, c.settings)
			req := action.PlanRequest{RunID: "r-1", Alert: action.Alert{Labels: c.labels}, Acts: map[string][]time.Time{}}
			for range c.acts {
				req.Acts["app:shop/task:mail"] = []time.Time{time.Now()}
			}
			p, err := a.Plan(t.Context(), req)
			got := p.Refused.Code
			if p.Total == 1 {
				got = "planned"
			}
			if err != nil || got != c.want || p.Cleared != (c.want == "") || w.Stats().Files != 0 {
				t.Fatalf("%+v, %v; want %q", p, err, c.want)
			}
			if got != "planned" {
				return
			}
			if v := p.Victims[0]; v.Kind != "worker" || v.ID != "1" || v.Info["pid"] != "11" || p.Target != "app:shop/task:mail" || a.Target(req.Alert) != p.Target {
				t.Errorf("%+v, target %s", p, a.Target(req.Alert))
			}
		})
	}
}

// A step whose app has no directory of control files, or does not use it, is unavailable.
func TestInsideUnavailable(t *testing.T) {
	t.Parallel()
	s := newInApp(otherHas(), hung())
	none := inApp{}
	off := control.New("", nil)
	for name, c := range map[string]struct {
		finder followers.Finder
		want   action.Code
	}{
		"no directory":   {followers.Finder{Processes: s, Reporter: s, Check: off.Check}, action.CodeNoControl},
		"no integration": {followers.Finder{Processes: s, Reporter: none, Check: func(string) error { return nil }}, action.CodeNoIntegration},
	} {
		p, err := restarttask.New(restarttask.Deps{Followers: c.finder, Control: off}, inTask()).Plan(t.Context(), action.PlanRequest{})
		if err != nil || p.Refused.Code != c.want || !p.Refused.Code.Unavailable() {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// The worker that has the task is asked, and no other one. It is verified by its answer and
// a newer start, in whichever worker.
func TestInside(t *testing.T) {
	t.Parallel()
	fresh := appside.Task{State: appside.TaskRunning, Began: time.Millisecond, Name: "mail"}
	for name, c := range map[string]struct {
		first, second appside.Task // afterwards
		answers       bool
		ended         bool // the worker that had it
		crashed       bool // the exporter, meanwhile
		want          action.Outcome
	}{
		"no answer":                {otherHas(), hung(), false, false, false, action.Unchanged},
		"another began, no answer": {fresh, hung(), false, false, false, action.Unchanged},
		"pause":                    {otherHas(), appside.Task{State: appside.TaskBackoff, Began: 6 * time.Minute}, true, false, false, action.Unchanged},
		"began again":              {otherHas(), fresh, true, false, false, action.Verified},
		"in another worker":        {fresh, otherHas(), true, false, false, action.Verified},
		"worker ended":             {fresh, otherHas(), false, true, false, action.Verified},
		"worker ended, none runs":  {otherHas(), otherHas(), false, true, false, action.Unchanged},
		"after a crash":            {otherHas(), fresh, true, false, true, action.Verified},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newInApp(otherHas(), hung())
			a, w := s.action(t, inTask())
			p, err := a.Plan(t.Context(), action.PlanRequest{RunID: "r-0123456789ab"})
			if err != nil || p.Total != 1 {
				t.Fatalf("%+v, %v", p, err)
			}
			if n, err := a.Apply(t.Context(), p); n != 1 || err != nil {
				t.Fatalf("applied to %d, %v", n, err)
			}
			asked := w.Asked("shop").Restart
			if asked == nil || asked.Run != p.Victims[0].Info["run"] || asked.Task != "mail" || asked.PID != 2 || time.Until(asked.Until) > time.Minute {
				t.Fatalf("asked %+v", asked)
			}
			time.Sleep(5 * time.Millisecond) // so that a start can be newer
			if c.answers {
				c.second.Restarted = asked.Run
			}
			s = newInApp(c.first, c.second)
			if c.ended {
				s[1].PID++
			}
			if c.crashed {
				p.Private = nil
			}
			got, err := a.Verify(t.Context(), p)
			if got != c.want || err != nil {
				t.Errorf("%s, %v; want %s", got, err, c.want)
			}
			if ended := w.Asked("shop").Restart == nil; ended != (c.want == action.Verified) {
				t.Errorf("it is asked no more: %t", ended)
			}
			if a.Report(t.Context(), p) == "" {
				t.Error("no report")
			}
			if a.Revert(t.Context(), p); w.Asked("shop").Restart != nil {
				t.Error("it is asked for still")
			}
		})
	}
}

// What makes progress again, or is in another worker by now, is left alone.
func TestInsideProgress(t *testing.T) {
	t.Parallel()
	for name, now := range map[string]inApp{
		"progress":       newInApp(otherHas(), appside.Task{State: appside.TaskRunning, Beat: time.Second}),
		"another worker": newInApp(hung(), otherHas()),
		"gone":           {},
	} {
		s := newInApp(otherHas(), hung())
		a, w := s.action(t, inTask())
		p, err := a.Plan(t.Context(), action.PlanRequest{RunID: "r-1"})
		if err != nil || p.Total != 1 {
			t.Fatalf("%+v, %v", p, err)
		}
		s = now
		if n, err := a.Apply(t.Context(), p); n != 0 || err == nil || errors.As(err, new(action.Refusal)) || w.Stats().Files != 0 {
			t.Errorf("%s: applied to %d, %v", name, n, err)
		}
	}
}
