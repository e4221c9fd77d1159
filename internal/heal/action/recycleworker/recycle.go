// Package recycleworker is the action recycle_worker: it ends one worker of gunicorn
// or uWSGI, so that its master starts a new one.
package recycleworker

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/proc"
)

const (
	// leastWorkers must be alive, whatever the settings say: one works on.
	leastWorkers = 2
	// gracefulTimeout is how long a worker is given to end by itself, where the
	// command line does not say (--graceful-timeout, --worker-reload-mercy).
	gracefulTimeout = 30 * time.Second
	// afterGrace is given on top of it, before a stuck worker is ended hard.
	afterGrace = 5 * time.Second
	// hardStep is between two steps of that.
	hardStep = 5 * time.Second
	// settled is how long a new worker must have lived, and its master with it:
	// gunicorn's master gives up seconds after a worker that does not boot.
	settled = 5 * time.Second
	// leastGain is how much smaller the new worker must be than the largest was.
	leastGain = 0.05
)

// Deps are what [New] needs of others.
type Deps struct {
	Processes process.Processes
	// Leaks returns the leaked connections of an app's workers by their slot. nil,
	// or an error: nobody knows.
	Leaks    func(ctx context.Context, app string) (map[int]int, error)
	ProcRoot string // "/proc"; where it is mounted
}

// Action is the action recycle_worker: it lets one worker of gunicorn or uWSGI
// finish its requests and end, so that its master starts a new one. It never
// touches a master.
type Action struct {
	d Deps
	c config.Recycle
}

// New returns the action with these settings.
func New(d Deps, c config.Recycle) *Action { return &Action{d: d, c: c} }

// Target implements [action.Action].
func (r *Action) Target(a action.Alert) string {
	return "app:" + action.TargetName(a, "app", r.c.App) + "/workers"
}

// recycling is what a plan keeps for Apply.
type recycling struct {
	app            string
	server         proc.Server
	slot           int
	worker, master proc.Identity
	grace          time.Duration
	imports        bool // the app is imported before
}

// pick is a worker with the number for which it was chosen.
type pick struct {
	worker proc.Worker
	value  float64 // bytes, leaked connections or seconds
	of     string  // what the value is: "rss", "pss", "leaked" or "stuck"
}

// Plan implements [action.Action].
func (r *Action) Plan(ctx context.Context, req action.PlanRequest) (action.Plan, error) {
	p := action.Plan{Action: config.ActionRecycle, Target: "app:?/workers"}
	name, refused := action.NameFrom(req.Alert, "app", r.c.App)
	if refused != "" {
		p.Refused = refused
		return p, nil
	}
	snap, err := r.d.Processes.Snapshot(ctx)
	if err != nil {
		return action.Plan{}, err
	}
	app := appIn(snap, name)
	if app == nil {
		p.Refused = "neither the rule nor the alert names an app that is known"
		return p, nil
	}
	p.Target = "app:" + app.Name + "/workers"
	victim, _, refused, err := r.choose(ctx, app)
	switch {
	case err != nil:
		return action.Plan{}, err
	case refused != "":
		p.Refused = refused
		return p, nil
	case victim == nil:
		p.Cleared = true
		return p, nil
	}
	p.Measure, p.Total = victim.value, 1
	p.Summary = fmt.Sprintf("recycle worker %d of %d of %s, %s", victim.worker.Slot, len(app.Workers), app.Name, victim)
	t, refused, err := r.target(ctx, app, victim.worker)
	if err != nil {
		return action.Plan{}, err
	}
	p.Refused = refused
	if t == nil {
		return p, nil
	}
	info := process.Info(t.worker)
	info["master_pid"], info["master_start"] = strconv.Itoa(t.master.PID), strconv.FormatUint(t.master.Start, 10)
	info["workers"], info["of"], info["state"] = strconv.Itoa(len(app.Workers)), victim.of, string(victim.worker.State)
	if info["import_check"] = "not needed"; t.imports {
		info["import_check"] = "not run yet"
		p.Summary += "; the app is imported first, which a plan does not do"
	}
	p.Victims = []action.Victim{{Kind: "worker", ID: strconv.Itoa(t.slot), Identity: process.IdentityOf(t.worker), Info: info}}
	p.Private = t
	return p, nil
}

// String says why a worker was chosen.
func (p pick) String() string {
	switch p.of {
	case "leaked":
		return fmt.Sprintf("which has leaked %.0f connections", p.value)
	case "stuck":
		return fmt.Sprintf("which is stuck for %.0f s", p.value)
	}
	return fmt.Sprintf("the largest with %.0f MiB", p.value/(1<<20))
}

// appIn finds an app that runs or ran.
func appIn(snap *proc.Snapshot, name string) *proc.App {
	for i := range snap.Apps {
		if snap.Apps[i].Name == name && name != "" {
			return &snap.Apps[i]
		}
	}
	return nil
}

