package recycleworker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/importcheck"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/heal/workers"
)

// gracefulSignal returns the signal after which a worker finishes its requests and ends:
// HUP for uWSGI, whose workers drop their requests on a TERM; TERM for gunicorn, whose
// workers die of a HUP.
func gracefulSignal(s cmdline.Server) syscall.Signal {
	if s == cmdline.UWSGI {
		return syscall.SIGHUP
	}
	return syscall.SIGTERM
}

// hardSignal returns the signal after which a worker that hangs ends at once, if it still
// can: TERM for uWSGI, ABRT for gunicorn.
func hardSignal(s cmdline.Server) syscall.Signal {
	if s == cmdline.UWSGI {
		return syscall.SIGTERM
	}
	return syscall.SIGABRT
}

// Apply implements [action.Action]. It returns 1 once the worker was signalled, also if a
// stuck one has not ended after all signals, which is an error. The app is imported first,
// where that is needed. Then everything is read again with the worker's descriptor open.
func (r *Action) Apply(ctx context.Context, p action.Plan) (int, error) {
	t, ok := p.Private.(*target)
	if !ok {
		return 0, action.ErrNotPlanned
	}
	g, err := process.Open(r.d.ProcRoot, t.worker)
	if err != nil {
		return 0, err
	}
	defer g.Close()
	if err := r.checkImport(ctx, t); err != nil {
		return 0, err
	}
	sure, err := r.recheck(ctx, t)
	if err != nil {
		return 0, err
	}
	if err := g.Check(); err != nil {
		return 0, err
	}
	if r.d.Recycling != nil {
		r.d.Recycling(t.worker.PID)
	}
	if err := g.Signal(gracefulSignal(t.server)); err != nil {
		return 0, err
	}
	if r.c.Pick != config.PickStuck || g.WaitEnded(ctx, t.grace+graceMargin) {
		return 1, nil
	}
	return 1, r.terminate(ctx, g, sure, t)
}

// terminate ends a stuck worker that did not end by itself: its request would never end
// either. Before each signal it must still be the proved process. nil: it has ended. An
// error: it has not, or has been replaced.
func (r *Action) terminate(ctx context.Context, g *process.Handle, sure *workers.Proven, t *target) error {
	for _, s := range []syscall.Signal{hardSignal(t.server), syscall.SIGKILL} {
		if ctx.Err() != nil {
			return fmt.Errorf("the stuck worker has not ended yet: %w", ctx.Err())
		}
		err := sure.CheckSame(r.d.ProcRoot, t.worker.PID)
		if err == nil {
			err = g.Signal(s)
		}
		if err != nil && !g.WaitEnded(ctx, time.Second) {
			return err
		}
		if g.WaitEnded(ctx, terminateStep) {
			return nil
		}
	}
	return errors.New("the stuck worker has not ended after SIGKILL: it is blocked in the kernel")
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

// recheck reads again whether the plan holds, and returns the proof of that moment.
// [process.ErrChanged]: the app, the master or the worker is another, or the worst worker, unless
// pick is largest or leaking. A [action.Refusal]: none may be recycled, or the worker only waits.
// Another error: it cannot be read, or no worker is to be recycled any more.
func (r *Action) recheck(ctx context.Context, t *target) (*workers.Proven, error) {
	snap, err := r.d.Processes.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	app := workers.FindApp(snap, t.app)
	if app == nil || app.PID != t.master.PID || !t.master.Alive(r.d.ProcRoot) {
		return nil, process.ErrChanged
	}
	victim, known, refused, err := r.choose(ctx, app)
	switch {
	case err != nil:
		return nil, err
	case !refused.IsZero():
		return nil, refused
	case victim == nil:
		return nil, errors.New("nothing left to do")
	case known.Family.Master.Start != t.master.Start || known.Family.Children[t.worker.PID].Start != t.worker.Start || !known.Workers[t.worker.PID]:
		return nil, process.ErrChanged
	case r.c.Pick == config.PickLargest || r.c.Pick == config.PickLeaking: // two of about the same value may change places
		return known, r.checkNoVictim(ctx, t)
	case victim.worker.PID != t.worker.PID:
		return nil, process.ErrChanged
	}
	return known, nil
}

// checkNoVictim returns a [action.Refusal] if the planned worker only waits for somebody
// else by now, nil if it does not or that cannot be asked.
func (r *Action) checkNoVictim(ctx context.Context, t *target) error {
	if r.d.Victims == nil {
		return nil
	}
	if why := r.d.Victims(ctx).WhyWorker(t.app, strconv.Itoa(t.slot), t.worker.PID); why != "" {
		return action.Refuse(action.CodeVictim, "worker %d of %s only waits for somebody else: %s", t.slot, t.app, why)
	}
	return nil
}
