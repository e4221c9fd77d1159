package discovery

import (
	"slices"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// workersOf returns the processes that answer the requests of one root: its workers, those of
// the new master of an upgrade, and itself if it serves beside them; of a reloader, only those
// of its server. A root without any is its own worker, but a gunicorn or other master has none.
func (w *Watcher) workersOf(root *table.Process) []*table.Process {
	var out []*table.Process
	for _, kid := range w.table.Children[root.PID] {
		if kid.Member == nil || kid.Member != root.Member || w.hasOtherUser(root, kid) {
			continue
		}
		w.table.ReadOnce(kid)
		w.rereadIncomplete(kid)
		switch {
		case kid.Program.Aux, kid.Ended():
		case w.isNewMaster(root, kid):
			out = append(out, w.workersOf(kid)...)
		case w.isReloadedServer(root, kid):
			return w.workersOf(kid)
		case w.isWorker(root, kid):
			out = append(out, kid)
		}
	}
	if root.Program.Server == cmdline.UWSGI {
		out = w.dropHelpers(w.dropRouters(out))
		if len(out) > 0 && w.isServingMaster(root) {
			out = append(out, root)
		}
	}
	if len(out) > 0 && !root.Program.Known() && root.Accepts {
		out = append(out, root)
	}
	if len(out) == 0 && root.Program.Server != cmdline.Gunicorn && !root.Program.Master {
		out = append(out, root)
	}
	return out
}

// hasOtherUser reports whether a child runs as another user than its master, or has changed its
// user. False under root's master, which alone can change the user of its workers; a child of
// another one is a setuid program.
func (w *Watcher) hasOtherUser(root, kid *table.Process) bool {
	master := w.table.Owner(root)
	if master.Account == 0 {
		return false
	}
	o := w.table.Owner(kid)
	return o.Changed || o.Account != master.Account
}

// isNewMaster reports whether a child of gunicorn is the new master of an upgrade (USR2): its title
// says master or, if it says neither that nor worker, it has children and its environment, if
// readable, the old master's pid: it was started by exec; a worker is a fork.
func (w *Watcher) isNewMaster(root, kid *table.Process) bool {
	if root.Program.Server != cmdline.Gunicorn || kid.Program.Worker {
		return false
	}
	if kid.Program.Master {
		return true
	}
	if len(w.table.Children[kid.PID]) == 0 {
		return false
	}
	if kid.TookOver == nil {
		is := w.fs.Getenv(kid.PID, "GUNICORN_PID") == strconv.Itoa(root.PID)
		kid.TookOver = &is
	}
	return *kid.TookOver
}

// dropRouters returns the children of uWSGI without its gateways: those that share no listener with
// some other child and once waited in epoll_wait for more than one event, where a worker waits for
// one. It changes kids. All stay if all share a socket; so does one whose wait cannot be read.
func (w *Watcher) dropRouters(kids []*table.Process) []*table.Process {
	if len(kids) < 2 || w.shareOneListener(kids) {
		return kids
	}
	return slices.DeleteFunc(kids, func(p *table.Process) bool {
		if !p.Router && slices.ContainsFunc(kids, func(q *table.Process) bool { return !w.shareListener(p, q) }) {
			if b, err := w.fs.Read(p.PID, "syscall"); err == nil {
				k, err := procfs.ParseSyscall(b)
				p.Router = err == nil && k.NR == procfs.SysEpollWait && k.Args[2] > 1
			}
		}
		return p.Router
	})
}

// shareOneListener reports whether all of ps, at least one, have one listening socket in common.
func (w *Watcher) shareOneListener(ps []*table.Process) bool {
	return slices.ContainsFunc(w.listenersOf(ps[0]), func(l sockdiag.Listener) bool {
		return !slices.ContainsFunc(ps, func(p *table.Process) bool {
			_, ok := p.FDs().Sockets[l.Inode]
			return !ok
		})
	})
}

// isServingMaster reports whether a uWSGI process that has workers below it is a worker too, as
// it is without --master: then it waits for connections. Once seen, that stays true.
func (w *Watcher) isServingMaster(root *table.Process) bool {
	if root.ServesToo || root.Program.Master {
		return root.ServesToo
	}
	if b, err := w.fs.Read(root.PID, "syscall"); err == nil {
		if k, err := procfs.ParseSyscall(b); err == nil {
			var listening []int
			for _, l := range w.listenersOf(root) {
				listening = append(listening, root.FDs().Sockets[l.Inode]...)
			}
			root.ServesToo = w.calls.WaitsForConnection(root.PID, k, listening)
		}
	}
	return root.ServesToo
}
