package restarttask

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/appside/control"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/followers"
)

// asksFor is how long a worker is asked to restart a task: it looks once a second.
const asksFor = 30 * time.Second

// Control is the writer of control files; [control.Writer] is one.
type Control interface {
	SetRestart(app string, r control.RestartTask) error
	EndRestart(app, run string) error
}

// inside is a background task that an app runs inside itself, in one of its workers.
type inside struct{ app, task string }

// target returns the target of guards: app:NAME/task:NAME.
func (t inside) target() string { return "app:" + t.app + "/task:" + t.task }

// stalledInside is such a task that makes no progress, and the worker that has it.
type stalledInside struct {
	worker followers.Follower
	task   appside.Task
}

// askedInside is the private part of a plan about a task inside of an app.
type askedInside struct {
	inside

	run, victim string
}

// isInside reports whether a step is about a task inside of an app: if its settings name a
// task; or if they name no queue, and the alert's labels name a task and no queue.
func (r *Action) isInside(a action.Alert) bool {
	return r.c.Task != "" || r.c.Queue == "" && a.Labels["task"] != "" && a.Labels["queue"] == ""
}

// planInside returns a plan to restart a task inside of an app; cleared if it makes
// progress in all workers. It is refused for what insideOf refuses, if no worker follows or
// reports the task, or the last restart was too recent.
func (r *Action) planInside(ctx context.Context, req action.PlanRequest) (action.Plan, error) {
	p := action.Plan{Action: config.ActionRestartTask, Target: "app:?/task:?"}
	t, refused := r.insideOf(req.Alert)
	if !refused.IsZero() {
		p.Refused = refused
		return p, nil
	}
	list, refused, err := r.d.Followers.Find(ctx, t.app)
	if err != nil {
		return action.Plan{}, err
	}
	if p.Refused = refused; !refused.IsZero() {
		return p, nil
	}
	p.Target = t.target()
	s, known := r.findInside(list, t.task)
	switch {
	case !known:
		p.Refused = action.Refuse(action.CodeUnknownTask, "no worker of %s reports a task of that name", t.app)
	case s == nil:
		p.Cleared = true
	default:
		p.Refused = tooSoon(req.Acts[t.target()], time.Now())
	}
	if s == nil || !p.Refused.IsZero() {
		return p, nil
	}
	run, held := followers.NewRun(req.RunID), s.task.Stalled()
	p.Summary = fmt.Sprintf("restart the task %s inside of %s, in worker %d: no progress for %.0f s", t.task, t.app, s.worker.Slot, held.Seconds())
	p.Measure, p.Total = held.Seconds(), 1
	p.Victims = followers.Victims([]followers.Follower{s.worker}, map[string]string{
		"app": t.app, "task": t.task, "run": run, "planned": strconv.FormatInt(time.Now().UnixMilli(), 10), "ran": strconv.FormatBool(s.task.State == appside.TaskRunning),
	})
	p.Private = &askedInside{inside: t, run: run, victim: s.worker.Identity()}
	return p, nil
}

// insideOf returns the task that rule and alert name, whose names may be ""; a refusal if
// they differ, or a setting is missing.
func (r *Action) insideOf(a action.Alert) (t inside, refused action.Refusal) {
	if refused := r.checkSettings(); !refused.IsZero() {
		return t, refused
	}
	if t.app, refused = action.NameFrom(a, "app", r.c.App); !refused.IsZero() {
		return t, refused
	}
	t.task, refused = action.NameFrom(a, "task", r.c.Task)
	return t, refused
}

// findInside returns the worker in which a task has made no progress for the longest time,
// nil if it has in none for min_stuck, and whether any worker reports the task.
func (r *Action) findInside(list []followers.Follower, name string) (worst *stalledInside, known bool) {
	for i := range list {
		for _, t := range list[i].Tasks {
			if t.Name != name {
				continue
			}
			known = true
			if t.Stalled() >= r.c.MinStuck && (worst == nil || t.Stalled() > worst.task.Stalled()) {
				worst = &stalledInside{list[i], t}
			}
		}
	}
	return worst, known
}

