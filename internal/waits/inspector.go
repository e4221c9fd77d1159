package waits

import (
	"context"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// Inspector reports what workers do.
type Inspector struct {
	table       *table.Table
	threads     *threadReader
	namespaces  *conns.Namespaces
	connections *conns.Sampler
	unresolved  []unresolvedWait // waits since the last Finish for sockets whose other ends are not read yet
}

// New returns an Inspector over the parts of a watcher.
func New(p discovery.Parts) discovery.Inspector { return newInspector(p) }

func newInspector(p discovery.Parts) *Inspector {
	return &Inspector{
		table: p.Table, namespaces: p.Namespaces, connections: p.Connections,
		threads: &threadReader{table: p.Table, calls: procfs.NewSyscallReader(p.Table.FS)},
	}
}

// trackerFor returns what is kept of a worker.
func trackerFor(in *discovery.Inspected) *tracker {
	s, ok := in.Tracker.(*tracker)
	if !ok {
		s = new(tracker)
		in.Tracker = s
	}
	return s
}

// Inspect sets what a worker does.
func (w *Inspector) Inspect(ctx context.Context, in *discovery.Inspected, x *discovery.Worker) error {
	s := trackerFor(in)
	l, err := w.sampleWorker(ctx, in, s)
	if procfs.Gone(err) {
		return err
	}
	x.Heartbeat, x.HasBeat = l.heartbeat.age, l.heartbeat.ok
	x.State, x.For = s.judge(&l, in.Now)
	x.Detail, x.Requests, x.Spare = l.detail(x.State), l.inflight.n, l.hasSpareThread(x.State, in.Process.Program.Threads)
	x.Wait = w.waitOf(in.App, in.Process, s, &l, x, in.Now)
	return err
}

// State returns the state of a worker that has no slot yet.
func (w *Inspector) State(ctx context.Context, in *discovery.Inspected) (discovery.State, error) {
	s := trackerFor(in)
	l, err := w.sampleWorker(ctx, in, s)
	if procfs.Gone(err) {
		return discovery.StateUnknown, err
	}
	state, _ := s.judge(&l, in.Now)
	return state, err
}

// sampleWorker looks at a worker, unless its user's allowance for this
// look is used up: then its state is unknown.
func (w *Inspector) sampleWorker(ctx context.Context, in *discovery.Inspected, s *tracker) (sample, error) {
	a, p, now := in.App, in.Process, in.Now
	if !w.table.Budget.TrySpend(a.Owner, table.CostThread, 1+min(p.Stat.Threads, table.MaxThreads)) {
		return sample{}, discovery.ErrAllowance
	}
	l, err := w.threads.read(p, s, a.Server, listeningFDs(a, p), now)
	if err != nil {
		return sample{}, err
	}
	l.heartbeat = w.heartbeat(p, now)
	l.age, l.stuckAfter = now.Sub(w.table.StartTime(p)), in.Stuck
	l.sync = s.sync && l.heartbeat.ok && !s.idleAt.IsZero() && listenersHeld(a, p) == 1
	if !l.noneInflight() && !l.sync {
		w.countInflight(ctx, in, s, &l)
	} else {
		s.inflight = nil
	}
	return l, nil
}
