package discovery

import (
	"slices"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/listeners"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
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
func (w *Watcher) isWorker(root, kid *table.Process) bool {
	if kid.Program.Worker {
		return true
	}
	switch root.Program.Server { //nolint:exhaustive // the others are scripts
	case cmdline.Gunicorn:
		if kid.FDs().Err != nil || root.FDs().Err != nil {
			return w.works(root, kid)
		}
		return len(w.holds(kid)) > 0 && !kid.FDs().Held.Dirty && w.ownsHeartbeat(root, kid)
	case cmdline.Waitress, cmdline.Flask:
		return false
	case cmdline.Uvicorn:
		return cmdline.Spawned(kid.Argv) && w.works(root, kid)
	case cmdline.Hypercorn:
		return w.works(root, kid) && (cmdline.Spawned(kid.Argv) || !w.accepts(root))
	case cmdline.Granian, cmdline.UWSGI:
		return w.works(root, kid)
	}
	return w.works(root, kid) && (!w.accepts(root) || cmdline.Spawned(kid.Argv) || w.accepts(kid))
}

// ownsHeartbeat reports whether the one heartbeat file that a child of gunicorn
// holds is its own: a helper that is forked later than a worker inherits that one's.
func (w *Watcher) ownsHeartbeat(root, kid *table.Process) bool {
	return kid.FDs().Heartbeat >= 0 && !slices.ContainsFunc(w.table.Children[root.PID], func(other *table.Process) bool {
		return other != kid && other.FDs().Heartbeat >= 0 && other.FDs().Beat == kid.FDs().Beat && table.Oldest(other, kid) < 0
	})
}

const (
	youngFor   = 2 * time.Minute  // how long a process may still open what tells what it is
	againAfter = 30 * time.Second // how often it is read again afterwards
	bootingFor = 30 * time.Second // how long a worker of uWSGI may be without an epoll set where others have one
)

// readAgain reads the descriptors of a child again that does not yet have what a
// worker has: the one heartbeat file of gunicorn's, the epoll set of uWSGI's.
func (w *Watcher) readAgain(kid *table.Process) {
	lacks := kid.FDs().Beats > 1 || kid.Program.Server == cmdline.UWSGI && len(kid.FDs().Polls) == 0
	if !lacks || !kid.FDs().Known || kid.FDs().Err != nil || w.at.Sub(kid.FirstSeen) > youngFor && w.at.Sub(kid.Counts().Reread) < againAfter {
		return
	}
	kid.Counts().Reread = w.at
	w.table.ReadDescriptors(kid)
}

// withoutHelpers leaves out those forks of a uWSGI master that have no epoll set
// long after others have one, as a pool that the app made when it was loaded.
func (w *Watcher) withoutHelpers(kids []*table.Process) []*table.Process {
	if !slices.ContainsFunc(kids, func(p *table.Process) bool { return len(p.FDs().Polls) > 0 }) {
		return kids
	}
	return slices.DeleteFunc(kids, func(p *table.Process) bool {
		return p.FDs().Err == nil && !p.Program.Worker && len(p.FDs().Polls) == 0 && w.at.Sub(w.table.StartTime(p)) > bootingFor
	})
}

// reloaded reports whether a child is the server that Werkzeug's reloader runs:
// the parent only watches files and holds the socket for it.
func (w *Watcher) reloaded(root, kid *table.Process) bool {
	if root.Program.Server != cmdline.Flask && root.Program.Server != cmdline.Script || kid.Program.Server != root.Program.Server || !w.works(root, kid) && kid.FDs().Err == nil {
		return false
	}
	if kid.Heir == nil {
		const mark = "WERKZEUG_RUN_MAIN"
		is := w.r.Getenv(kid.PID, mark) == "true" && w.r.Getenv(root.PID, mark) != "true"
		kid.Heir = &is
	}
	return *kid.Heir
}

func (w *Watcher) works(root, kid *table.Process) bool {
	if kid.FDs().Err != nil || root.FDs().Err != nil {
		return kid.Program.Server == root.Program.Server && root.Program.Known()
	}
	return w.share(kid, root)
}

// accepts reports whether an epoll set of a process has one of the listeners
// that it holds, or one of its threads waits for a connection now. Once seen it stays.
func (w *Watcher) accepts(p *table.Process) bool {
	if p.Accepts {
		return true
	}
	held := w.holds(p)
	if len(held) == 0 {
		return false
	}
	p.Accepts = slices.ContainsFunc(held, func(l sockdiag.Listener) bool { return listeners.Watches(w.r, p, l) }) || w.waits(p, held)
	return p.Accepts
}

// waits reports whether a thread of a process waits for a connection now.
func (w *Watcher) waits(p *table.Process, held []sockdiag.Listener) bool {
	var fds []int
	for _, l := range held {
		fds = append(fds, p.FDs().Sockets[l.Inode]...)
	}
	list, err := w.r.Entries(w.r.Path(p.PID, "task"), nil)
	if err != nil {
		return false
	}
	for _, e := range list[:min(len(list), table.MaxThreads)] {
		b, err := w.r.Read(p.PID, "task/"+strconv.Itoa(e.N)+"/syscall")
		if err != nil {
			continue
		}
		if k, err := procfs.ParseSyscall(b); err == nil && w.calls.WaitsForConnection(p.PID, k, fds) {
			return true
		}
	}
	return false
}
