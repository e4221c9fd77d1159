package discovery

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// maxListeners bounds the listening sockets of one process.
const maxListeners = 1024

// holds returns the listening sockets that a process has open, in the order of
// their inodes, without those that are known to take no requests.
func (w *Watcher) holds(p *process) []sockdiag.Listener {
	d := p.opened
	if d != nil && d.held.look == w.look+1 {
		return d.held.list
	}
	n := w.netOf(p)
	if d == nil {
		return nil
	}
	out, dirty := d.held.list[:0], false
	for ino := range d.sockets {
		l, ok := n.Listeners[ino]
		switch {
		case !ok:
		case internalSocket(l.Path) || controlOption(p, l):
			dirty = dirty || strings.Contains(l.Path, dirtySocket)
		default:
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(x, y sockdiag.Listener) int { return cmp.Compare(x.Inode, y.Inode) })
	d.held = holding{look: w.look + 1, list: out[:min(len(out), maxListeners)], dirty: dirty}
	return d.held.list
}

// share reports whether two processes have a listening socket in common, as a
// server and its forks do.
func (w *Watcher) share(p, q *process) bool {
	return slices.ContainsFunc(w.holds(p), func(l sockdiag.Listener) bool {
		_, ok := q.fds().sockets[l.Inode]
		return ok
	})
}

// serves reports whether a process could be part of an app that listens: it
// holds a listening socket, or we may not look and its command line says so.
func (w *Watcher) serves(p *process) bool {
	if p.fds().err != nil {
		return procfs.Denied(p.fds().err) && p.ident.Known() && !p.ident.Aux && w.at.Sub(w.table.started(p)) > unseenAge
	}
	return len(w.holds(p)) > 0
}

// unseenAge is how old a server must be whose sockets we may not see: one that
// only prints its version is gone by then.
const unseenAge = 3 * time.Second

// above returns the parent of p if it belongs to the same app. A known server
// does not belong to a script that started it.
func (w *Watcher) above(p *process) *process {
	q := w.table.procs[p.stat.PPID]
	if q == nil || q.ident.Aux || q.ended() || !w.candidate(q) || p.ident.Known() && !q.ident.Known() {
		return nil
	}
	if p.fds().err != nil || q.fds().err != nil {
		if p.ident.Server == q.ident.Server {
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
func (w *Watcher) forked(p, q *process) bool {
	return p.ident.Server == cmdline.Gunicorn && q.ident.Server == cmdline.Gunicorn && (p.ident.Worker && q.ident.Master || slices.Equal(p.argv, q.argv)) &&
		w.table.owns(p).Account == w.table.owns(q).Account
}

// top returns the topmost process of the app that p belongs to.
func (w *Watcher) top(p *process) *process {
	for q := w.above(p); q != nil; q = w.above(p) {
		p = q
	}
	return p
}

// undecided reports whether the parent of p may turn out to be its master once
// its turn to be read has come.
func (w *Watcher) undecided(p *process) bool {
	q := w.table.procs[p.stat.PPID]
	if q == nil {
		_, late := w.table.late[p.stat.PPID]
		return late
	}
	return w.candidate(q) && !q.fds().known
}

// discover finds the apps of a host without a configuration: every tree of
// processes that listens and runs a known Python server.
func (w *Watcher) discover(now time.Time) {
	roots := w.findRoots()
	w.roots = roots
	for _, a := range w.apps {
		a.roots = slices.DeleteFunc(a.roots, func(p *process) bool { return !roots[p] })
	}
	var unplaced []*process
	for p := range roots {
		if p.member == nil || !slices.Contains(memberOf(p).roots, p) {
			unplaced = append(unplaced, p)
		}
	}
	w.succeed(now) // before what is new may have the places of what has ended
	w.admit(unplaced, now)
	w.succeed(now)
	w.apps = slices.DeleteFunc(w.apps, func(a *app) bool {
		return len(a.roots) == 0 && !a.lost.IsZero() && (now.Sub(a.lost) > forget || !a.established && now.Sub(a.lost) > forgetYoung) && w.reserve(a, now)
	})
}

// findRoots returns the topmost processes of all trees that serve.
func (w *Watcher) findRoots() map[*process]bool {
	for _, a := range w.apps {
		for _, p := range a.roots {
			w.table.fresher(p) // it may have ended, and not be waited for
		}
	}
	roots := make(map[*process]bool)
	for _, p := range w.candidates() {
		if p.ident.Aux || p.ended() || !w.serves(p) {
			continue
		}
		// What is an app already stays one while its parent waits to be read again.
		if top := w.top(p); w.roots[top] || !w.undecided(top) {
			roots[top] = true
		}
	}
	w.dropRoots(roots)
	return roots
}

// dropRoots leaves out what has ended, and what only keeps the sockets of others:
// if that was taken for an app before its servers had started, it is forgotten.
func (w *Watcher) dropRoots(roots map[*process]bool) {
	for p := range roots {
		if p.member == nil && !p.over && w.table.fresher(p) && p.ended() {
			delete(roots, p)
		}
	}
	for p := range roots {
		if !w.standsBy(p, roots) {
			continue
		}
		delete(roots, p)
		if a := memberOf(p); a != nil && a.conf < 0 && a.root() == p {
			w.remove(a)
		}
	}
}

// where returns where a process listens for good, by the first of its labels.
func (w *Watcher) where(p *process) string {
	held := w.holds(p)
	mine := held
	if len(held) > 1 { // a control socket is the master's alone
		for _, kid := range w.table.kids[p.pid] {
			w.table.know(kid)
			if common := slices.DeleteFunc(slices.Clone(held), func(l sockdiag.Listener) bool { return !kid.holds(l) }); len(common) > 0 {
				mine = common
				break
			}
		}
	}
	return lastingBind(p, mine)
}
