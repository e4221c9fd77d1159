package discovery

import (
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// above returns the parent of p if it belongs to the same app. A known server
// does not belong to a script that started it.
func (w *Watcher) above(p *table.Process) *table.Process {
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
	if w.share(p, q) && !launched(p, q) || w.forked(p, q) {
		return q
	}
	return nil
}

// forked reports whether p is a gunicorn worker that listens on a socket of its
// own (--reuse-port), which its master does not have.
func (w *Watcher) forked(p, q *table.Process) bool {
	return p.Program.Server == cmdline.Gunicorn && q.Program.Server == cmdline.Gunicorn && (p.Program.Worker && q.Program.Master || slices.Equal(p.Argv, q.Argv)) &&
		w.table.Owner(p).Account == w.table.Owner(q).Account
}

// top returns the topmost process of the app that p belongs to.
func (w *Watcher) top(p *table.Process) *table.Process {
	for q := w.above(p); q != nil; q = w.above(p) {
		p = q
	}
	return p
}

// undecided reports whether the parent of p may turn out to be its master once
// its turn to be read has come.
func (w *Watcher) undecided(p *table.Process) bool {
	q := w.table.Processes[p.Stat.PPID]
	if q == nil {
		_, late := w.table.Deferred[p.Stat.PPID]
		return late
	}
	return w.candidate(q) && !q.FDs().Known
}

// launched reports whether p is another program than its parent, which only
// started it: both are scripts, and not the same one.
func launched(p, q *table.Process) bool {
	return p.Program.Server == cmdline.Script && q.Program.Server == cmdline.Script && p.Program.Script != q.Program.Script &&
		p.Program.Script != "python" && !cmdline.Spawned(p.Argv) && !q.Accepts
}

// standsBy reports whether a script only keeps the listening sockets of the
// servers that it started, each of them a root and the same user's: then it is no
// app.
func (w *Watcher) standsBy(q *table.Process, roots map[*table.Process]bool) bool {
	if q.Program.Known() || q.FDs().Err != nil || q.Accepts || len(w.table.Children[q.PID]) == 0 && len(q.Handed) == 0 || len(w.holds(q)) == 0 {
		return false
	}
	return !slices.ContainsFunc(w.holds(q), func(l sockdiag.Listener) bool { return !w.handedOn(q, l, roots) })
}

// handedOn reports whether a child of q that is an app of its own holds q's
// socket, or once did: its successor will.
func (w *Watcher) handedOn(q *table.Process, l sockdiag.Listener, roots map[*table.Process]bool) bool {
	if q.Handed[l.Inode] {
		return true
	}
	has := slices.ContainsFunc(w.table.Children[q.PID], func(kid *table.Process) bool {
		return roots[kid] && kid.Holds(l) && w.table.Owner(kid).Account == w.table.Owner(q).Account && !w.table.Owner(kid).Changed
	})
	if has && q.Handed == nil {
		q.Handed = make(map[uint64]bool)
	}
	if has && len(q.Handed) < maxListeners {
		q.Handed[l.Inode] = true
	}
	return has
}
