package discovery

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/slots"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// buildSnapshot returns a snapshot of the apps, each worker inspected.
func (w *Watcher) buildSnapshot(ctx context.Context, now time.Time) *Snapshot {
	s := &Snapshot{Time: now, Dropped: w.rejectedApps, Celery: w.celeryWorkers(), DroppedFDs: w.table.SkippedFDs,
		DroppedProcesses: w.table.SkippedProcesses, RefusedSettings: w.namer.Refused(), LeftOut: w.rejectedUsers()}
	for _, a := range w.apps {
		s.Apps = append(s.Apps, w.buildApp(ctx, a, now))
	}
	if w.inspector != nil {
		w.inspector.Finish(ctx, w.scan())
	}
	slices.SortFunc(s.Apps, func(x, y App) int { return cmp.Compare(x.Name, y.Name) })
	return s
}

// buildApp returns the snapshot of one app; of one that is down only its name and counters.
func (w *Watcher) buildApp(ctx context.Context, a *app, now time.Time) App {
	out := App{
		Name: a.name, Configured: a.matchIndex >= 0, Restarts: float64(a.Restarts), Unslotted: len(a.Waiting), Dropped: a.Dropped,
		Strangers: a.strangers, MatchErr: a.matchErr, UID: uint32(a.owner), Cut: a.skipped, User: float64(a.cpu.User) / procfs.TicksPerSecond, System: float64(a.cpu.System) / procfs.TicksPerSecond, FDs: -1,
	}
	root := a.root()
	if root == nil {
		return out
	}
	out.Up, out.PID, out.Start = true, root.PID, w.table.StartTime(root)
	out.Server, out.Class = cmp.Or(root.Program.Server, cmdline.Other), root.Program.Class
	out.CPU, out.CPUKnown = a.rate.PerSecond(now)
	out.Listeners, out.NetNS = a.listeners, a.namespace.Inode
	if a.namespace.Err != nil {
		out.QueueErr = a.namespace.Err
	}
	for _, p := range a.members {
		out.Threads += p.Stat.Threads
		out.FDsCut = out.FDsCut || p.FDs().Skipped > 0
		pr := Process{PID: p.PID, RSS: p.Stat.RSS * procfs.PageSize()}
		var err error
		if pr.Memory, pr.Taken, err = w.memory.Of(p.PID, p.Start); err != nil {
			out.MemoryErr = err
		}
		out.Processes = append(out.Processes, pr)
		w.countFiles(&out, p, now)
	}
	out.Workers = w.buildWorkers(ctx, a, &out, now)
	w.countArrived(ctx, a, &out, now)
	if !slices.ContainsFunc(a.Slots, func(s *slots.Slot) bool { return s.Process != nil && (s.State == nil || !s.State.Unready()) }) && out.Arrived[Idle]+out.Arrived[Busy]+out.Arrived[Stuck] == 0 {
		out.Unready = a.Unready.Count(now)
	}
	return out
}

// countFiles reads how many files a process has open, or −1, and sets those of the app if this
// process is the nearest to its limit: the limit applies to each process.
func (w *Watcher) countFiles(out *App, p *table.Process, now time.Time) {
	n, err := w.table.CountFDs(p.PID)
	if denied := cmp.Or(err, p.FDs().Err); procfs.Denied(denied) {
		out.FDsErr = denied // also where they can be counted, but not read
	}
	if err != nil {
		p.Usage().Open = -1
		return
	}
	p.Usage().Open = n
	limit := w.table.MaxFiles(p, now)
	if out.FDs < 0 || nearness(n, limit) > nearness(out.FDs, out.MaxFDs) {
		out.FDs, out.MaxFDs = n, limit
	}
}

// nearness returns the part of the limit that is used; 0 without a limit.
func nearness(n int, limit uint64) float64 {
	if limit == 0 {
		return 0
	}
	return float64(n) / float64(limit)
}

// buildWorkers returns the workers that have a slot, by slot, without those that ended just now.
func (w *Watcher) buildWorkers(ctx context.Context, a *app, out *App, now time.Time) []Worker {
	var ws []Worker
	for i, s := range a.Slots {
		if s.Process == nil {
			continue
		}
		p := s.Process
		x := Worker{
			Slot: i, Start: w.table.StartTime(p), CPUTime: float64(s.CPU.User+s.CPU.System) / procfs.TicksPerSecond,
			Threads: p.Stat.Threads, FDs: p.Usage().Open, MaxFDs: p.Usage().Files.Max,
		}
		if j := slices.IndexFunc(out.Processes, func(q Process) bool { return q.PID == p.PID }); j >= 0 {
			x.Process = out.Processes[j]
		}
		x.CPU, x.CPUKnown = s.Rate.PerSecond(now)
		ws = append(ws, x)
		err := w.inspect(ctx, a, s, &ws[len(ws)-1], now)
		if procfs.Gone(err) {
			ws = ws[:len(ws)-1] // it ended just now; its slot is free at the next scan
			continue
		}
		out.note(err)
	}
	return ws
}

// note records why the state of a worker is not known.
func (out *App) note(err error) {
	switch {
	case errors.Is(err, ErrAllowance):
		out.Cut++
	case procfs.Denied(err):
		out.StateErr = err
	}
}

// inspect sets in x what the worker in a slot does now, and the slot's state of inspection;
// neither without an inspector. ErrAllowance: not inspected, for want of CPU time.
func (w *Watcher) inspect(ctx context.Context, a *app, s *slots.Slot, x *Worker, now time.Time) error {
	if w.inspector == nil {
		return nil
	}
	in := w.toInspect(a, s.Process, s.State, now)
	err := w.inspector.Inspect(ctx, in, x)
	s.State = in.Tracker
	return err
}

// countArrived adds to out the states of the workers that have no slot yet.
func (w *Watcher) countArrived(ctx context.Context, a *app, out *App, now time.Time) {
	for _, p := range a.workers {
		arrived := a.Waiting[p]
		if arrived == nil || w.inspector == nil {
			continue
		}
		in := w.toInspect(a, p, arrived.State, now)
		state, err := w.inspector.State(ctx, in)
		arrived.State = in.Tracker
		if procfs.Gone(err) {
			continue
		}
		if errors.Is(err, ErrAllowance) {
			out.Cut++
		}
		if out.Arrived == nil {
			out.Arrived = make(map[State]int)
		}
		out.Arrived[state]++
	}
}

// toInspect returns what an inspection of a process needs to know. It is valid until the next
// call.
func (w *Watcher) toInspect(a *app, p *table.Process, t slots.Tracker, now time.Time) *Inspected {
	w.inspectedApp = InspectedApp{Name: a.name, Owner: a.owner, Server: cmp.Or(a.root().Program.Server, cmdline.Other), Listeners: a.listeners, Namespace: a.namespace}
	w.inspected = Inspected{App: &w.inspectedApp, Process: p, Tracker: t, Scan: w.scan(), Stuck: cmp.Or(w.stuckOf[a.name], w.stuck), Now: now}
	return &w.inspected
}