// choose reports whether an app may lose a worker for a while, and which one is
// the worst of those that are proved to be workers. No worker and no refusal:
// there is nothing to do. The proof is of the moment of the call.
func (r *Action) choose(ctx context.Context, app *proc.App) (*pick, *proven, string, error) {
	if refused := r.unfit(app); refused != "" {
		return nil, nil, refused, nil
	}
	list, refused, err := r.candidates(ctx, app)
	if refused != "" || err != nil {
		return nil, nil, refused, err
	}
	known, err := r.prove(ctx, app)
	if err != nil {
		return nil, nil, "", err
	}
	sure := known.only(app)
	if n := max(r.c.MinWorkers, leastWorkers); len(sure.Workers) < n {
		return nil, nil, fmt.Sprintf("%d of %d processes are proved to be workers, below %d: %s", len(sure.Workers), len(app.Workers), n, known.doubt), nil
	}
	fit := slices.DeleteFunc(slices.Clone(list), func(p pick) bool { return !known.workers[p.worker.PID] })
	switch {
	case len(fit) == 0 && len(list) > 0:
		return nil, nil, "nothing is done to what is not proved to be a worker: " + known.doubt, nil
	case r.c.Pick == config.PickStuck && 2*len(fit) > len(sure.Workers):
		return nil, nil, fmt.Sprintf("%d of %d workers are stuck: what they wait for is the trouble, not one worker", len(fit), len(sure.Workers)), nil
	}
	best, refused, err := r.oldEnough(sure, fit)
	return best, known, refused, err
}

// candidates returns those that may be picked, as far as discovery tells.
func (r *Action) candidates(ctx context.Context, app *proc.App) ([]pick, string, error) {
	switch r.c.Pick {
	case config.PickLargest:
		return largest(app), "", nil
	case config.PickStuck:
		if app.StateErr != nil {
			return nil, "what the workers do cannot be told: it takes their user, or CAP_SYS_PTRACE", nil
		}
		return stuckOnes(app), "", nil
	case config.PickLeaked:
		if r.d.Leaks == nil {
			return nil, "which worker leaks is not known: it takes apps[].pools", nil
		}
		leaks, err := r.d.Leaks(ctx, app.Name)
		if err != nil {
			return nil, "", fmt.Errorf("which worker leaks: %w", err)
		}
		return leaking(app, leaks), "", nil
	}
	return nil, "there is no such way to pick a worker", nil
}

// oldEnough returns the worst that is old enough. When the worst of all is young,
// a new worker is as bad as the old one was, and nothing is gained.
func (r *Action) oldEnough(app *proc.App, list []pick) (*pick, string, error) {
	if len(list) == 0 {
		return nil, "", nil
	}
	slices.SortStableFunc(list, func(x, y pick) int {
		switch {
		case x.value > y.value:
			return -1
		case x.value < y.value:
			return 1
		}
		return x.worker.Start.Compare(y.worker.Start)
	})
	worst := list[0]
	if age := time.Since(worst.worker.Start); age < r.c.MinAge {
		return nil, fmt.Sprintf("worker %d of %s is only %.0f s old, below %s: to recycle it again would not help", worst.worker.Slot, app.Name, age.Seconds(), r.c.MinAge), nil
	}
	for _, w := range app.Workers {
		if w.PID != worst.worker.PID && (w.State == proc.Idle || w.State == proc.Busy || w.State == proc.StateUnknown) {
			return &worst, "", nil
		}
	}
	return nil, "no other worker serves requests meanwhile", nil
}

// unfit says why no worker of an app may be taken away now.
func (r *Action) unfit(app *proc.App) string {
	switch {
	case !app.Up:
		return "the app is down"
	case app.Server != proc.Gunicorn && app.Server != proc.UWSGI:
		return fmt.Sprintf("the app is served by %s: only workers of gunicorn and uWSGI are started anew by their master", app.Server)
	case len(app.Workers) < max(r.c.MinWorkers, leastWorkers):
		return fmt.Sprintf("there are %d workers, below %d", len(app.Workers), max(r.c.MinWorkers, leastWorkers))
	case app.Unslotted > 0 || app.Dropped > 0:
		return "workers are being replaced just now, or there are too many"
	}
	for _, w := range app.Workers {
		switch {
		case w.State == proc.Booting:
			return fmt.Sprintf("worker %d is just starting: one at a time", w.Slot)
		case w.PID == app.PID:
			return "the app has no master that would start a new worker"
		}
		if id, err := proc.Identify(r.d.ProcRoot, w.PID); err == nil && id.Parent != app.PID {
			return "the workers have more than one master: an upgrade is under way, or the app runs twice"
		}
	}
	return ""
}

func largest(app *proc.App) []pick {
	shared := !slices.ContainsFunc(app.Workers, func(w proc.Worker) bool { return w.Taken.IsZero() || w.Memory.PSS == 0 })
	var out []pick
	for _, w := range app.Workers {
		if shared {
			out = append(out, pick{w, shareOf(w), "pss"})
		} else {
			out = append(out, pick{w, float64(w.RSS), "rss"})
		}
	}
	return out
}

// shareOf is a worker's proportional share of memory in bytes, as last sampled,
// with what it has grown since.
func shareOf(w proc.Worker) float64 {
	return max(0, float64(w.Memory.PSS)+float64(w.RSS)-float64(w.Memory.RSS))
}

func stuckOnes(app *proc.App) []pick {
	var out []pick
	for _, w := range app.Workers {
		if w.State == proc.Stuck {
			out = append(out, pick{w, w.For.Seconds(), "stuck"})
		}
	}
	return out
}

func leaking(app *proc.App, leaks map[int]int) []pick {
	var out []pick
	for _, w := range app.Workers {
		if n := leaks[w.Slot]; n > 0 {
			out = append(out, pick{w, float64(n), "leaked"})
		}
	}
	return out
}
