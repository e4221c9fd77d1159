// Package waits reports what each worker does and what it waits for: from the
// system calls of its threads, its accepted connections and, for gunicorn, its
// heartbeat file. It never stops, traces or changes a process.
package waits

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/procid"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/calls"
)

// Inspector inspects workers; it is a [discovery.Inspector].
type Inspector struct {
	table       *table.Table
	threads     *threadReader
	namespaces  *conns.Namespaces
	connections *conns.Sampler
	unresolved  []unresolvedWait  // since the last Finish
	sampler     *sampling.Sampler // nil: none
}

// New returns an Inspector over the parts of a watcher, without a sampler.
func New(p discovery.Parts) discovery.Inspector { return newInspector(p) }

// WithSampler returns a constructor like New whose inspectors register each worker with a
// slot at the sampler s.
func WithSampler(s *sampling.Sampler) func(discovery.Parts) discovery.Inspector {
	return func(p discovery.Parts) discovery.Inspector {
		w := newInspector(p)
		w.sampler, w.threads.now.Sampler = s, s
		return w
	}
}

// newInspector returns what New does, as its concrete type.
func newInspector(p discovery.Parts) *Inspector {
	return &Inspector{
		table: p.Table, namespaces: p.Namespaces, connections: p.Connections,
		threads: &threadReader{table: p.Table, now: calls.Reader{FS: p.Table.FS}, calls: procfs.NewSyscallReader(p.Table.FS)},
	}
}

// trackerFor returns the tracker of a worker, which in keeps. It makes one at the first
// inspection.
func trackerFor(in *discovery.Inspected) *tracker {
	s, ok := in.Tracker.(*tracker)
	if !ok {
		s = new(tracker)
		in.Tracker = s
	}
	return s
}

// Inspect sets the state of a worker, see [discovery.Inspector]. An error that
// [procfs.Gone] reports: the process has ended, and x is not changed. With any other the
// state is not known.
func (w *Inspector) Inspect(ctx context.Context, in *discovery.Inspected, x *discovery.Worker) error {
	s := trackerFor(in)
	l, err := w.sampleWorker(ctx, in, s)
	if procfs.Gone(err) {
		return err
	}
	x.Heartbeat, x.HasBeat, x.HeartbeatFD = l.heartbeat.Age, l.heartbeat.Known, in.Process.FDs().Heartbeat
	x.State, x.For = s.update(&l, in.Now)
	x.Detail, x.Requests, x.Spare = l.detail(x.State), l.inflight.n, l.hasSpareThread(x.State, in.Process.Program.Threads)
	x.Wait = w.waitOf(in.App, in.Process, s, &l, x, in.Now)
	if w.sampler != nil && err == nil {
		r := registration(in, s, &l, x.Slot)
		if r.Known && r.InFlight == 0 && s.hasLoop(in, &l) {
			r.Pending = w.pending(ctx, in, s, l)
		}
		x.RequestThreads = w.sampler.Register(r)
	}
	return err
}

// registration returns what the sampler has to know of a worker: its process, app, server
// and listeners, and the requests in flight.
func registration(in *discovery.Inspected, s *tracker, l *sample, slot int) sampling.Registration {
	a, p := in.App, in.Process
	return sampling.Registration{
		PID: p.PID, Start: p.Start, Owner: a.Owner, App: a.Name, Slot: slot, Server: a.Server, Class: p.Program.Class, Threads: p.Program.Threads, Sync: s.sync,
		Listening: listeningFDs(a, p), Known: l.noneInflight() || l.inflight.known, InFlight: l.inflight.n, Pending: l.inflight.pending,
	}
}

// hasLoop reports whether the main thread of a worker is in the poll of an event loop that
// serves requests. false for servers other than uvicorn, hypercorn and gunicorn, and for
// gunicorn's sync workers and those with threads.
func (s *tracker) hasLoop(in *discovery.Inspected, l *sample) bool {
	switch in.App.Server {
	case cmdline.Uvicorn, cmdline.Hypercorn:
	case cmdline.Gunicorn:
		if s.sync || in.Process.Program.Threads > 1 || in.Process.Program.Class == "gthread" {
			return false
		}
	default:
		return false
	}
	return l.main.accepts
}

// pending reports whether a worker whose threads show no request has a connection without
// its answer: requests of an event loop wait without a thread. False also if its
// connections cannot be read. It works on copies: the worker's state does not depend on
// it.
func (w *Inspector) pending(ctx context.Context, in *discovery.Inspected, s *tracker, l sample) bool {
	own := *s
	own.sockets, own.inflight, own.checked = maps.Clone(s.sockets), nil, time.Time{}
	l.others = slices.Clone(l.others)
	w.countInflight(ctx, in, &own, &l)
	return l.inflight.pending
}

// State returns the state of a worker that has no slot yet, see [discovery.Inspector]; with
// an error, StateUnknown. An error that [procfs.Gone] reports: the process has ended.
func (w *Inspector) State(ctx context.Context, in *discovery.Inspected) (discovery.State, error) {
	s := trackerFor(in)
	l, err := w.sampleWorker(ctx, in, s)
	if procfs.Gone(err) {
		return discovery.StateUnknown, err
	}
	state, _ := s.update(&l, in.Now)
	return state, err
}

// sampleWorker returns a sample of a worker. With an error the sample is not readable:
// [discovery.ErrAllowance] if the CPU time of the worker's user for this scan is used up.
func (w *Inspector) sampleWorker(ctx context.Context, in *discovery.Inspected, s *tracker) (sample, error) {
	a, p, now := in.App, in.Process, in.Now
	if !w.table.Budget.TrySpend(a.Owner, table.CostThread, 1+min(p.Stat.Threads, table.MaxThreads)) {
		return sample{}, discovery.ErrAllowance
	}
	l, err := w.threads.read(p, s, a.Server, listeningFDs(a, p), now)
	if err != nil {
		return sample{}, err
	}
	if fd := p.FDs().Heartbeat; fd >= 0 {
		l.heartbeat = procid.ReadHeartbeat(w.table.FS.Root, p.PID, fd, now)
	}
	l.age, l.stuckAfter = now.Sub(w.table.StartTime(p)), in.Stuck
	l.sync = s.sync && l.heartbeat.Known && !s.idleAt.IsZero() && listenersHeld(a, p) == 1
	if !l.noneInflight() && !l.sync {
		w.countInflight(ctx, in, s, &l)
	} else {
		s.inflight = nil
	}
	return l, nil
}
