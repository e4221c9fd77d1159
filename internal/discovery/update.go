package discovery

import (
	"os"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

func pageSize() uint64 { return uint64(os.Getpagesize()) }

// update brings one app up to date: its tree, its workers in their slots, its
// listeners and its counters.
func (w *Watcher) update(a *app, now time.Time) {
	for _, p := range a.members {
		p.member = nil
	}
	a.members, a.workers, a.sockets, a.cut = nil, nil, nil, 0
	for _, root := range a.roots {
		w.table.know(root)
		w.collect(a, root)
		a.workers = append(a.workers, w.serving(root)...)
	}
	a.roots = slices.DeleteFunc(a.roots, func(p *process) bool { return p.member != a })
	if len(a.roots) == 0 {
		if a.lost.IsZero() {
			a.lost = now
		}
		if !a.established {
			a.since = time.Time{} // it begins again
		}
		a.workers = nil
		a.assign(a.workers, now)
		return
	}
	a.lost = time.Time{}
	if a.since.IsZero() {
		a.since = now
	}
	if !a.established && now.Sub(a.since) >= establishedAfter {
		a.established, w.namesChanged = true, true
	}
	a.workers = slices.DeleteFunc(a.workers, func(p *process) bool { return p.member != a })
	w.settleFiles(a, now)
	a.net = w.netOf(a.root())
	w.listenersOf(a, now)
	a.last = a.root()
	a.assign(a.workers, now)
	bySlot := make(map[*process]*slot, len(a.slots))
	for _, s := range a.slots {
		if s.p != nil {
			bySlot[s.p] = s
		}
	}
	a.count(now, bySlot)
}

// maxMembers bounds the processes counted for one app.
const maxMembers = 1024

// collect adds root and all below it to the app, the nearest first, reading each
// one's stat; one that ended meanwhile is left out, and so is what is over the
// bound of an app or the allowance of its user.
func (w *Watcher) collect(a *app, root *process) {
	for queue := []*process{root}; len(queue) > 0; queue = queue[1:] {
		p := queue[0]
		if p.member != nil {
			continue
		}
		if len(a.members) >= maxMembers || !w.table.costs.take(w.table.owns(root).Account, costMember, 1) {
			a.cut += len(queue)
			break
		}
		if !w.table.fresher(p) || p == root && p.ended() {
			continue
		}
		p.member = a
		a.members = append(a.members, p)
		queue = w.below(p, queue)
	}
	if a.cut > a.cutMost {
		w.table.unread += uint64(a.cut - a.cutMost)
		a.cutMost = a.cut
	}
}

// below appends the children of p that belong to its app.
func (w *Watcher) below(p *process, queue []*process) []*process {
	for _, kid := range w.table.kids[p.pid] {
		if !w.apart(p, kid) {
			queue = append(queue, kid)
		}
	}
	return queue
}

// apart reports whether a child is a server of its own that p merely started.
func (w *Watcher) apart(p, kid *process) bool {
	return w.roots[kid] || kid.ident.Known() && kid.ident.Server != p.ident.Server && len(w.holds(kid)) > 0
}

// settleFiles reads the descriptors of young gunicorn workers again until the
// one heartbeat file is found.
func (w *Watcher) settleFiles(a *app, now time.Time) {
	for _, p := range a.workers {
		w.table.know(p)
		if p.ident.Server == cmdline.Gunicorn && p.fds().heartbeat < 0 && p.fds().err == nil && now.Sub(p.firstSeen) < 2*time.Minute {
			w.table.readWithin(p)
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
		a.sockets = w.requests(a, a.sockets, now)
		return
	}
	if a.root().fds().err == nil {
		return
	}
	wants := cmdline.BindLabels(a.root().argv)
	for _, l := range a.net.Listeners {
		if slices.ContainsFunc(wants, func(want string) bool { return cmdline.ListensOn(want, sockdiag.Label(l)) }) {
			add(l)
		}
	}
}
