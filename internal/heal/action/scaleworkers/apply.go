package scaleworkers

import (
	"context"
	"fmt"
	"syscall"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/importcheck"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/heal/workers"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// Apply implements [action.Action]. It returns 1 once the master was signalled, else 0 and why
// it was not. The app is imported first, where that is needed. Then everything is read again
// with the master's descriptor open, right before the signal.
func (r *Action) Apply(ctx context.Context, p action.Plan) (int, error) {
	t, ok := p.Private.(*target)
	if !ok {
		return 0, action.ErrNotPlanned
	}
	if err := r.checkImport(ctx, t); err != nil {
		return 0, err
	}
	err := r.signal(ctx, t, syscall.SIGTTIN, func(app *discovery.App) action.Refusal { return r.mayNot(ctx, app) })
	if err != nil {
		return 0, err
	}
	return 1, nil
}

// checkImport imports the app as its next worker would, unless its master has loaded it. nil:
// it imports, or need not. A [action.Refusal]: it does not, or the check cannot or must not be
// run. Another error: its processes cannot be read.
func (r *Action) checkImport(ctx context.Context, t *target) error {
	check, refused, err := r.importer(t).Prepare()
	if err != nil {
		return err
	}
	defer check.Close()
	if refused.IsZero() && check != nil {
		refused = importcheck.Run(ctx, check)
	}
	if !refused.IsZero() {
		return refused
	}
	return nil
}

// signal sends a signal to a master, if it is still the one that is meant, all its workers
// are proved, their number is as planned, and may allows it. nil: it was sent. An error,
// such as [process.ErrChanged] or a refusal: nothing was sent.
func (r *Action) signal(ctx context.Context, t *target, s syscall.Signal, may func(*discovery.App) action.Refusal) error {
	g, err := process.Open(r.d.ProcRoot, t.master)
	if err != nil {
		return err
	}
	defer g.Close()
	app, err := r.state(ctx, t.app, t.master)
	if err != nil {
		return err
	}
	if len(app.Workers) != t.number {
		return process.ErrChanged
	}
	if refused := may(app); !refused.IsZero() {
		return refused
	}
	now, refused, err := r.prove(ctx, app)
	switch {
	case err != nil:
		return err
	case !refused.IsZero():
		return refused
	case !now.Same(t.master):
		return process.ErrChanged
	}
	if err := g.Check(); err != nil {
		return err
	}
	return g.Signal(s)
}

// state returns the app of a master as it is now, also under another name.
// [process.ErrChanged]: the master has ended. Another error: it is of no known app, or the
// processes cannot be read.
func (r *Action) state(ctx context.Context, name string, master procid.Identity) (*discovery.App, error) {
	snap, err := r.d.Processes.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	app := workers.FindApp(snap, name)
	if app == nil || app.PID != master.PID {
		app = appOf(snap, master)
	}
	switch {
	case !master.Alive(r.d.ProcRoot):
		return nil, process.ErrChanged
	case app == nil:
		return nil, fmt.Errorf("process %d no longer belongs to a known app", master.PID)
	}
	return app, nil
}

// appOf returns the app of a master by its pid; nil if there is none.
func appOf(snap *discovery.Snapshot, master procid.Identity) *discovery.App {
	for i := range snap.Apps {
		if snap.Apps[i].PID == master.PID {
			return &snap.Apps[i]
		}
	}
	return nil
}
