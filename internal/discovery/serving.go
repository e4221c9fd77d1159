package discovery

import (
	"slices"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// serving returns the processes that answer the requests of one root: those
// children that are workers; a server without such children answers itself,
// unless it is one that always forks.
func (w *Watcher) serving(root *table.Process) []*table.Process {
	var out []*table.Process
	for _, kid := range w.table.Children[root.PID] {
		if kid.Member == nil || kid.Member != root.Member || w.foreign(root, kid) {
			continue
		}
		w.table.ReadOnce(kid)
		w.readAgain(kid)
		switch {
		case kid.Program.Aux, kid.Ended():
		case w.successor(root, kid):
			out = append(out, w.serving(kid)...)
		case w.reloaded(root, kid):
			return w.serving(kid)
		case w.isWorker(root, kid):
			out = append(out, kid)
		}
	}
	if root.Program.Server == cmdline.UWSGI {
		out = w.withoutHelpers(w.withoutRouters(out))
		if len(out) > 0 && w.servesToo(root) {
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

// foreign reports whether a child runs as another user than its master, which
// only root's master can make of its workers: of others it is a setuid program.
func (w *Watcher) foreign(root, kid *table.Process) bool {
	master := w.table.Owner(root)
	if master.Account == 0 {
		return false
	}
	o := w.table.Owner(kid)
	return o.Changed || o.Account != master.Account
}

// successor reports whether a gunicorn child is the new master of an upgrade
// (USR2): it was started by exec with the old one's pid in its environment,
// which a worker, being a mere fork, is not.
func (w *Watcher) successor(root, kid *table.Process) bool {
	if root.Program.Server != cmdline.Gunicorn || kid.Program.Worker {
		return false
	}
	if kid.Program.Master {
		return true
	}
	if len(w.table.Children[kid.PID]) == 0 {
		return false
	}
	if kid.Heir == nil {
		is := w.r.Getenv(kid.PID, "GUNICORN_PID") == strconv.Itoa(root.PID)
		kid.Heir = &is
	}
	return *kid.Heir
}

// withoutRouters leaves out uWSGI's gateways. They are forks of the same
// program with the same command line, but each holds other sockets, and waits
// for up to 64 events at once where a worker waits for one.
func (w *Watcher) withoutRouters(kids []*table.Process) []*table.Process {
	if len(kids) < 2 || w.shareOne(kids) {
		return kids
	}
	return slices.DeleteFunc(kids, func(p *table.Process) bool {
		if !p.Router && slices.ContainsFunc(kids, func(q *table.Process) bool { return !w.share(p, q) }) {
			if b, err := w.r.Read(p.PID, "syscall"); err == nil {
				k, err := procfs.ParseSyscall(b)
				p.Router = err == nil && k.NR == procfs.SysEpollWait && k.Args[2] > 1
			}
		}
		return p.Router
	})
}

// shareOne reports whether all hold one listening socket in common.
func (w *Watcher) shareOne(ps []*table.Process) bool {
	return slices.ContainsFunc(w.holds(ps[0]), func(l sockdiag.Listener) bool {
		return !slices.ContainsFunc(ps, func(p *table.Process) bool {
			_, ok := p.FDs().Sockets[l.Inode]
			return !ok
		})
	})
}

// servesToo reports whether a uWSGI process that has workers below it is no
// master but a worker itself, as it is without --master: then it waits for
// connections too. Once seen it is known.
func (w *Watcher) servesToo(root *table.Process) bool {
	if root.First || root.Program.Master {
		return root.First
	}
	if b, err := w.r.Read(root.PID, "syscall"); err == nil {
		if k, err := procfs.ParseSyscall(b); err == nil {
			var listening []int
			for _, l := range w.holds(root) {
				listening = append(listening, root.FDs().Sockets[l.Inode]...)
			}
			root.First = w.calls.WaitsForConnection(root.PID, k, listening)
		}
	}
	return root.First
}
