// Package uwsgi tells the processes of a uWSGI instance apart by their epoll sets
// (/proc/PID/fdinfo/N), which a process keeps while it is at work. A worker has the
// instance's sockets in it and, under a master, the one by which the master signals it;
// a gateway has the sockets of the clients; a mule and a master have neither.
package uwsgi

import (
	"slices"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// bootTimeout is how long a worker may be without an epoll set where others have one.
const bootTimeout = 30 * time.Second

// Workers returns which of kids, the children of the first process of an instance, are
// workers, and the first process if it serves beside them, as without --master. A child that
// cannot be told apart stays. It sets Watches of all and Router of the children. listeners are
// those that the first process holds, age returns how long ago a process began.
func Workers(r *procfs.FS, root *table.Process, kids []*table.Process, listeners []sockdiag.Listener, age func(*table.Process) time.Duration) []*table.Process {
	in := readInstance(r, root, kids, listeners)
	out := slices.DeleteFunc(slices.Clone(kids), func(p *table.Process) bool {
		p.Router = in.isGateway(p)
		return p.Router || !p.Program.Worker && in.isHelper(p, age)
	})
	if in.rootServes(out) {
		out = append(out, root)
	}
	return out
}

// instance is the processes of one uWSGI.
type instance struct {
	root   *table.Process
	polls  bool            // a child has an epoll set
	master bool            // a child has a master
	served map[uint64]bool // listening sockets that such children watch
}

// readInstance reads which listening sockets the processes watch. What a worker under a master
// watches is read once, since it does not change.
func readInstance(r *procfs.FS, root *table.Process, kids []*table.Process, listeners []sockdiag.Listener) *instance {
	in := &instance{root: root, served: make(map[uint64]bool)}
	listening := make(map[uint64]bool, len(listeners))
	for _, l := range listeners {
		listening[l.Inode] = true
	}
	root.Watches = readWatches(r, root, root, listening)
	for _, p := range kids {
		if p.Watches == nil || !p.Watches.Signals {
			p.Watches = readWatches(r, p, root, listening)
		}
		in.polls = in.polls || len(p.FDs().Polls) > 0
		if p.Watches != nil && p.Watches.Signals {
			in.master = true
			for _, l := range p.Watches.Listeners {
				in.served[l] = true
			}
		}
	}
	return in
}

// readWatches returns what the epoll sets of a process have; nil if that is no listening socket,
// or cannot be read.
func readWatches(r *procfs.FS, p, root *table.Process, listening map[uint64]bool) *table.Watches {
	inodes := make(map[int]uint64, len(p.FDs().Sockets))
	for inode, fds := range p.FDs().Sockets {
		for _, fd := range fds {
			inodes[fd] = inode
		}
	}
	var out table.Watches
	for _, epoll := range p.FDs().Polls {
		b, err := r.Read(p.PID, "fdinfo/"+strconv.Itoa(epoll))
		if err != nil {
			continue
		}
		listens, signals := false, false
		for _, fd := range procfs.ParseEpollFDs(b) {
			inode := inodes[fd]
			_, common := root.FDs().Sockets[inode]
			switch {
			case listening[inode]:
				out.Listeners, listens = append(out.Listeners, inode), true
			case common && p != root:
				signals = true
			}
		}
		out.Signals = out.Signals || listens && signals // not of a set that a library made before the fork
	}
	if len(out.Listeners) == 0 {
		return nil
	}
	return &out
}

// isGateway reports whether a child passes requests on to the workers (--http, --fastrouter …):
// it watches a listening socket, but is no worker under the master that others have, or does not
// hold what the first process itself serves.
func (in *instance) isGateway(p *table.Process) bool {
	switch {
	case p.Program.Worker || p.Watches == nil || p.Watches.Signals || p.FDs().Full || in.root.FDs().Full:
		return false
	case in.master:
		return true
	case in.root.Watches == nil:
		return false
	}
	return slices.ContainsFunc(in.root.Watches.Listeners, func(l uint64) bool { return !holds(p, l) })
}

// isHelper reports whether a child takes no requests: a mule holds none of the sockets that
// workers watch, a spooler or a pool of the app has no epoll set long after its start while
// others do. False if its descriptors may not be read.
func (in *instance) isHelper(p *table.Process, age func(*table.Process) time.Duration) bool {
	d := p.FDs()
	if !d.Known || d.Err != nil || p.Watches != nil {
		return false
	}
	if len(d.Polls) == 0 && in.polls && age(p) > bootTimeout {
		return true
	}
	if !in.master || d.Skipped > 0 {
		return false
	}
	for l := range in.served {
		if holds(p, l) {
			return false
		}
	}
	return true
}

// rootServes reports whether the first process is a worker too: there is no master, and it
// watches a listening socket that one of the workers below it watches.
func (in *instance) rootServes(workers []*table.Process) bool {
	if in.master || in.root.Program.Master || in.root.Watches == nil {
		return false
	}
	return slices.ContainsFunc(workers, func(p *table.Process) bool {
		return p.Watches != nil && slices.ContainsFunc(in.root.Watches.Listeners, func(l uint64) bool { return slices.Contains(p.Watches.Listeners, l) })
	})
}

// holds reports whether a process has a socket open, by inode.
func holds(p *table.Process, inode uint64) bool {
	_, ok := p.FDs().Sockets[inode]
	return ok
}
