package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
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

// RecycleDeps are what [NewRecycle] needs of others.
type RecycleDeps struct {
	Processes Processes
	// Leaks gives the leaked connections of an app's workers by their slot. nil,
	// or an error: nobody knows.
	Leaks    func(ctx context.Context, app string) (map[int]int, error)
	ProcRoot string // "/proc"; where it is mounted
}

// Recycle is the action recycle_worker: it lets one worker of gunicorn or uWSGI
// finish its requests and end, so that its master starts a new one. It never
// touches a master.
type Recycle struct {
	d RecycleDeps
	c config.Recycle
}

// NewRecycle returns the action with these settings.
func NewRecycle(d RecycleDeps, c config.Recycle) *Recycle { return &Recycle{d: d, c: c} }

// Name implements [Action].
func (*Recycle) Name() string { return config.ActionRecycle }

// recycling is what a plan keeps for Apply.
type recycling struct {
	app            string
	server         proc.Server
	slot           int
	worker, master proc.Identity
	grace          time.Duration
}

// pick is a worker with the number for which it was chosen.
type pick struct {
	worker proc.Worker
	value  float64 // bytes, leaked connections or seconds
	of     string  // what the value is: "rss", "pss", "leaked" or "stuck"
}

// Plan implements [Action].
func (r *Recycle) Plan(ctx context.Context, a Alert) (Plan, error) {
	p := Plan{Action: r.Name(), Target: "app:?/workers"}
	name, refused := named(a, "app", r.c.App)
	if refused != "" {
		p.Refused = refused
		return p, nil
	}
	snap, err := r.d.Processes.Snapshot(ctx)
	if err != nil {
		return Plan{}, err
	}
	app := appIn(snap, name)
	if app == nil {
		p.Refused = "neither the rule nor the alert names an app that is known"
		return p, nil
	}
	p.Target = "app:" + app.Name + "/workers"
	victim, refused, err := r.choose(ctx, app)
	switch {
	case err != nil:
		return Plan{}, err
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
		return Plan{}, err
	}
	p.Refused = refused
	if t == nil {
		return p, nil
	}
	info := processInfo(t.worker)
	info["master_pid"], info["master_start"] = strconv.Itoa(t.master.PID), strconv.FormatUint(t.master.Start, 10)
	info["workers"], info["of"], info["state"] = strconv.Itoa(len(app.Workers)), victim.of, string(victim.worker.State)
	p.Victims = []Victim{{Kind: "worker", ID: strconv.Itoa(t.slot), Info: info}}
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

// choose looks whether an app may lose a worker for a while, and which one is
// the worst. No worker and no refusal: there is nothing to do.
func (r *Recycle) choose(ctx context.Context, app *proc.App) (*pick, string, error) {
	if refused := r.unfit(app); refused != "" {
		return nil, refused, nil
	}
	var list []pick
	switch r.c.Pick {
	case config.PickLargest:
		list = largest(app)
	case config.PickStuck:
		if app.StateErr != nil {
			return nil, "what the workers do cannot be told: it takes their user, or CAP_SYS_PTRACE", nil
		}
		list = stuckOnes(app)
		if 2*len(list) > len(app.Workers) {
			return nil, fmt.Sprintf("%d of %d workers are stuck: what they wait for is the trouble, not one worker", len(list), len(app.Workers)), nil
		}
	case config.PickLeaked:
		if r.d.Leaks == nil {
			return nil, "which worker leaks is not known: it takes apps[].pools", nil
		}
		leaks, err := r.d.Leaks(ctx, app.Name)
		if err != nil {
			return nil, "", fmt.Errorf("which worker leaks: %w", err)
		}
		list = leaking(app, leaks)
	default:
		return nil, "there is no such way to pick a worker", nil
	}
	return r.oldEnough(app, list)
}

// oldEnough gives the worst that is old enough. When the worst of all is young,
// a new worker is as bad as the old one was, and nothing is gained.
func (r *Recycle) oldEnough(app *proc.App, list []pick) (*pick, string, error) {
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
func (r *Recycle) unfit(app *proc.App) string {
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

// target looks at the processes themselves, and whether the next worker would
// start. nil: refused.
func (r *Recycle) target(ctx context.Context, app *proc.App, w proc.Worker) (*recycling, string, error) {
	t := &recycling{app: app.Name, server: app.Server, slot: w.Slot, grace: gracefulTimeout}
	var err error
	if t.worker, err = proc.Identify(r.d.ProcRoot, w.PID); err != nil {
		return nil, "", err
	}
	if t.master, err = proc.Identify(r.d.ProcRoot, app.PID); err != nil {
		return nil, "", err
	}
	for _, other := range app.Workers {
		id, err := proc.Identify(r.d.ProcRoot, other.PID)
		if err != nil {
			return nil, "", err
		}
		if id.Parent != app.PID {
			return nil, "the workers have more than one master: an upgrade is under way, or the app runs twice", nil
		}
	}
	if err := signable(r.d.ProcRoot, w.PID); err != nil {
		return nil, err.Error(), nil
	}
	if refused := t.patience(ctx, r); refused != "" {
		return nil, refused, nil
	}
	refused, err := importer{root: r.d.ProcRoot, argv: r.c.ImportCheck, app: app, worker: w.PID}.refused(ctx)
	if err != nil || refused != "" {
		return nil, refused, err
	}
	return t, "", nil
}

// patience finds how long a worker may take to end by itself. A stuck one is
// ended hard after that, for which the step must give the time.
func (t *recycling) patience(ctx context.Context, r *Recycle) (refused string) {
	option := "--graceful-timeout"
	if t.server == proc.UWSGI {
		option = "--worker-reload-mercy"
	}
	if l, err := proc.LaunchOf(r.d.ProcRoot, t.master.PID); err == nil {
		if n, err := strconv.Atoi(proc.Option(l.Argv, option)); err == nil && n >= 0 && n <= 3600 {
			t.grace = time.Duration(n) * time.Second
		}
	}
	need := t.grace + afterGrace + 2*hardStep
	if end, ok := ctx.Deadline(); ok && r.c.Pick == config.PickStuck && time.Until(end) < need-time.Second {
		return fmt.Sprintf("the step needs a timeout of %s or more: a stuck worker gets %s to end by itself, and is ended hard after that", need, t.grace+afterGrace)
	}
	return ""
}

// graceful is the signal after which a worker finishes its requests and ends.
// They are the opposite on the two servers: gunicorn's workers die of a HUP,
// uWSGI's drop their requests on a TERM.
func graceful(s proc.Server) syscall.Signal {
	if s == proc.UWSGI {
		return syscall.SIGHUP
	}
	return syscall.SIGTERM
}

// hard is the signal after which a worker that hangs ends at once, if it still
// can: gunicorn's own for that is ABRT.
func hard(s proc.Server) syscall.Signal {
	if s == proc.UWSGI {
		return syscall.SIGTERM
	}
	return syscall.SIGABRT
}

// Apply implements [Action]. All is looked at once more with the worker in hand.
func (r *Recycle) Apply(ctx context.Context, p Plan) (int, error) {
	t, ok := p.Private.(*recycling)
	if !ok {
		return 0, errNotPlanned
	}
	g, err := seize(r.d.ProcRoot, t.worker)
	if err != nil {
		return 0, err
	}
	defer g.release()
	if err := r.again(ctx, t); err != nil {
		return 0, err
	}
	if err := g.check(); err != nil {
		return 0, err
	}
	if err := g.signal(graceful(t.server)); err != nil {
		return 0, err
	}
	if r.c.Pick != config.PickStuck || g.ended(ctx, t.grace+afterGrace) {
		return 1, nil
	}
	// It did not end by itself, and its request would never end either.
	for _, s := range []syscall.Signal{hard(t.server), syscall.SIGKILL} {
		if ctx.Err() != nil {
			return 1, fmt.Errorf("the stuck worker has not ended yet: %w", ctx.Err())
		}
		if err := g.signal(s); err != nil && !errors.Is(err, errChanged) {
			return 1, err
		}
		if g.ended(ctx, hardStep) {
			return 1, nil
		}
	}
	return 1, errors.New("the stuck worker does not even end by SIGKILL: it waits inside of the kernel")
}

// again looks right before whether all is still as planned.
func (r *Recycle) again(ctx context.Context, t *recycling) error {
	snap, err := r.d.Processes.Snapshot(ctx)
	if err != nil {
		return err
	}
	app := appIn(snap, t.app)
	if app == nil || app.PID != t.master.PID || !t.master.Alive(r.d.ProcRoot) {
		return errChanged
	}
	victim, refused, err := r.choose(ctx, app)
	switch {
	case err != nil:
		return err
	case refused != "":
		return errors.New(refused)
	case victim == nil:
		return errors.New("there is nothing to do any more")
	case r.c.Pick == config.PickLargest && slices.ContainsFunc(app.Workers, func(w proc.Worker) bool { return w.PID == t.worker.PID }):
		return nil // two of about the same size may change places
	case victim.worker.PID != t.worker.PID:
		return errChanged
	}
	return nil
}
