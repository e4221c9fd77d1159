package scaleworkers

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/importcheck"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/heal/workers"
	"github.com/resp-exporter/resp-exporter/internal/procid"
	"github.com/resp-exporter/resp-exporter/internal/retry"
)

// Plan implements [action.Action]. It is refused if the app cannot get another worker, see
// cannotScale; else cleared if it was saturated in none of some looks; else refused if it may not
// get one, see mayNot, or its processes are not proved. Its only victim is the master.
func (r *Action) Plan(ctx context.Context, req action.PlanRequest) (action.Plan, error) {
	p := action.Plan{Action: config.ActionScale, Target: "app:?/workers"}
	name, refused := action.NameFrom(req.Alert, "app", r.c.App)
	if !refused.IsZero() {
		p.Refused = refused
		return p, nil
	}
	app, busy, err := r.look(ctx, name)
	switch {
	case err != nil:
		return action.Plan{}, err
	case app == nil:
		p.Refused = action.Refuse(action.CodeUnknownApp, "neither the rule nor the alert names a known app")
		return p, nil
	}
	p.Target = "app:" + app.Name + "/workers"
	p.Measure = busy.value()
	if p.Refused = r.cannotScale(app, busy); !p.Refused.IsZero() {
		return p, nil
	}
	if !busy.saturated() {
		p.Cleared = true
		return p, nil
	}
	if p.Refused = r.mayNot(ctx, app); !p.Refused.IsZero() {
		return p, nil
	}
	t, refused, err := r.target(ctx, app)
	if err != nil {
		return action.Plan{}, err
	}
	if p.Refused = refused; t == nil {
		return p, nil
	}
	info := process.Info(t.master)
	info["app"], info["workers"], info["queue"], info["occupied"] = app.Name, strconv.Itoa(busy.workers), strconv.Itoa(busy.queue), strconv.Itoa(busy.occupied)
	p.Total, p.Private = 1, t
	p.Summary = fmt.Sprintf("let %s start worker %d of at most %d: %d of %d are busy, and %d connections wait", app.Name, busy.workers+1, r.c.MaxWorkers, busy.occupied, busy.workers, busy.queue)
	if info["import_check"] = "not needed"; t.check {
		info["import_check"] = "not run yet"
		p.Summary += "; before that, the app is imported as a check"
	}
	p.Victims = []action.Victim{{Kind: "process", ID: strconv.Itoa(t.master.PID), Identity: process.IdentityOf(t.master), Info: info}}
	return p, nil
}

// look returns the app as it was in the first of some looks in which it was saturated or
// down, else in the last one; nil without an error if there is no app with the name.
func (r *Action) look(ctx context.Context, name string) (app *discovery.App, busy load, err error) {
	for i := range looks {
		if i > 0 && !retry.Sleep(ctx, lookPause) {
			break
		}
		snap, err := r.d.Processes.Snapshot(ctx)
		if err != nil {
			return nil, load{}, err
		}
		if app = workers.FindApp(snap, name); app == nil {
			return nil, load{}, nil
		}
		if busy = loadOf(app); busy.saturated() || !app.Up {
			break
		}
	}
	return app, busy, nil
}

// cannotScale returns why an app cannot get another worker, however busy it is: it is down,
// its server is not gunicorn, or the states of its workers are unknown and nobody waits in its
// queue; zero: it can.
func (r *Action) cannotScale(app *discovery.App, busy load) action.Refusal {
	switch {
	case !app.Up:
		return action.Refuse(action.CodeAppDown, "no process of the app is found: it is down, or the exporter may not see it")
	case app.Server == cmdline.UWSGI:
		return action.Refuse(action.CodeNotScalable, "uWSGI has the number of processes that it was started with, or changes it by itself (cheaper)")
	case app.Server != cmdline.Gunicorn:
		return action.Refuse(action.CodeNotScalable, "the app is served by %s: only gunicorn can be told to start one worker more", app.Server)
	case !busy.known && busy.queue == 0:
		return action.Refuse(action.CodeStatesUnknown, "the state of the workers cannot be read: run the exporter as their user, or give it CAP_SYS_PTRACE")
	}
	return action.Refusal{}
}

// mayNot returns why a saturated app must not get another worker: it has max_workers, they
// come or go now, one more would wait like the others, or does not fit the memory; zero: it
// may.
func (r *Action) mayNot(ctx context.Context, app *discovery.App) action.Refusal {
	if n := len(app.Workers); n >= r.c.MaxWorkers {
		return action.Refuse(action.CodeAtMaximum, "there are %d workers, maximum %d", n, r.c.MaxWorkers)
	}
	if refused := workers.CheckSteady(r.d.ProcRoot, app); !refused.IsZero() {
		return refused
	}
	if refused := r.othersFault(ctx, app); !refused.IsZero() {
		return refused
	}
	return r.fits(app)
}

