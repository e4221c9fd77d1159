// Package listeners separates the listening sockets of an app that take requests from
// those for control, statistics and administration.
package listeners

import (
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// DirtySocket is a part of the paths of the sockets of gunicorn's dirty arbiter.
const DirtySocket = "/gunicorn-dirty-"

// Internal reports whether a UNIX socket takes no requests by its path: those of
// Python's multiprocessing, gunicorn's control socket, and the sockets between
// gunicorn's workers and its dirty arbiter.
func Internal(p string) bool {
	return path.Base(p) == "gunicorn.ctl" || strings.Contains(p, "/pymp-") || strings.Contains(p, DirtySocket)
}

// IsControl reports whether the command line of gunicorn names a socket as its control socket;
// a relative path is compared with the end of the socket's.
func IsControl(p *table.Process, l sockdiag.Listener) bool {
	if p.Program.Server != cmdline.Gunicorn || l.Network != sockdiag.Unix {
		return false
	}
	at := cmdline.Option(p.Argv, "--control-socket")
	return at != "" && (at == l.Path || !path.IsAbs(at) && strings.HasSuffix(l.Path, "/"+strings.TrimPrefix(at, "./")))
}

// Watching is whether a process has a listening socket in an epoll set.
type Watching int

const (
	// NotKnown means that some epoll set could not be read, and the others do not have it.
	NotKnown Watching = iota
	// NotWatched means that none has it, and Watched that one has.
	NotWatched
	Watched
)

// EpollWatches returns whether one of the epoll sets of a process contains a listening socket,
// as that of a worker does even while it is at work.
func EpollWatches(t *table.Table, p *table.Process, l sockdiag.Listener, now time.Time) Watching {
	fds := p.FDs().Sockets[l.Inode]
	if len(fds) == 0 {
		return NotWatched
	}
	out := NotWatched
	for _, epoll := range p.FDs().Polls {
		targets, ok := t.EpollTargets(p, epoll, now)
		if !ok {
			out = NotKnown
		}
		if slices.ContainsFunc(targets, func(fd int) bool { return slices.Contains(fds, fd) }) {
			return Watched
		}
	}
	return out
}

const (
	// reviewPause is how long an epoll set is not read again for that, unless a process was
	// first seen youngAge ago or later: it may not have filled its set yet.
	reviewPause = 30 * time.Second
	youngAge    = time.Minute
)

// Purposes is what is known of the purposes of an app's listening sockets.
type Purposes struct {
	control map[string]bool // labels of those that take no requests
	watched map[uint64]bool // by inode: whether a worker's epoll set has it
	before  map[uint64]bool // watched before it was begun anew
	at      time.Time       // when that was
	serving int             // the sum of the pids of those that served then
}

// ProcessTree is the processes of an app: all of them, its roots and its workers.
// The first root is the app's main process.
type ProcessTree struct{ Members, Roots, Workers []*table.Process }

// Requests returns those of an app's listening sockets that take requests; all of
// them if none would be left.
//
// A control, statistics or administration socket is held by the master; the
// workers do not have it, or only those that were forked after it was opened.
// uWSGI's workers and routers have all that they serve in an epoll set.
func (u *Purposes) Requests(t *table.Table, of ProcessTree, all []sockdiag.Listener, now time.Time) []sockdiag.Listener {
	s := u.review(t, of, all, now)
	young, serving := false, 0
	for _, p := range s.servers {
		young = young || now.Sub(p.FirstSeen) < youngAge
		serving += p.PID
	}
	if young || serving != u.serving || now.Sub(u.at) > reviewPause || now.Before(u.at) {
		u.at, u.serving, u.before, u.watched = now, serving, u.watched, make(map[uint64]bool)
	}
	before := maps.Clone(u.control)
	control := make(map[string]bool)
	out := slices.DeleteFunc(slices.Clone(all), func(l sockdiag.Listener) bool {
		label := sockdiag.Label(l)
		if len(s.servers) == 0 && before[label] || len(s.servers) > 0 && s.control(l, before[label]) {
			control[label] = true
			return true
		}
		return false
	})
	if len(out) == 0 {
		return all
	}
	u.control = control
	return out
}

// review returns an app's processes by which its listeners are judged: those that serve,
// and the masters.
func (u *Purposes) review(t *table.Table, of ProcessTree, all []sockdiag.Listener, now time.Time) *socketReview {
	s := &socketReview{t: t, now: now, known: u, root: of.Roots[0], all: all}
	for _, p := range of.Members {
		serves := p.Router || p.Program.Aux || slices.Contains(of.Workers, p)
		switch {
		case serves && slices.ContainsFunc(all, p.Holds):
			s.servers = append(s.servers, p)
		case !serves && slices.Contains(of.Roots, p):
			s.masters = append(s.masters, p)
		}
	}
	return s
}

// socketReview is the processes by which an app's listeners are judged.
type socketReview struct {
	t                *table.Table
	now              time.Time
	known            *Purposes
	root             *table.Process
	all              []sockdiag.Listener
	servers, masters []*table.Process // that hold listeners and serve; that do not serve
}

// control reports whether a listener takes no requests: no server holds it; or of uWSGI, if
// another one is watched, it is not; or a master and not all servers hold it, none watches it,
// and a server lacks it that has another one of the master, or before, the answer of the scan
// before, is true.
func (s *socketReview) control(l sockdiag.Listener, before bool) bool {
	held := 0
	for _, p := range s.servers {
		if p.Holds(l) {
			held++
		}
	}
	switch {
	case held == 0:
		return true
	case s.root.Program.Server == cmdline.UWSGI && slices.ContainsFunc(s.all, s.watched):
		return !s.watched(l)
	case held == len(s.servers) || !heldBy(s.masters, l):
		return false
	case before || s.lackingServe(l):
		return !s.watched(l)
	}
	return false
}

// watched reports whether a serving process had the listener in an epoll set when that was last
// read, at most 30 s ago. If one could not be read, that is the answer before, at first false.
func (s *socketReview) watched(l sockdiag.Listener) bool {
	known := s.known.watched
	is, ok := known[l.Inode]
	if !ok {
		unknown := false
		is = slices.ContainsFunc(s.servers, func(p *table.Process) bool {
			w := EpollWatches(s.t, p, l, s.now)
			unknown = unknown || w == NotKnown
			return w == Watched
		})
		is = is || unknown && s.known.before[l.Inode]
		known[l.Inode] = is
	}
	return is
}

// lackingServe reports whether a process that serves lacks this listener and holds
// another one that a master has too, so that it is no worker of a former configuration.
func (s *socketReview) lackingServe(l sockdiag.Listener) bool {
	return slices.ContainsFunc(s.servers, func(p *table.Process) bool {
		return !p.Holds(l) && slices.ContainsFunc(s.all, func(other sockdiag.Listener) bool {
			return p.Holds(other) && heldBy(s.masters, other)
		})
	})
}

// heldBy reports whether one of ps holds l; those whose descriptors were not read hold none.
func heldBy(ps []*table.Process, l sockdiag.Listener) bool {
	return slices.ContainsFunc(ps, func(p *table.Process) bool { return p.Holds(l) })
}
