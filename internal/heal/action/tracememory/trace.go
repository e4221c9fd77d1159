// Package tracememory is the action trace_memory: it asks one worker of an app to trace for
// a while which lines allocate memory that stays, by the app's control file. It changes
// nothing; what it finds is evidence of a leak.
package tracememory

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/appside/control"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/followers"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

const (
	// margin is how long after a trace may be over the file still asks for it: a worker looks
	// once a second, and the snapshot of a large one takes some seconds.
	margin = 20 * time.Second
	// maxShown is how many lines the sentence about a trace has.
	maxShown = 3
)

// Control is the writer of control files; [control.Writer] is one.
type Control interface {
	SetTrace(app string, t control.Trace) error
	EndTrace(app, run string) error
}

// Deps are the dependencies of the action.
type Deps struct {
	Followers followers.Finder
	Control   Control
	Processes process.Snapshotter
	// Leaks returns the memory that a worker loses, in bytes a second; false: it is not
	// suspected of a leak.
	Leaks func(app string, slot, pid int) (float64, bool)
}

// Action is the action trace_memory.
type Action struct {
	d Deps
	c config.Trace
}

// New returns the action with these settings.
func New(d Deps, c config.Trace) *Action { return &Action{d: d, c: c} }

// Target implements [action.Action]: "app:NAME/trace", with "?" for the name if neither the
// settings nor the alert have one.
func (r *Action) Target(a action.Alert) string {
	return "app:" + action.TargetName(a, "app", r.c.App) + "/trace"
}

// Observes implements [action.Observer].
func (r *Action) Observes() {}

// asked is the private part of a plan.
type asked struct {
	app, run string
	pid      int // of the worker, as it knows itself
}

// Plan implements [action.Action]. It is never cleared, and refused for what
// [action.NameFrom] and [followers.Finder.Find] refuse, or if fewer than min_workers
// follow. Its victim is one worker.
func (r *Action) Plan(ctx context.Context, req action.PlanRequest) (action.Plan, error) {
	p := action.Plan{Action: config.ActionTrace, Target: "app:?/trace"}
	name, refused := action.NameFrom(req.Alert, "app", r.c.App)
	if !refused.IsZero() {
		p.Refused = refused
		return p, nil
	}
	list, refused, err := r.d.Followers.Find(ctx, name)
	if err != nil {
		return action.Plan{}, err
	}
	if p.Refused = refused; !refused.IsZero() {
		return p, nil
	}
	p.Target = "app:" + name + "/trace"
	if len(list) < r.c.MinWorkers {
		p.Refused = action.Refuse(action.CodeTooFewWorkers, "%d workers report themselves, and a trace makes one of them slow: min_workers is %d", len(list), r.c.MinWorkers)
		return p, nil
	}
	snap, err := r.d.Processes.Snapshot(ctx)
	if err != nil {
		return action.Plan{}, err
	}
	w, why := r.pick(name, list, memoryOf(snap, name))
	run := followers.NewRun(req.RunID)
	p.Summary = fmt.Sprintf("trace the memory of worker %d of %s for %s, which %s: it is slow meanwhile", w.Slot, name, r.c.Duration, why)
	p.Total = 1
	p.Victims = followers.Victims([]followers.Follower{*w}, map[string]string{"app": name, "run": run})
	p.Private = &asked{app: name, run: run, pid: w.State.PID}
	return p, nil
}

// memoryOf returns the resident memory of the workers of an app in bytes, by pid.
func memoryOf(snap *discovery.Snapshot, name string) map[int]uint64 {
	out := make(map[int]uint64)
	for i := range snap.Apps {
		if snap.Apps[i].Name == name {
			for j := range snap.Apps[i].Workers {
				w := &snap.Apps[i].Workers[j]
				out[w.PID] = w.RSS
			}
		}
	}
	return out
}

// pick returns the worker of a list, which is not empty, that loses most memory, or without
// a suspicion the largest one, the first if no size is known, and why.
func (r *Action) pick(app string, list []followers.Follower, memory map[int]uint64) (w *followers.Follower, why string) {
	var most float64
	for i := range list {
		slope, leaks := r.d.Leaks(app, list[i].Slot, list[i].PID)
		if leaks && (w == nil || slope > most) {
			w, most = &list[i], slope
		}
	}
	if w != nil {
		return w, "is suspected of a leak"
	}
	w = &list[0]
	for i := range list {
		if memory[list[i].PID] > memory[w.PID] {
			w = &list[i]
		}
	}
	return w, "is the largest"
}

// Apply implements [action.Action]. It asks, waits for nothing, and returns 1; 0 and a refusal
// if the control file cannot be written.
func (r *Action) Apply(_ context.Context, p action.Plan) (int, error) {
	a, ok := p.Private.(*asked)
	if !ok {
		return 0, action.ErrNotPlanned
	}
	err := r.d.Control.SetTrace(a.app, control.Trace{Run: a.run, PID: a.pid, For: r.c.Duration, Until: time.Now().Add(r.c.Duration + margin)})
	if err != nil {
		return 0, action.Refuse(action.CodeNoControl, "the control file of %s cannot be written: %s", a.app, err)
	}
	return 1, nil
}

// Verify implements [action.Action]: Verified if the trace is there and has a line, and then
// the request is removed; else Unchanged; "" with an error.
func (r *Action) Verify(ctx context.Context, p action.Plan) (action.Outcome, error) {
	lines, err := r.read(ctx, p)
	switch {
	case err != nil:
		return "", err
	case len(lines) == 0:
		return action.Unchanged, nil
	}
	r.Revert(ctx, p) // it is done
	return action.Verified, nil
}

// Revert implements [action.Reverter]: nobody is asked any more. A trace that goes on ends
// with the request.
func (r *Action) Revert(_ context.Context, p action.Plan) {
	if len(p.Victims) > 0 {
		_ = r.d.Control.EndTrace(p.Victims[0].Info["app"], p.Victims[0].Info["run"]) // the file says when it is over
	}
}

// Report implements [action.Reporter]: the first maxShown places as the worker reports them, the most
// bytes first, or why it may report none; "" if the workers cannot be read.
func (r *Action) Report(ctx context.Context, p action.Plan) string {
	lines, err := r.read(ctx, p)
	if err != nil {
		return ""
	}
	if len(lines) == 0 {
		return "the worker reports no line: nothing that it allocated stayed, it has ended, or its app traces its memory itself"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "memory that worker %s allocated and kept within %s: ", p.Victims[0].ID, r.c.Duration)
	for i, l := range lines[:min(len(lines), maxShown)] {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s in %s line %d", text.Bytes(float64(l.Bytes)), text.Clip(path.Base(l.File), 60), l.Line)
	}
	return b.String()
}

// read returns the lines of the trace that a plan asks for, in the order of the worker's report,
// which has the most bytes first; none: it is not there yet, no memory stayed, or the worker has
// ended.
func (r *Action) read(ctx context.Context, p action.Plan) ([]appside.Growth, error) {
	if len(p.Victims) == 0 {
		return nil, nil
	}
	v := &p.Victims[0]
	list, err := r.d.Followers.Now(ctx, v.Info["app"])
	if err != nil {
		return nil, err
	}
	var out []appside.Growth
	for i := range list {
		if list[i].Identity() != v.Identity {
			continue
		}
		for _, g := range list[i].Growth {
			if g.Run == v.Info["run"] {
				out = append(out, g)
			}
		}
	}
	return out, nil
}
