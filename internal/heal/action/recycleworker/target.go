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

// target reads the processes, and how to check whether the next worker would start.
// nil: refused.
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
	check, refused, err := r.importer(t).Prepare() // read, and not run
	if err != nil {
		return nil, action.Refusal{}, err
	}
	defer check.Close()
	if t.checkImport = check != nil; !refused.IsZero() {
		return nil, refused, nil
	}
	return t, action.Refusal{}, nil
}

func (r *Action) importer(t *target) importcheck.Checker {
	return importcheck.Checker{Root: r.d.ProcRoot, Argv: r.c.ImportCheck, Server: t.server, Master: t.master, Worker: t.worker}
}

// readGrace sets how long a worker may take to end by itself. A stuck one is killed
// after that; it returns a refusal when the timeout of the step is too short for both.
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
