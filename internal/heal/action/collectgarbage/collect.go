// Package collectgarbage is the action collect_garbage: it asks each worker of an app to
// collect garbage, by the app's control file.
package collectgarbage

import (
	"context"
	"fmt"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside/control"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/followers"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// margin is how long after the last worker may begin the file still asks for it, and how
// long is waited for the rest when enough have collected: a worker looks once a second.
const margin = 10 * time.Second

// Control is the writer of control files; [control.Writer] is one.
type Control interface {
	SetGarbage(app string, g control.Garbage) error
	EndGarbage(app, run string) error
}

// Deps are the dependencies of the action.
type Deps struct {
	Followers followers.Finder
	Control   Control
}

// Action is the action collect_garbage.
type Action struct {
	d Deps
	c config.Collect
}

// New returns the action with these settings.
func New(d Deps, c config.Collect) *Action { return &Action{d: d, c: c} }

// Target implements [action.Action]: "app:NAME/garbage", with "?" for the name if neither
// the settings nor the alert have one.
func (r *Action) Target(a action.Alert) string {
	return "app:" + action.TargetName(a, "app", r.c.App) + "/garbage"
}

// asked is the private part of a plan.
type asked struct {
	app, run string
	began    time.Time // zero: not yet
}

// Plan implements [action.Action]. It is never cleared, and refused for what
// [action.NameFrom] and [followers.Finder.Find] refuse. Its total is the number of
// followers, of which it names at most [action.MaxVictims].
func (r *Action) Plan(ctx context.Context, req action.PlanRequest) (action.Plan, error) {
	p := action.Plan{Action: config.ActionCollect, Target: "app:?/garbage"}
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
	run := followers.NewRun(req.RunID)
	p.Target, p.Total = "app:"+name+"/garbage", len(list)
	p.Summary = fmt.Sprintf("collect garbage in %d workers of %s, each at a random time within %s", len(list), name, r.c.Stagger)
	p.Victims = followers.Victims(list[:min(len(list), action.MaxVictims)], map[string]string{"app": name, "run": run})
	p.Private = &asked{app: name, run: run}
	return p, nil
}

// Apply implements [action.Action]. It asks all followers, waits for nothing, and returns
// their number as planned; 0 and a refusal if the control file cannot be written.
func (r *Action) Apply(_ context.Context, p action.Plan) (int, error) {
	a, ok := p.Private.(*asked)
	if !ok {
		return 0, action.ErrNotPlanned
	}
	a.began = time.Now()
	err := r.d.Control.SetGarbage(a.app, control.Garbage{Run: a.run, Until: a.began.Add(r.c.Stagger + margin), Stagger: r.c.Stagger})
	if err != nil {
		return 0, action.Refuse(action.CodeNoControl, "the control file of %s cannot be written: %s", a.app, err)
	}
	return p.Total, nil
}

// Verify implements [action.Action]: Verified once enough workers have collected, no other may
// still do so, and these have freed min_freed of their memory in sum, if that is set; then the
// request is removed. Else Unchanged, "" with an error. Without the private part of the plan, as
// after a crash, no other may.
func (r *Action) Verify(ctx context.Context, p action.Plan) (action.Outcome, error) {
	x, err := r.measure(ctx, p)
	switch {
	case err != nil:
		return "", err
	case !followers.AreEnough(x.done, x.all), x.done < x.all && r.mayStillCome(p):
		return action.Unchanged, nil
	case r.c.MinFreed > 0 && float64(x.freed) < r.c.MinFreed*float64(x.before):
		return action.Unchanged, nil
	}
	r.Revert(ctx, p) // it is done
	return action.Verified, nil
}

// mayStillCome reports whether a worker may still collect, since the time of all staggers
// is not over. After a crash it is false.
func (r *Action) mayStillCome(p action.Plan) bool {
	a, ok := p.Private.(*asked)
	return ok && time.Since(a.began) < r.c.Stagger+margin
}

// Revert implements [action.Reverter]: it removes the request to the workers.
func (r *Action) Revert(_ context.Context, p action.Plan) {
	if app, run := namesOf(p); app != "" {
		_ = r.d.Control.EndGarbage(app, run) // the file says when it is over
	}
}

// Report implements [action.Reporter]: how many workers of the plan collected, and freed how
// much; "" if none of them reports any more, or they cannot be read.
func (r *Action) Report(ctx context.Context, p action.Plan) string {
	x, err := r.measure(ctx, p)
	if err != nil || x.all == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d workers collected %d objects in %s at most, and freed %s of %s", x.done, x.all, x.objects, action.RoundTenths(x.longest), text.Bytes(float64(x.freed)), text.Bytes(float64(x.before)))
}

// namesOf returns the app and the run of a plan; "" if the plan has no victims.
func namesOf(p action.Plan) (app, run string) {
	if len(p.Victims) == 0 {
		return "", ""
	}
	return p.Victims[0].Info["app"], p.Victims[0].Info["run"]
}

// measured is what the workers of a plan have done.
type measured struct {
	all, done     int // workers
	objects       uint64
	before, freed uint64 // resident bytes of those that are done
	longest       time.Duration
}

// measure returns what the workers that the plan names, at most [action.MaxVictims], have
// collected by now. Those that have ended do not count.
func (r *Action) measure(ctx context.Context, p action.Plan) (x measured, err error) {
	app, run := namesOf(p)
	list, err := r.d.Followers.Now(ctx, app)
	if err != nil {
		return x, err
	}
	planned := make(map[string]bool)
	for _, v := range p.Victims {
		planned[v.Identity] = true
	}
	for i := range list {
		g := &list[i].Garbage
		if !planned[list[i].Identity()] {
			continue
		}
		x.all++
		if g.Run != run {
			continue
		}
		x.done++
		x.objects += g.Objects
		x.before += g.Before
		x.longest = max(x.longest, g.Took)
		if g.After < g.Before {
			x.freed += g.Before - g.After
		}
	}
	return x, nil
}
