package recycleworker

import (
	"context"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/importcheck"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// target returns the worker and its master, and whether the app must be imported before.
// nil with a refusal: the worker may not be signalled, the timeout of the step is too
// short, or the check cannot be made.
func (r *Action) target(ctx context.Context, app *discovery.App, w discovery.Worker) (*target, action.Refusal, error) {
	t := &target{app: app.Name, server: app.Server, slot: w.Slot, grace: gracefulTimeout}
	var err error
	if t.worker, err = procid.Identify(r.d.ProcRoot, w.PID); err != nil {
		return nil, action.Refusal{}, err
	}
	if t.master, err = procid.Identify(r.d.ProcRoot, app.PID); err != nil {
		return nil, action.Refusal{}, err
	}
	if err := process.CheckSignalable(r.d.ProcRoot, w.PID); err != nil {
		return nil, action.Refuse(action.CodeNotSignalable, "%s", err), nil
	}
	if refused := t.readGrace(ctx, r); !refused.IsZero() {
		return nil, refused, nil
	}
	needed, refused, err := r.importer(t).Needed()
	if err != nil || !refused.IsZero() {
		return nil, refused, err
	}
	t.checkImport = needed
	return t, action.Refusal{}, nil
}

// importer returns the check whether the app of a target can be imported.
func (r *Action) importer(t *target) importcheck.Checker {
	return importcheck.Checker{Root: r.d.ProcRoot, Argv: r.c.ImportCheck, Server: t.server, Master: t.master, Worker: t.worker}
}

// readGrace sets how long a worker may take to end by itself: the 0 to 3600 s that the
// command line of its master has, else gracefulTimeout. A stuck one is killed after that;
// it returns a refusal when the timeout of the step is too short for both.
func (t *target) readGrace(ctx context.Context, r *Action) action.Refusal {
	option := "--graceful-timeout"
	if t.server == cmdline.UWSGI {
		option = "--worker-reload-mercy"
	}
	if l, err := procid.LaunchOf(r.d.ProcRoot, t.master.PID); err == nil {
		if n, err := strconv.Atoi(cmdline.Option(l.Argv, option)); err == nil && n >= 0 && n <= 3600 {
			t.grace = time.Duration(n) * time.Second
		}
	}
	need := t.grace + graceMargin + 2*terminateStep
	if end, ok := ctx.Deadline(); ok && r.c.Pick == config.PickStuck && time.Until(end) < need-time.Second {
		return action.Refuse(action.CodeTimeoutShort, "the step needs a timeout of %s or more: a stuck worker has %s to end and is then killed", need, t.grace+graceMargin)
	}
	return action.Refusal{}
}
