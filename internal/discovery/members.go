package discovery

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/listeners"
	"github.com/resp-exporter/resp-exporter/internal/discovery/slots"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// update sets what a scan knows of one app: its process tree, its workers in their slots, its
// listeners and its counters.
func (w *Watcher) update(a *app, now time.Time) {
	for _, p := range a.members {
		p.Member = nil
	}
	a.members, a.workers, a.listeners, a.skipped = nil, nil, nil, 0
	for _, root := range a.roots {
		w.table.ReadOnce(root)
		w.collectMembers(a, root)
		a.workers = append(a.workers, w.workersOf(root)...)
	}
	a.roots = slices.DeleteFunc(a.roots, func(p *table.Process) bool { return p.Member != a })
	if len(a.roots) == 0 {
		if a.downSince.IsZero() {
			a.downSince = now
		}
		if !a.established {
			a.since = time.Time{} // it begins again
		}
		a.workers = nil
		a.Assign(a.workers, now)
		return
	}
	a.downSince = time.Time{}
	if a.since.IsZero() {
		a.since = now
	}
	if !a.established && now.Sub(a.since) >= establishedAfter {
		a.established, w.namesChanged = true, true
	}
	a.workers = slices.DeleteFunc(a.workers, func(p *table.Process) bool { return p.Member != a })
	w.rereadHeartbeats(a, now)
	a.namespace = w.netOf(a.root())
	w.updateListeners(a, now)
	a.last = a.root()
	a.Assign(a.workers, now)
	bySlot := make(map[*table.Process]*slots.Slot, len(a.Slots))
	for _, s := range a.Slots {
		if s.Process != nil {
			bySlot[s.Process] = s
		}
	}
	a.countCPU(now, bySlot)
}

// maxMembers is how many processes of one app are read.
const maxMembers = 1024

// collectMembers adds root and its descendants to the app, the nearest first, with the stat of
// each. One that has ended is left out. Those beyond a bound are counted in a.skipped.
func (w *Watcher) collectMembers(a *app, root *table.Process) {
	for queue := []*table.Process{root}; len(queue) > 0; queue = queue[1:] {
		p := queue[0]
		if p.Member != nil {
			continue
		}
		if len(a.members) >= maxMembers || !w.table.Budget.TrySpend(w.table.Owner(root).Account, table.CostMember, 1) {
			a.skipped += len(queue)
			break
		}
		if !w.table.RereadStat(p) || p == root && p.Ended() {
			continue
		}
		p.Member = a
		a.members = append(a.members, p)
		queue = w.appendChildren(p, queue)
	}
	if a.skipped > a.skippedMost {
		w.table.SkippedProcesses += uint64(a.skipped - a.skippedMost)
		a.skippedMost = a.skipped
	}
}

// appendChildren appends to queue the children of p that belong to its app, and returns it.
func (w *Watcher) appendChildren(p *table.Process, queue []*table.Process) []*table.Process {
	for _, kid := range w.table.Children[p.PID] {
		if !w.isSeparate(p, kid) {
			queue = append(queue, kid)
		}
	}
	return queue
}

// isSeparate reports whether a child is a server of its own that p merely started: a root,
// or a known server of another kind that is known to listen.
func (w *Watcher) isSeparate(p, kid *table.Process) bool {
	return w.roots[kid] || kid.Program.Known() && kid.Program.Server != p.Program.Server && len(w.listenersOf(kid)) > 0
}

// rereadHeartbeats reads the descriptors of young gunicorn workers again, at each call until
// the heartbeat file is found.
func (w *Watcher) rereadHeartbeats(a *app, now time.Time) {
	for _, p := range a.workers {
		w.table.ReadOnce(p)
		if p.Program.Server == cmdline.Gunicorn && p.FDs().Heartbeat < 0 && p.FDs().Err == nil && now.Sub(p.FirstSeen) < 2*time.Minute {
			w.table.ReadDescriptors(p)
		}
	}
}

// updateListeners sets the listening sockets at which the app takes requests: those that its
// masters and workers have open or, if that may not be read, that the command line names.
func (w *Watcher) updateListeners(a *app, now time.Time) {
	seen := make(map[uint64]bool)
	add := func(l sockdiag.Listener) {
		if !seen[l.Inode] {
			seen[l.Inode] = true
			a.listeners = append(a.listeners, l)
		}
	}
	for _, p := range append(slices.Clone(a.roots), a.workers...) {
		for _, l := range w.listenersOf(p) {
			if !w.isHandedOn(p, l, w.roots) {
				add(l)
			}
		}
	}
	if len(a.listeners) > 0 {
		a.listeners = a.purposes.Requests(w.table, listeners.ProcessTree{Members: a.members, Roots: a.roots, Workers: a.workers}, a.listeners, now)
		return
	}
	if a.root().FDs().Err == nil {
		return
	}
	wants := cmdline.BindLabels(a.root().Argv)
	for _, l := range a.namespace.Listeners {
		if slices.ContainsFunc(wants, func(want string) bool { return cmdline.ListensOn(want, sockdiag.Label(l)) }) {
			add(l)
		}
	}
}