// othersFault returns a refusal if more than half of the workers are stuck, or more than
// half only wait for somebody else: one more would wait with them. zero: neither, as far as
// that is known.
func (r *Action) othersFault(ctx context.Context, app *discovery.App) action.Refusal {
	stuck := 0
	for _, w := range app.Workers {
		if w.State == discovery.Stuck {
			stuck++
		}
	}
	if 2*stuck > len(app.Workers) {
		return action.Refuse(action.CodeCommonCause, "%d of %d workers are stuck, so the cause is outside the workers: one more does not help", stuck, len(app.Workers))
	}
	if r.d.Victims == nil {
		return action.Refusal{}
	}
	v, waiting, why := r.d.Victims(ctx), 0, ""
	for _, w := range app.Workers {
		if s := v.WhyWorker(app.Name, strconv.Itoa(w.Slot), w.PID); s != "" {
			waiting, why = waiting+1, s
		}
	}
	if 2*waiting > len(app.Workers) {
		return action.Refuse(action.CodeVictim, "%d of %d workers of %s only wait for somebody else: %s", waiting, len(app.Workers), app.Name, why)
	}
	return action.Refusal{}
}

// target returns the master of an app, proved, with how to check whether the next worker
// would start. nil with a refusal: it may not be signalled or is not proved, or that check
// cannot be made.
func (r *Action) target(ctx context.Context, app *discovery.App) (*target, action.Refusal, error) {
	if err := process.CheckSignalable(r.d.ProcRoot, app.PID); err != nil {
		return nil, action.Refuse(action.CodeNotSignalable, "%s", err), nil
	}
	master, refused, err := r.prove(ctx, app)
	if err != nil || !refused.IsZero() {
		return nil, refused, err
	}
	t := &target{app: app.Name, master: master, number: len(app.Workers), seen: identities(r.d.ProcRoot, app)}
	if t.worker, err = procid.Identify(r.d.ProcRoot, app.Workers[0].PID); err != nil {
		return nil, action.Refusal{}, err
	}
	if t.check, refused, err = r.importer(t).Needed(); err != nil || !refused.IsZero() {
		return nil, refused, err
	}
	return t, action.Refusal{}, nil
}

// importer returns the check that the next worker would start: where it does not, gunicorn
// stops all of them.
func (r *Action) importer(t *target) importcheck.Checker {
	return importcheck.Checker{Root: r.d.ProcRoot, Argv: r.c.ImportCheck, Server: cmdline.Gunicorn, Master: t.master, Worker: t.worker}
}

// prove returns the master of an app if every worker is proved to be its worker: then it
// is a master of gunicorn, and their number is its number. Otherwise it returns a
// refusal; [process.ErrChanged]: the master is another one by now.
func (r *Action) prove(ctx context.Context, app *discovery.App) (procid.Identity, action.Refusal, error) {
	known, err := workers.Prove(ctx, r.d.ProcRoot, app)
	if err != nil {
		return procid.Identity{}, action.Refusal{}, err
	}
	if known.Doubt != "" || len(known.Workers) != len(app.Workers) || len(app.Workers) == 0 {
		return procid.Identity{}, action.Refuse(action.CodeUnproven, "only %d of %d processes are proved to be workers: %s", len(known.Workers), len(app.Workers), known.Doubt), nil
	}
	master, err := procid.Identify(r.d.ProcRoot, app.PID)
	if err != nil {
		return procid.Identity{}, action.Refusal{}, err
	}
	if master.Start != known.Family.Master.Start {
		return procid.Identity{}, action.Refusal{}, process.ErrChanged
	}
	return master, action.Refusal{}, nil
}

// grace returns how long a worker of a master may take to end by itself, by its command
// line if that has 0 to 3600 seconds; else, or if it cannot be read, gracefulTimeout.
func (r *Action) grace(master int) time.Duration {
	if l, err := procid.LaunchOf(r.d.ProcRoot, master); err == nil {
		if n, err := strconv.Atoi(cmdline.Option(l.Argv, "--graceful-timeout")); err == nil && n >= 0 && n <= 3600 {
			return time.Duration(n) * time.Second
		}
	}
	return gracefulTimeout
}
