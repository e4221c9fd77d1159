package discovery

import (
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// parentInApp returns p's parent if both hold one listening socket and are not different scripts, p is its
// --reuse-port worker or, with sockets unreadable, both run one server; else nil, as for a server below a script.
func (w *Watcher) parentInApp(p *table.Process) *table.Process {
	q := w.table.Processes[p.Stat.PPID]
	if q == nil || q.Program.Aux || q.Ended() || !w.candidate(q) || p.Program.Known() && !q.Program.Known() {
		return nil
	}
	if p.FDs().Err != nil || q.FDs().Err != nil {
		if p.Program.Server == q.Program.Server {
			return q
		}
		return nil
	}
	if w.shareListener(p, q) && !isOtherScript(p, q) || w.isReusePortWorker(p, q) {
		return q
	}
	return nil
}

// isReusePortWorker reports whether p can be a gunicorn worker of q that has a socket of its own
// (--reuse-port): by their titles or equal command lines, and the account; no socket is looked at.
func (w *Watcher) isReusePortWorker(p, q *table.Process) bool {
	return p.Program.Server == cmdline.Gunicorn && q.Program.Server == cmdline.Gunicorn && (p.Program.Worker && q.Program.Master || slices.Equal(p.Argv, q.Argv)) &&
		w.table.Owner(p).Account == w.table.Owner(q).Account
}

// topOf returns the topmost process of the app that p belongs to; p if no parent belongs to it.
func (w *Watcher) topOf(p *table.Process) *table.Process {
	for q := w.parentInApp(p); q != nil; q = w.parentInApp(p) {
		p = q
	}
	return p
}

// undecided reports whether the parent of p may turn out to be its master once it
// is read.
func (w *Watcher) undecided(p *table.Process) bool {
	q := w.table.Processes[p.Stat.PPID]
	if q == nil {
		_, late := w.table.Deferred[p.Stat.PPID]
		return late
	}
	return w.candidate(q) && !q.FDs().Known
}

// isOtherScript reports whether p is another script than its parent, which only started it; false
// if the parent accepts connections, or p is a process of multiprocessing or has no script's name.
func isOtherScript(p, q *table.Process) bool {
	return p.Program.Server == cmdline.Script && q.Program.Server == cmdline.Script && p.Program.Script != q.Program.Script &&
		p.Program.Script != "python" && !cmdline.Spawned(p.Argv) && !q.Accepts
}

// keepsSocketsOnly reports whether a script only keeps listening sockets, each of them
// held, now or once, by a child that is a root of the same user: then it is no app. False
// if its descriptors cannot be read.
func (w *Watcher) keepsSocketsOnly(q *table.Process, roots map[*table.Process]bool) bool {
	if q.Program.Known() || q.FDs().Err != nil || q.Accepts || len(w.table.Children[q.PID]) == 0 && len(q.HandedOn) == 0 || len(w.listenersOf(q)) == 0 {
		return false
	}
	return !slices.ContainsFunc(w.listenersOf(q), func(l sockdiag.Listener) bool { return !w.isHandedOn(q, l, roots) })
}

// isHandedOn reports whether a child of q that is an app of its own, of the same user,
// holds q's socket, or once did: its successor will. It remembers the first maxListeners.
func (w *Watcher) isHandedOn(q *table.Process, l sockdiag.Listener, roots map[*table.Process]bool) bool {
	if q.HandedOn[l.Inode] {
		return true
	}
	has := slices.ContainsFunc(w.table.Children[q.PID], func(kid *table.Process) bool {
		return roots[kid] && kid.Holds(l) && w.table.Owner(kid).Account == w.table.Owner(q).Account && !w.table.Owner(kid).Changed
	})
	if has && q.HandedOn == nil {
		q.HandedOn = make(map[uint64]bool)
	}
	if has && len(q.HandedOn) < maxListeners {
		q.HandedOn[l.Inode] = true
	}
	return has
}
