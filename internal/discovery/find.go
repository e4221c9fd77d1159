package discovery

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/naming"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// maxListeners bounds the listening sockets of one process.
const maxListeners = 1024

// holds returns the listening sockets that a process has open, in the order of
// their inodes, without those that are known to take no requests.
func (w *Watcher) holds(p *table.Process) []sockdiag.Listener {
	d := p.Opened
	if d != nil && d.Held.Look == w.look+1 {
		return d.Held.List
	}
	n := w.netOf(p)
	if d == nil {
		return nil
	}
	out, dirty := d.Held.List[:0], false
	for ino := range d.Sockets {
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
	d.Held = table.Holding{Look: w.look + 1, List: out[:min(len(out), maxListeners)], Dirty: dirty}
	return d.Held.List
}

// share reports whether two processes have a listening socket in common, as a
// server and its forks do.
func (w *Watcher) share(p, q *table.Process) bool {
	return slices.ContainsFunc(w.holds(p), func(l sockdiag.Listener) bool {
		_, ok := q.FDs().Sockets[l.Inode]
		return ok
	})
}

// serves reports whether a process could be part of an app that listens: it
// holds a listening socket, or we may not look and its command line says so.
func (w *Watcher) serves(p *table.Process) bool {
	if p.FDs().Err != nil {
		return procfs.Denied(p.FDs().Err) && p.Program.Known() && !p.Program.Aux && w.at.Sub(w.table.StartTime(p)) > unseenAge
	}
	return len(w.holds(p)) > 0
}

// unseenAge is how old a server must be whose sockets we may not see: one that
// only prints its version is gone by then.
const unseenAge = 3 * time.Second

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

// discover finds the apps of a host without a configuration: every tree of
// processes that listens and runs a known Python server.
func (w *Watcher) discover(now time.Time) {
	roots := w.findRoots()
	w.roots = roots
	for _, a := range w.apps {
		a.roots = slices.DeleteFunc(a.roots, func(p *table.Process) bool { return !roots[p] })
	}
	var unplaced []*table.Process
	for p := range roots {
		if p.Member == nil || !slices.Contains(memberOf(p).roots, p) {
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
func (w *Watcher) findRoots() map[*table.Process]bool {
	for _, a := range w.apps {
		for _, p := range a.roots {
			w.table.RereadStat(p) // it may have ended, and not be waited for
		}
	}
	roots := make(map[*table.Process]bool)
	for _, p := range w.candidates() {
		if p.Program.Aux || p.Ended() || !w.serves(p) {
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
func (w *Watcher) dropRoots(roots map[*table.Process]bool) {
	for p := range roots {
		if p.Member == nil && !p.Over && w.table.RereadStat(p) && p.Ended() {
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
func (w *Watcher) where(p *table.Process) string {
	held := w.holds(p)
	mine := held
	if len(held) > 1 { // a control socket is the master's alone
		for _, kid := range w.table.Children[p.PID] {
			w.table.ReadOnce(kid)
			if common := slices.DeleteFunc(slices.Clone(held), func(l sockdiag.Listener) bool { return !kid.Holds(l) }); len(common) > 0 {
				mine = common
				break
			}
		}
	}
	return naming.LastingBind(p, mine)
}
