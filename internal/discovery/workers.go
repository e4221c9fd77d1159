package discovery

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// isWorker reports whether a child answers requests of its parent's. A child
// that holds the parent's listening socket need not: each fork does, those of a
// pool of processes and of a watchdog too.
//
// A worker of gunicorn has a heartbeat file of its own, and so has the dirty
// arbiter, but that listens on a socket of its own. Uvicorn and Hypercorn
// start their workers anew, Hypercorn before 0.14.4 forked them and did not
// accept itself; waitress and Flask's server have none. Where the
// parent itself waits for connections, a child must be seen to do so as well.
func (w *Watcher) isWorker(root, kid *process) bool {
	if kid.ident.Worker {
		return true
	}
	switch root.ident.Server { //nolint:exhaustive // the others are scripts
	case cmdline.Gunicorn:
		if kid.fds().err != nil || root.fds().err != nil {
			return w.works(root, kid)
		}
		return len(w.holds(kid)) > 0 && !kid.fds().held.dirty && w.ownsHeartbeat(root, kid)
	case cmdline.Waitress, cmdline.Flask:
		return false
	case cmdline.Uvicorn:
		return cmdline.Spawned(kid.argv) && w.works(root, kid)
	case cmdline.Hypercorn:
		return w.works(root, kid) && (cmdline.Spawned(kid.argv) || !w.accepts(root))
	case cmdline.Granian, cmdline.UWSGI:
		return w.works(root, kid)
	}
	return w.works(root, kid) && (!w.accepts(root) || cmdline.Spawned(kid.argv) || w.accepts(kid))
}

// ownsHeartbeat reports whether the one heartbeat file that a child of gunicorn
// holds is its own: a helper that is forked later than a worker inherits that one's.
func (w *Watcher) ownsHeartbeat(root, kid *process) bool {
	return kid.fds().heartbeat >= 0 && !slices.ContainsFunc(w.table.kids[root.pid], func(other *process) bool {
		return other != kid && other.fds().heartbeat >= 0 && other.fds().beat == kid.fds().beat && oldest(other, kid) < 0
	})
}

const (
	youngFor   = 2 * time.Minute  // how long a process may still open what tells what it is
	againAfter = 30 * time.Second // how often it is read again afterwards
	bootingFor = 30 * time.Second // how long a worker of uWSGI may be without an epoll set where others have one
)

// readAgain reads the descriptors of a child again that does not yet have what a
// worker has: the one heartbeat file of gunicorn's, the epoll set of uWSGI's.
func (w *Watcher) readAgain(kid *process) {
	lacks := kid.fds().beats > 1 || kid.ident.Server == cmdline.UWSGI && len(kid.fds().polls) == 0
	if !lacks || !kid.fds().known || kid.fds().err != nil || w.at.Sub(kid.firstSeen) > youngFor && w.at.Sub(kid.counts().reread) < againAfter {
		return
	}
	kid.counts().reread = w.at
	w.table.readWithin(kid)
}

// withoutHelpers leaves out those forks of a uWSGI master that have no epoll set
// long after others have one, as a pool that the app made when it was loaded.
func (w *Watcher) withoutHelpers(kids []*process) []*process {
	if !slices.ContainsFunc(kids, func(p *process) bool { return len(p.fds().polls) > 0 }) {
		return kids
	}
	return slices.DeleteFunc(kids, func(p *process) bool {
		return p.fds().err == nil && !p.ident.Worker && len(p.fds().polls) == 0 && w.at.Sub(w.table.started(p)) > bootingFor
	})
}

// reloaded reports whether a child is the server that Werkzeug's reloader runs:
// the parent only watches files and holds the socket for it.
func (w *Watcher) reloaded(root, kid *process) bool {
	if root.ident.Server != cmdline.Flask && root.ident.Server != cmdline.Script || kid.ident.Server != root.ident.Server || !w.works(root, kid) && kid.fds().err == nil {
		return false
	}
	if kid.heir == nil {
		const mark = "WERKZEUG_RUN_MAIN"
		is := w.r.Variable(kid.pid, mark) == "true" && w.r.Variable(root.pid, mark) != "true"
		kid.heir = &is
	}
	return *kid.heir
}

// standsBy reports whether a script only keeps the listening sockets of the
// servers that it started, each of them a root and the same user's: then it is no
// app.
func (w *Watcher) standsBy(q *process, roots map[*process]bool) bool {
	if q.ident.Known() || q.fds().err != nil || q.accepts || len(w.table.kids[q.pid]) == 0 && len(q.handed) == 0 || len(w.holds(q)) == 0 {
		return false
	}
	return !slices.ContainsFunc(w.holds(q), func(l sockdiag.Listener) bool { return !w.handedOn(q, l, roots) })
}

// handedOn reports whether a child of q that is an app of its own holds q's
// socket, or once did: its successor will.
func (w *Watcher) handedOn(q *process, l sockdiag.Listener, roots map[*process]bool) bool {
	if q.handed[l.Inode] {
		return true
	}
	has := slices.ContainsFunc(w.table.kids[q.pid], func(kid *process) bool {
		return roots[kid] && kid.holds(l) && w.table.owns(kid).Account == w.table.owns(q).Account && !w.table.owns(kid).Changed
	})
	if has && q.handed == nil {
		q.handed = make(map[uint64]bool)
	}
	if has && len(q.handed) < maxListeners {
		q.handed[l.Inode] = true
	}
	return has
}

// launched reports whether p is another program than its parent, which only
// started it: both are scripts, and not the same one.
func launched(p, q *process) bool {
	return p.ident.Server == cmdline.Script && q.ident.Server == cmdline.Script && p.ident.Script != q.ident.Script &&
		p.ident.Script != "python" && !cmdline.Spawned(p.argv) && !q.accepts
}
