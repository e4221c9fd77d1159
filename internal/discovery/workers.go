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

// isWorker reports whether a child answers requests of its parent's: true if its own command is a worker's,
// else false under Waitress and Flask. Elsewhere it must hold the parent's listening socket (under gunicorn
// any) and mostly pass a test of that server; without readable descriptors, be of the same one.
func (w *Watcher) isWorker(root, kid *table.Process) bool {
	if kid.Program.Worker {
		return true
	}
	switch root.Program.Server { //nolint:exhaustive // the others are scripts
	case cmdline.Gunicorn:
		if kid.FDs().Err != nil || root.FDs().Err != nil {
			return w.servesLikeRoot(root, kid)
		}
		return len(w.listenersOf(kid)) > 0 && !kid.FDs().Held.Dirty && w.ownsHeartbeat(root, kid)
	case cmdline.Waitress, cmdline.Flask:
		return false
	case cmdline.Uvicorn:
		return cmdline.Spawned(kid.Argv) && w.servesLikeRoot(root, kid)
	case cmdline.Hypercorn:
		return w.servesLikeRoot(root, kid) && (cmdline.Spawned(kid.Argv) || !w.accepts(root))
	case cmdline.Granian, cmdline.UWSGI:
		return w.servesLikeRoot(root, kid)
	}
	return w.servesLikeRoot(root, kid) && (!w.accepts(root) || cmdline.Spawned(kid.Argv) || w.accepts(kid))
}

// ownsHeartbeat reports whether a child of gunicorn holds exactly one heartbeat file, and no older
// child of the master holds that one alone: a helper that is forked later than a worker inherits
// the worker's.
func (w *Watcher) ownsHeartbeat(root, kid *table.Process) bool {
	return kid.FDs().Heartbeat >= 0 && !slices.ContainsFunc(w.table.Children[root.PID], func(other *table.Process) bool {
		return other != kid && other.FDs().Heartbeat >= 0 && other.FDs().HeartbeatName == kid.FDs().HeartbeatName && table.Oldest(other, kid) < 0
	})
}

const (
	youngAge       = 2 * time.Minute  // how long a process may still open the files by which it is recognised
	rereadInterval = 30 * time.Second // how often it is read again afterwards
)

// rereadIncomplete reads the descriptors of a process again if it does not yet have what a worker
// has: the one heartbeat file of gunicorn's, the epoll set of uWSGI's. An old one is read at
// intervals only.
func (w *Watcher) rereadIncomplete(kid *table.Process) {
	lacks := kid.FDs().Heartbeats > 1 || kid.Program.Server == cmdline.UWSGI && kid.Watches == nil
	if !lacks || !kid.FDs().Known || kid.FDs().Err != nil || w.scanTime.Sub(kid.FirstSeen) > youngAge && w.scanTime.Sub(kid.Usage().Reread) < rereadInterval {
		return
	}
	kid.Usage().Reread = w.scanTime
	w.table.ReadDescriptors(kid)
}

// isReloadedServer reports whether a child is the server that Werkzeug's reloader runs, by its
// environment, false if unreadable: the parent only watches files and holds the socket for it.
func (w *Watcher) isReloadedServer(root, kid *table.Process) bool {
	if root.Program.Server != cmdline.Flask && root.Program.Server != cmdline.Script || kid.Program.Server != root.Program.Server || !w.servesLikeRoot(root, kid) && kid.FDs().Err == nil {
		return false
	}
	if kid.TookOver == nil {
		const mark = "WERKZEUG_RUN_MAIN"
		is := w.fs.Getenv(kid.PID, mark) == "true" && w.fs.Getenv(root.PID, mark) != "true"
		kid.TookOver = &is
	}
	return *kid.TookOver
}

// servesLikeRoot reports whether a child shares a listening socket with its root
// or, where descriptors may not be read, is the same known server.
func (w *Watcher) servesLikeRoot(root, kid *table.Process) bool {
	if kid.FDs().Err != nil || root.FDs().Err != nil {
		return kid.Program.Server == root.Program.Server && root.Program.Known()
	}
	return w.shareListener(kid, root)
}

// accepts reports whether an epoll set of a process has one of the listeners that it holds, or
// one of its threads waits for a connection now. Once seen, that stays true.
func (w *Watcher) accepts(p *table.Process) bool {
	if p.Accepts {
		return true
	}
	held := w.listenersOf(p)
	if len(held) == 0 {
		return false
	}
	p.Accepts = slices.ContainsFunc(held, func(l sockdiag.Listener) bool {
		return listeners.EpollWatches(w.table, p, l, w.scanTime) == listeners.Watched
	}) || w.waitsForConnection(p, held)
	return p.Accepts
}

// waitsForConnection reports whether one of the first 64 threads of a process waits now
// for a connection at one of the listeners in held; false also if they cannot be read.
func (w *Watcher) waitsForConnection(p *table.Process, held []sockdiag.Listener) bool {
	var fds []int
	for _, l := range held {
		fds = append(fds, p.FDs().Sockets[l.Inode]...)
	}
	list, err := w.fs.FirstEntries(w.fs.Path(p.PID, "task"), nil, table.MaxThreads)
	if err != nil {
		return false
	}
	for _, e := range list[:min(len(list), table.MaxThreads)] {
		b, err := w.fs.Read(p.PID, "task/"+strconv.Itoa(e.N)+"/syscall")
		if err != nil {
			continue
		}
		if k, err := procfs.ParseSyscall(b); err == nil && w.calls.WaitsForConnection(p.PID, k, fds) {
			return true
		}
	}
	return false
}
