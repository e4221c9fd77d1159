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
	caller      *caller
	namespaces  *conns.Namespaces
	connections *conns.Sampler
	unnamed     []unnamed // waits since the last Finish for sockets whose other ends are not read yet
}

// New returns an Inspector over the parts of a watcher.
func New(p discovery.Parts) discovery.Inspector { return newInspector(p) }

func newInspector(p discovery.Parts) *Inspector {
	return &Inspector{
		table: p.Table, namespaces: p.Namespaces, connections: p.Connections,
		caller: &caller{t: p.Table, calls: procfs.NewSyscallReader(p.Table.FS)},
	}
}

// trackerOf returns what is kept of a worker.
func trackerOf(in *discovery.Inspected) *stateTracker {
	s, ok := in.Tracker.(*stateTracker)
	if !ok {
		s = new(stateTracker)
		in.Tracker = s
	}
	return s
}

// Inspect sets what a worker does.
func (w *Inspector) Inspect(ctx context.Context, in *discovery.Inspected, x *discovery.Worker) error {
	s := trackerOf(in)
	l, err := w.lookAt(ctx, in, s)
	if procfs.Gone(err) {
		return err
	}
	x.Heartbeat, x.HasBeat = l.beat.age, l.beat.ok
	x.State, x.For = s.judge(&l, in.Now)
	x.Detail, x.Requests, x.Spare = l.detail(x.State), l.hands.n, l.spare(x.State, in.Process.Program.Threads)
	x.Wait = w.waitOf(in.App, in.Process, s, &l, x, in.Now)
	return err
}

// State returns the state of a worker that has no slot yet.
func (w *Inspector) State(ctx context.Context, in *discovery.Inspected) (discovery.State, error) {
	s := trackerOf(in)
	l, err := w.lookAt(ctx, in, s)
	if procfs.Gone(err) {
		return discovery.StateUnknown, err
	}
	state, _ := s.judge(&l, in.Now)
	return state, err
}

// lookAt looks at a worker, unless its user's allowance for this
// look is used up: then its state is unknown.
func (w *Inspector) lookAt(ctx context.Context, in *discovery.Inspected, s *stateTracker) (look, error) {
	a, p, now := in.App, in.Process, in.Now
	if !w.table.Budget.Take(a.Owner, table.CostThread, 1+min(p.Stat.Threads, table.MaxThreads)) {
		return look{}, discovery.ErrAllowance
	}
	l, err := w.caller.look(p, s, a.Server, listening(a, p), now)
	if err != nil {
		return look{}, err
	}
	l.beat = w.heartbeat(p, now)
	l.age, l.stuckIn = now.Sub(w.table.StartTime(p)), in.Stuck
	l.sync = s.sync && l.beat.ok && !s.idleAt.IsZero() && held(a, p) == 1
	if !l.plain() && !l.sync {
		w.checkHands(ctx, in, s, &l)
	} else {
		s.hands = nil
	}
	return l, nil
}
