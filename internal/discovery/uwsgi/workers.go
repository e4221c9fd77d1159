// Package uwsgi tells the processes of a uWSGI instance apart by their epoll sets, which a
// process keeps while it is at work. The first process is a worker if it watches what a child
// watches, else a master. A worker under a master watches, beside the instance's sockets, the one
// by which the master signals it; a gateway (--http, --fastrouter …) watches the sockets of the
// clients; a mule watches no listening socket.
package uwsgi

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

const (
	// bootTimeout is how long a worker may be without an epoll set where others have one.
	bootTimeout = 30 * time.Second
	// gatewayEvents is how many events a gateway waits for at once (plugins/corerouter).
	gatewayEvents = 64
)

// Workers returns which of kids, the children of the first process of an instance, are
// workers, and the first process if it serves beside them, as without --master. A child that
// cannot be told apart stays. It sets Watches of all and Router of the children. listeners are
// those that the first process holds, now is the time of the scan.
func Workers(t *table.Table, root *table.Process, kids []*table.Process, listeners []sockdiag.Listener, now time.Time) []*table.Process {
	in := readInstance(t, root, kids, listeners, now)
	for _, p := range kids {
		p.Router = in.isGateway(p)
	}
	in.serve()
	out := slices.DeleteFunc(slices.Clone(kids), func(p *table.Process) bool { return p.Router || in.isHelper(p) })
	if in.serving && !root.Program.Master {
		out = append(out, root)
	}
	return out
}

// instance is the processes of one uWSGI.
type instance struct {
	t       *table.Table
	now     time.Time
	root    *table.Process
	kids    []*table.Process
	cut     map[*table.Process]bool // not all of its epoll sets could be read
	serving bool                    // the first process watches what a child watches
	served  []uint64                // what the children under a master watch
}

// readInstance reads which listening sockets the processes watch. What a worker under a master
// watches is read once, since it does not change.
func readInstance(t *table.Table, root *table.Process, kids []*table.Process, listeners []sockdiag.Listener, now time.Time) *instance {
	in := &instance{t: t, now: now, root: root, kids: kids, cut: make(map[*table.Process]bool)}
	listening := make(map[uint64]bool, len(listeners))
	for _, l := range listeners {
		listening[l.Inode] = true
	}
	in.read(root, listening)
	for _, p := range kids {
		if p.Watches == nil || !p.Watches.Signals {
			in.read(p, listening)
		}
		in.serving = in.serving || common(p.Watches, root.Watches)
	}
	for _, p := range kids {
		if p.Watches != nil && p.Watches.Signals {
			in.served = append(in.served, p.Watches.Listeners...)
		}
	}
	return in
}

// read sets what the epoll sets of a process have; nil if that is no listening socket. Of one
// of which not all can be read, it keeps what was known.
func (in *instance) read(p *table.Process, listening map[uint64]bool) {
	inodes := make(map[int]uint64, len(p.FDs().Sockets))
	for inode, fds := range p.FDs().Sockets {
		for _, fd := range fds {
			inodes[fd] = inode
		}
	}
	in.cut[p] = p.FDs().Full || in.root.FDs().Full || p.FDs().Skipped > 0
	var out table.Watches
	for _, epoll := range p.FDs().Polls {
		targets, ok := in.t.EpollTargets(p, epoll, in.now)
		in.cut[p] = in.cut[p] || !ok
		found, shared := in.sort(targets, inodes, listening)
		out.Listeners = append(out.Listeners, found...)
		// not of a set that a library made before the fork
		out.Signals = out.Signals || len(found) > 0 && shared && p != in.root
	}
	switch {
	case len(out.Listeners) > 0 && (!in.cut[p] || p.Watches == nil):
		p.Watches = &out
	case !in.cut[p]:
		p.Watches = nil
	}
}

