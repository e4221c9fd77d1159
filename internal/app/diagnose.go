package app

import (
	"context"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/doctor"
)

// Diagnose builds the exporter that the options describe, runs what its collectors read
// from, and returns what the doctor finds. It serves and logs nothing. Its error is that
// of [New], such as a configuration that cannot be loaded.
func Diagnose(ctx context.Context, o Options) (*doctor.Diagnosis, error) {
	o.Logger = nil   // what is wrong is in the result
	a, err := New(o) //nolint:contextcheck // a reload over HTTP has no context of its own
	if err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = runAll(run, a.sources()...) // its collector reports the failure
	}()
	defer func() { stop(); <-done }()
	return doctor.Examine(ctx, doctor.Subject{
		Config: *a.config.Load(), Flags: o.doctorFlags(), Collectors: a.set, Apps: a.apps, MySQL: a.mysql.server, Redis: a.redis.server, Inside: a.inside.Reports,
	}), nil
}

// apps returns the apps of a snapshot of the processes, also those that are down; or the error of that.
func (a *parts) apps(ctx context.Context) ([]discovery.App, error) {
	snap, err := a.watcher.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return snap.Apps, nil
}

// doctorFlags returns the flags that the doctor needs.
func (o *Options) doctorFlags() doctor.Flags {
	f := doctor.Flags{
		ConfigFile: o.ConfigFile, Off: o.Off, ProcRoot: o.ProcRoot, SysRoot: o.SysRoot, RootFS: o.RootFS, StateDir: o.StateDir, ControlDir: o.ControlDir,
		StatusPath: prefixed(o.RoutePrefix, "/api/v1/status"),
	}
	if w := o.Web; w != nil && w.WebListenAddresses != nil {
		f.Listen = *w.WebListenAddresses
		f.SystemdSocket = w.WebSystemdSocket != nil && *w.WebSystemdSocket
	}
	return f
}