// applyInside writes the request to the worker of a plan, and returns 1. It does not wait
// for the restart. errProgress: the worker is no longer the one in which the task hangs
// longest. A [action.Refusal]: the control file cannot be written.
func (r *Action) applyInside(ctx context.Context, a *askedInside) (int, error) {
	list, err := r.d.Followers.Now(ctx, a.app)
	if err != nil {
		return 0, err
	}
	s, _ := r.findInside(list, a.task)
	if s == nil || s.worker.Identity() != a.victim {
		return 0, errProgress
	}
	err = r.d.Control.SetRestart(a.app, control.RestartTask{Run: a.run, Task: a.task, PID: s.worker.State.PID, Until: time.Now().Add(asksFor)})
	if err != nil {
		return 0, action.Refuse(action.CodeNoControl, "the control file of %s cannot be written: %s", a.app, err)
	}
	return 1, nil
}

// restarted is what the workers report about a restart that was asked for.
type restarted struct {
	app, run string
	done     bool          // the worker has acknowledged it, or has ended
	again    bool          // the task has begun again, and makes progress
	after    time.Duration // from the plan to its new start, or its sign of life
}

// measureInside returns what the workers report of the task of a plan, which must have a
// victim. It uses the public part only. A worker that no longer reports the task counts as done;
// the task has begun again if any worker has begun it since the plan and makes progress.
func (r *Action) measureInside(ctx context.Context, p action.Plan) (x restarted, err error) {
	info := p.Victims[0].Info
	planned, err := strconv.ParseInt(info["planned"], 10, 64)
	if err != nil {
		return x, fmt.Errorf("when the plan was made: %w", err)
	}
	list, err := r.d.Followers.Now(ctx, info["app"])
	if err != nil {
		return x, err
	}
	since := time.Since(time.UnixMilli(planned))
	x.app, x.run, x.done = info["app"], info["run"], true
	for i := range list {
		mine := list[i].Identity() == p.Victims[0].Identity
		at := slices.IndexFunc(list[i].Tasks, func(t appside.Task) bool { return t.Name == info["task"] })
		if at < 0 {
			continue
		}
		t := &list[i].Tasks[at]
		if mine {
			x.done = t.Restarted == x.run
		}
		began := t.Began
		if began == 0 && mine && info["ran"] != "true" {
			began = t.Beat // its thread waits for its next run
		}
		if began > 0 && began < since && t.Stalled() < r.c.MinStuck {
			x.again, x.after = true, since-began
		}
	}
	return x, nil
}

// verifyInside returns Verified if the worker has acknowledged the restart or no longer reports the
// task, and any worker has begun a run of it since the plan that makes progress; else Unchanged;
// "" with an error.
func (r *Action) verifyInside(ctx context.Context, p action.Plan) (action.Outcome, error) {
	x, err := r.measureInside(ctx, p)
	switch {
	case err != nil:
		return "", err
	case !x.done, !x.again: // not in progress: another step may follow
		return action.Unchanged, nil
	}
	r.Revert(ctx, p) // it is done
	return action.Verified, nil
}

// Revert implements [action.Reverter]: nobody is asked any more.
func (r *Action) Revert(_ context.Context, p action.Plan) {
	if isPlanInside(p) {
		_ = r.d.Control.EndRestart(p.Victims[0].Info["app"], p.Victims[0].Info["run"]) // the file says when it is over
	}
}

// Report implements [action.Reporter]: whether a task inside of an app began again, and when,
// or why not; "" for a worker of a queue, or if the workers cannot be read.
func (r *Action) Report(ctx context.Context, p action.Plan) string {
	if !isPlanInside(p) {
		return ""
	}
	x, err := r.measureInside(ctx, p)
	switch {
	case err != nil:
		return ""
	case !x.done:
		return "the worker has not acknowledged the restart: its tasks are greenlets, or its resp_flask.py is older than the exporter"
	case !x.again:
		return "the worker has acknowledged the restart, and the task has not begun again: it waits in a call that Python cannot interrupt"
	}
	return fmt.Sprintf("the task began again %s after the plan", action.RoundTenths(x.after))
}

// isPlanInside reports whether a plan is about a task inside of an app.
func isPlanInside(p action.Plan) bool { return len(p.Victims) == 1 && p.Victims[0].Info["task"] != "" }
