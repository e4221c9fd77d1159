package recycleworker

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/importcheck"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/proc"
)

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

// Apply implements [action.Action]. The app is imported first, where that is needed.
// Then all is read once more with the worker in hand.
func (r *Action) Apply(ctx context.Context, p action.Plan) (int, error) {
	t, ok := p.Private.(*recycling)
	if !ok {
		return 0, action.ErrNotPlanned
	}
	g, err := process.Open(r.d.ProcRoot, t.worker)
	if err != nil {
		return 0, err
	}
	defer g.Close()
	if err := r.tryImport(ctx, t); err != nil {
		return 0, err
	}
	sure, err := r.again(ctx, t)
	if err != nil {
		return 0, err
	}
	if err := g.Check(); err != nil {
		return 0, err
	}
	if err := g.Signal(graceful(t.server)); err != nil {
		return 0, err
	}
	if r.c.Pick != config.PickStuck || g.Ended(ctx, t.grace+afterGrace) {
		return 1, nil
	}
	return 1, r.endHard(ctx, g, sure, t)
}

// endHard ends a stuck worker that did not end by itself: its request would never
// end either. It must be the proved process still before each signal.
func (r *Action) endHard(ctx context.Context, g *process.Handle, sure *proven, t *recycling) error {
	for _, s := range []syscall.Signal{hard(t.server), syscall.SIGKILL} {
		if ctx.Err() != nil {
			return fmt.Errorf("the stuck worker has not ended yet: %w", ctx.Err())
		}
		err := sure.still(r.d.ProcRoot, t.worker.PID)
		if err == nil {
			err = g.Signal(s)
		}
		if err != nil && !g.Ended(ctx, time.Second) {
			return err
		}
		if g.Ended(ctx, hardStep) {
			return nil
		}
	}
	return errors.New("the stuck worker does not even end by SIGKILL: it waits inside of the kernel")
}

// tryImport imports the app as its next worker would, unless its master has
// loaded it. What stands in the way is a refusal.
func (r *Action) tryImport(ctx context.Context, t *recycling) error {
	check, refused, err := r.importer(t).Prepare()
	defer check.Close()
	switch {
	case err != nil:
		return err
	case refused == "" && check != nil:
		refused = importcheck.Run(ctx, check)
	}
	if refused != "" {
		return action.Refusal(refused)
	}
	return nil
}

// again reads right before whether all is still as planned, with the proof of
// that moment.
func (r *Action) again(ctx context.Context, t *recycling) (*proven, error) {
	snap, err := r.d.Processes.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	app := appIn(snap, t.app)
	if app == nil || app.PID != t.master.PID || !t.master.Alive(r.d.ProcRoot) {
		return nil, process.ErrChanged
	}
	victim, known, refused, err := r.choose(ctx, app)
	switch {
	case err != nil:
		return nil, err
	case refused != "":
		return nil, action.Refusal(refused)
	case victim == nil:
		return nil, errors.New("there is nothing to do any more")
	case known.family.Master.Start != t.master.Start || known.family.Children[t.worker.PID].Start != t.worker.Start || !known.workers[t.worker.PID]:
		return nil, process.ErrChanged
	case r.c.Pick == config.PickLargest:
		return known, nil // two of about the same size may change places
	case victim.worker.PID != t.worker.PID:
		return nil, process.ErrChanged
	}
	return known, nil
}
