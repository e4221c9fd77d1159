package discovery

import (
	"slices"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// serving returns the processes that answer the requests of one root: those
// children that are workers; a server without such children answers itself,
// unless it is one that always forks.
func (w *Watcher) serving(root *process) []*process {
	var out []*process
	for _, kid := range w.table.kids[root.pid] {
		if kid.member == nil || kid.member != root.member || w.foreign(root, kid) {
			continue
		}
		w.table.know(kid)
		w.readAgain(kid)
		switch {
		case kid.ident.Aux, kid.ended():
		case w.successor(root, kid):
			out = append(out, w.serving(kid)...)
		case w.reloaded(root, kid):
			return w.serving(kid)
		case w.isWorker(root, kid):
			out = append(out, kid)
		}
	}
	if root.ident.Server == cmdline.UWSGI {
		out = w.withoutHelpers(w.withoutRouters(out))
		if len(out) > 0 && w.servesToo(root) {
			out = append(out, root)
		}
	}
	if len(out) > 0 && !root.ident.Known() && root.accepts {
		out = append(out, root)
	}
	if len(out) == 0 && root.ident.Server != cmdline.Gunicorn && !root.ident.Master {
		out = append(out, root)
	}
	return out
}

// foreign reports whether a child runs as another user than its master, which
// only root's master can make of its workers: of others it is a setuid program.
func (w *Watcher) foreign(root, kid *process) bool {
	master := w.table.owns(root)
	if master.Account == 0 {
		return false
	}
	o := w.table.owns(kid)
	return o.Changed || o.Account != master.Account
}

func (w *Watcher) works(root, kid *process) bool {
	if kid.fds().err != nil || root.fds().err != nil {
		return kid.ident.Server == root.ident.Server && root.ident.Known()
	}
	return w.share(kid, root)
}

// successor reports whether a gunicorn child is the new master of an upgrade
// (USR2): it was started by exec with the old one's pid in its environment,
// which a worker, being a mere fork, is not.
func (w *Watcher) successor(root, kid *process) bool {
	if root.ident.Server != cmdline.Gunicorn || kid.ident.Worker {
		return false
	}
	if kid.ident.Master {
		return true
	}
	if len(w.table.kids[kid.pid]) == 0 {
		return false
	}
	if kid.heir == nil {
		is := w.r.Variable(kid.pid, "GUNICORN_PID") == strconv.Itoa(root.pid)
		kid.heir = &is
	}
	return *kid.heir
}

// withoutRouters leaves out uWSGI's gateways. They are forks of the same
// program with the same command line, but each holds other sockets, and waits
// for up to 64 events at once where a worker waits for one.
func (w *Watcher) withoutRouters(kids []*process) []*process {
	if len(kids) < 2 || w.shareOne(kids) {
		return kids
	}
	return slices.DeleteFunc(kids, func(p *process) bool {
		if !p.router && slices.ContainsFunc(kids, func(q *process) bool { return !w.share(p, q) }) {
			if b, err := w.r.Read(p.pid, "syscall"); err == nil {
				k, err := procfs.ParseSyscall(b)
				p.router = err == nil && k.NR == procfs.SysEpollWait && k.Args[2] > 1
			}
		}
		return p.router
	})
}

// shareOne reports whether all hold one listening socket in common.
func (w *Watcher) shareOne(ps []*process) bool {
	return slices.ContainsFunc(w.holds(ps[0]), func(l sockdiag.Listener) bool {
		return !slices.ContainsFunc(ps, func(p *process) bool {
			_, ok := p.fds().sockets[l.Inode]
			return !ok
		})
	})
}

// servesToo reports whether a uWSGI process that has workers below it is no
// master but a worker itself, as it is without --master: then it waits for
// connections too. Once seen it is known.
func (w *Watcher) servesToo(root *process) bool {
	if root.first || root.ident.Master {
		return root.first
	}
	if b, err := w.r.Read(root.pid, "syscall"); err == nil {
		if k, err := procfs.ParseSyscall(b); err == nil {
			var listening []int
			for _, l := range w.holds(root) {
				listening = append(listening, root.fds().sockets[l.Inode]...)
			}
			root.first = w.calls.WaitsForConnection(root.pid, k, listening)
		}
	}
	return root.first
}