// sort returns the listening sockets of one epoll set, and whether it has another socket that the
// first process holds too.
func (in *instance) sort(targets []int, inodes map[int]uint64, listening map[uint64]bool) (found []uint64, shared bool) {
	for _, fd := range targets {
		inode := inodes[fd]
		if listening[inode] {
			found = append(found, inode)
		} else if _, ok := in.root.FDs().Sockets[inode]; ok {
			shared = true
		}
	}
	return found, shared
}

// isGateway reports whether a child passes requests on to the workers. If that is not to be seen
// now, it is the answer before.
func (in *instance) isGateway(p *table.Process) bool {
	switch {
	case p.Program.Worker:
		return false
	case p.Watches == nil || in.cut[p]:
		return p.Router
	case in.serving:
		return !common(p.Watches, in.root.Watches)
	case len(in.served) > 0 && !p.Watches.Signals:
		return !common(p.Watches, &table.Watches{Listeners: in.served})
	case len(in.served) > 0: // with a subscription server, a gateway watches another socket of the master
		return in.apart(p, true) && (p.Router || in.events(p) > 1)
	}
	return p.Router || in.events(p) == gatewayEvents && in.apart(p, false)
}

// apart reports whether a process watches other sockets than some other one: than a worker under
// a master that waits for one event now, if signals, or else than another child, one that starts
// and holds a listening socket that p lacks, or if there is no other child, the first process.
func (in *instance) apart(p *table.Process, signals bool) bool {
	if len(in.kids) == 1 && !signals {
		return in.root.Watches != nil
	}
	return slices.ContainsFunc(in.kids, func(q *table.Process) bool {
		switch {
		case q == p:
			return false
		case signals:
			return q.Watches != nil && q.Watches.Signals && !common(p.Watches, q.Watches) && (p.Router || in.events(q) == 1)
		case q.Watches == nil:
			return in.holdsMore(q, p)
		}
		return !common(p.Watches, q.Watches)
	})
}

// holdsMore reports whether q holds a socket of the first process that p lacks.
func (in *instance) holdsMore(q, p *table.Process) bool {
	for inode := range q.FDs().Sockets {
		_, ofRoot := in.root.FDs().Sockets[inode]
		if _, ok := p.FDs().Sockets[inode]; ofRoot && !ok {
			return true
		}
	}
	return false
}

// events returns for how many events at most a process waits in epoll_wait now; 0 if it does not
// wait there.
func (in *instance) events(p *table.Process) uint64 {
	b, err := in.t.FS.Read(p.PID, "syscall")
	if err != nil {
		return 0
	}
	k, err := procfs.ParseSyscall(b)
	if err != nil || k.NR != procfs.SysEpollWait {
		return 0
	}
	return k.Args[2]
}

// serve sets what the workers watch, without what gateways do.
func (in *instance) serve() {
	in.served = in.served[:0]
	for _, p := range in.kids {
		if p.Watches != nil && p.Watches.Signals && !p.Router {
			in.served = append(in.served, p.Watches.Listeners...)
		}
	}
}

// isHelper reports whether a child takes no requests: a mule has epoll sets, but none of the
// sockets that workers watch; a spooler or a pool of the app has no epoll set long after its
// start while a worker does. False of a worker by its title, and if not all can be read.
func (in *instance) isHelper(p *table.Process) bool {
	d := p.FDs()
	if p.Program.Worker || !d.Known || d.Err != nil || p.Watches != nil || in.cut[p] {
		return false
	}
	if len(d.Polls) == 0 {
		return in.now.Sub(in.t.StartTime(p)) > bootTimeout && slices.ContainsFunc(in.kids, func(q *table.Process) bool { return q.Watches != nil && !q.Router })
	}
	return len(in.served) > 0 && !slices.ContainsFunc(in.served, func(l uint64) bool { _, ok := d.Sockets[l]; return ok })
}

// common reports whether two processes watch a listening socket in common; nil: none.
func common(a, b *table.Watches) bool {
	return a != nil && b != nil && slices.ContainsFunc(a.Listeners, func(l uint64) bool { return slices.Contains(b.Listeners, l) })
}
