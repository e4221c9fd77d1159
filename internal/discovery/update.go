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

// update brings one app up to date: its tree, its workers in their slots, its
// listeners and its counters.
func (w *Watcher) update(a *app, now time.Time) {
	for _, p := range a.members {
		p.Member = nil
	}
	a.members, a.workers, a.sockets, a.cut = nil, nil, nil, 0
	for _, root := range a.roots {
		w.table.ReadOnce(root)
		w.collect(a, root)
		a.workers = append(a.workers, w.serving(root)...)
	}
	a.roots = slices.DeleteFunc(a.roots, func(p *table.Process) bool { return p.Member != a })
	if len(a.roots) == 0 {
		if a.lost.IsZero() {
			a.lost = now
		}
		if !a.established {
			a.since = time.Time{} // it begins again
		}
		a.workers = nil
		a.Assign(a.workers, now)
		return
	}
	a.lost = time.Time{}
	if a.since.IsZero() {
		a.since = now
	}
	if !a.established && now.Sub(a.since) >= establishedAfter {
		a.established, w.namesChanged = true, true
	}
	a.workers = slices.DeleteFunc(a.workers, func(p *table.Process) bool { return p.Member != a })
	w.settleFiles(a, now)
	a.net = w.netOf(a.root())
	w.listenersOf(a, now)
	a.last = a.root()
	a.Assign(a.workers, now)
	bySlot := make(map[*table.Process]*slots.Slot, len(a.Slots))
	for _, s := range a.Slots {
		if s.Process != nil {
			bySlot[s.Process] = s
		}
	}
	a.count(now, bySlot)
}

// maxMembers bounds the processes counted for one app.
const maxMembers = 1024

// collect adds root and all below it to the app, the nearest first, reading each
// one's stat; one that ended meanwhile is left out, and so is what is over the
// bound of an app or the allowance of its user.
func (w *Watcher) collect(a *app, root *table.Process) {
	for queue := []*table.Process{root}; len(queue) > 0; queue = queue[1:] {
		p := queue[0]
		if p.Member != nil {
			continue
		}
		if len(a.members) >= maxMembers || !w.table.Budget.Take(w.table.Owner(root).Account, table.CostMember, 1) {
			a.cut += len(queue)
			break
		}
		if !w.table.RereadStat(p) || p == root && p.Ended() {
			continue
		}
		p.Member = a
		a.members = append(a.members, p)
		queue = w.below(p, queue)
	}
	if a.cut > a.cutMost {
		w.table.SkippedProcesses += uint64(a.cut - a.cutMost)
		a.cutMost = a.cut
	}
}

// below appends the children of p that belong to its app.
func (w *Watcher) below(p *table.Process, queue []*table.Process) []*table.Process {
	for _, kid := range w.table.Children[p.PID] {
		if !w.apart(p, kid) {
			queue = append(queue, kid)
		}
	}
	return queue
}

// apart reports whether a child is a server of its own that p merely started.
func (w *Watcher) apart(p, kid *table.Process) bool {
	return w.roots[kid] || kid.Program.Known() && kid.Program.Server != p.Program.Server && len(w.holds(kid)) > 0
}

// settleFiles reads the descriptors of young gunicorn workers again until the
// one heartbeat file is found.
func (w *Watcher) settleFiles(a *app, now time.Time) {
	for _, p := range a.workers {
		w.table.ReadOnce(p)
		if p.Program.Server == cmdline.Gunicorn && p.FDs().Heartbeat < 0 && p.FDs().Err == nil && now.Sub(p.FirstSeen) < 2*time.Minute {
			w.table.ReadDescriptors(p)
		}
	}
}

// listenersOf gathers the listening sockets at which the app takes requests, of
// those that its masters and workers hold; where we may not look, those that the
// command line asks for.
func (w *Watcher) listenersOf(a *app, now time.Time) {
	seen := make(map[uint64]bool)
	add := func(l sockdiag.Listener) {
		if !seen[l.Inode] {
			seen[l.Inode] = true
			a.sockets = append(a.sockets, l)
		}
	}
	for _, p := range append(slices.Clone(a.roots), a.workers...) {
		for _, l := range w.holds(p) {
			if !w.handedOn(p, l, w.roots) {
				add(l)
			}
		}
	}
	if len(a.sockets) > 0 {
		a.sockets = a.purposes.Requests(w.r, listeners.Tree{Members: a.members, Roots: a.roots, Workers: a.workers}, a.sockets, now)
		return
	}
	if a.root().FDs().Err == nil {
		return
	}
	wants := cmdline.BindLabels(a.root().Argv)
	for _, l := range a.net.Listeners {
		if slices.ContainsFunc(wants, func(want string) bool { return cmdline.ListensOn(want, sockdiag.Label(l)) }) {
			add(l)
		}
	}
}
