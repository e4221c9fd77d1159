package waits

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// inflight is the requests of a worker that are in flight, by its accepted
// connections.
type inflight struct {
	known    bool          // the connections could be read
	n        int           // accepted connections with a request in flight
	age      time.Duration // of the oldest one, at least
	pending  bool          // an event loop has an unanswered connection: whether anything works on it is not known
	unsorted bool          // a socket has appeared that is not classified yet
}

// socketKind is what a socket of a worker is.
type socketKind int8

const (
	socketUnknown  socketKind = iota // not known yet
	socketAccepted                   // accepted from a listener of the app
	socketOther
)

const (
	// The descriptors of a process with more than manyDescriptors are not read in
	// each scan but once in manyInterval.
	manyDescriptors = 1024
	manyInterval    = 5 * time.Second
)

// idleRecently is how long ago a worker may have been idle for a request since
// then to be taken not to have waited for it. It bounds the error.
const idleRecently = 6 * time.Second

// countInflight sets l.inflight: the requests in flight of a worker. It reads the
// worker's descriptors again, and asks the kernel about sockets that are new.
// l.inflight.known stays false if they cannot be read, or it is not their turn yet.
func (w *Inspector) countInflight(ctx context.Context, in *discovery.Inspected, s *tracker, l *sample) {
	a, p, now := in.App, in.Process, in.Now
	if p.Usage().Open > manyDescriptors && now.Sub(s.checked) < manyInterval {
		return
	}
	s.checked = now
	before := listeningFDs(a, p)
	if !w.table.ReadDescriptors(p) || p.FDs().Err != nil || p.FDs().Skipped > 0 || p.FDs().Full {
		return
	}
	if fds := listeningFDs(a, p); !slices.Equal(before, fds) {
		w.threads.reclassify(p, s, l, fds, now)
		if l.noneInflight() {
			return
		}
	}
	if !s.hasConnections(p) {
		l.inflight.known = true
		s.inflight = nil
		return
	}
	found := a.Namespace.Accepted(ctx, in.Scan, func(old *conns.Accepted) bool { return s.hasUnlisted(p, old) })
	if found == nil {
		return
	}
	l.inflight.known = true
	s.classifySockets(p, found, &l.inflight)
	w.threads.countInflight(p, s, l, found, now)
}

// hasConnections reports whether a socket of the process is, or may be, a connection that
// it has accepted; false too if its descriptors were not read. It forgets the sockets that
// the process has closed.
func (s *tracker) hasConnections(p *table.Process) (some bool) {
	for ino := range s.sockets {
		if _, open := p.FDs().Sockets[ino]; !open {
			delete(s.sockets, ino)
		}
	}
	for ino := range p.FDs().Sockets {
		if s.sockets[ino] != socketOther {
			return true
		}
	}
	return false
}

// hasUnlisted reports whether the process has a socket that is not classified, and that was
// not there when the kernel listed the connections; false too if its descriptors were not
// read.
func (s *tracker) hasUnlisted(p *table.Process, found *conns.Accepted) bool {
	for ino := range p.FDs().Sockets {
		if _, accepted := found.ByInode[ino]; !accepted && s.sockets[ino] == socketUnknown && !found.Listening[ino] {
			return true
		}
	}
	return false
}

// classifySockets sets in s.sockets what each socket of the process is, and h.unsorted if
// that is not known of one. A socket that the kernel did not list is no client's
// connection if an earlier sample had it; else it may have been opened after the list.
func (s *tracker) classifySockets(p *table.Process, found *conns.Accepted, h *inflight) {
	if s.sockets == nil {
		s.sockets = make(map[uint64]socketKind)
	}
	for ino := range p.FDs().Sockets {
		before, seen := s.sockets[ino]
		_, accepted := found.ByInode[ino]
		switch {
		case accepted:
			s.sockets[ino] = socketAccepted
		case before != socketUnknown: // a connection that was reset is not listed any more
		case found.Listening[ino], seen && found.Fresh:
			s.sockets[ino] = socketOther
		default:
			s.sockets[ino] = socketUnknown
			h.unsorted = true
		}
	}
}

// countInflight sets l.inflight and s.inflight: how many accepted connections have a
// request in flight, and the age of the oldest. It leaves out silent ones, those whose
// next request a poller or thread waits for, and all of an event loop that waits: of
// these an unanswered one sets pending.
func (c *threadReader) countInflight(p *table.Process, s *tracker, l *sample, found *conns.Accepted, now time.Time) {
	sets, loop := c.pollSets(p, l)
	waits := l.accepts()
	requests := make(map[uint64]time.Time)
	for ino, fds := range p.FDs().Sockets {
		if s.sockets[ino] != socketAccepted {
			continue
		}
		a, listed := found.ByInode[ino]
		a.Inode = ino
		pooled := slices.ContainsFunc(fds, func(fd int) bool { return sets[fd] })
		unanswered := a.Unanswered()
		switch {
		case pooled && !unanswered, listed && a.HasTimes && a.Silent:
			continue
		case pooled && waits, loop && waits:
			l.inflight.pending = l.inflight.pending || unanswered
			continue
		case a.HasTimes && !unanswered && c.anyWaitsForData(p, l, fds):
			continue // it waits for the next request
		}
		since, held := s.inflight[ino]
		if !held {
			since = s.requestStart(a, now)
		}
		requests[ino] = since
		l.inflight.n++
		l.inflight.age = max(l.inflight.age, l.requestAge(a, pooled, now.Sub(since), now))
	}
	s.inflight = requests
	if l.inflight.n > l.threadsForRequests() { // some wait for a thread: only a thread that is in one call for long proves anything
		l.inflight.age = min(l.inflight.age, l.longestInCall(now))
	}
}

// requestStart returns when the request on a connection began that was not in flight in the
// sample before. That is now, or if the worker was idle a moment ago and the kernel has the
// times, when the connection's last data came, but not before the worker was idle.
func (s *tracker) requestStart(a sockdiag.Accepted, now time.Time) time.Time {
	idle := now.Sub(s.idleAt)
	if !a.HasTimes || s.idleAt.IsZero() || idle > idleRecently {
		return now
	}
	return now.Add(-min(a.Quiet(), idle))
}

// requestAge returns the least age of the request on a connection: the less of seen, the
// time since it was first seen in flight, and the time since its last data; pooled (in the
// set of a poller): and the time of the main thread's call; without the kernel's times: of
// seen and the longest call. Unless pooled, it is 0 while the response is being sent.
func (l *sample) requestAge(a sockdiag.Accepted, pooled bool, seen time.Duration, now time.Time) time.Duration {
	switch {
	case pooled: // of an event loop that does not wait: it hangs only while it is in one call
		return min(seen, a.Quiet(), now.Sub(l.main.since))
	case !a.HasTimes: // only a long call proves that it is still the same request
		return min(seen, l.longestInCall(now))
	case a.Answered(): // it is being sent
		return 0
	default:
		return min(seen, a.Quiet())
	}
}

// threadsForRequests returns how many threads may work on requests: those that neither
// wait for a connection nor are parked, at least 1.
func (l *sample) threadsForRequests() int { return max(l.busyThreads, 1) }

// longestInCall returns the longest time that one of the threads at work has been in one
// call; if none is, that of all threads but the main one and those that wait for a
// connection.
func (l *sample) longestInCall(now time.Time) time.Duration {
	if l.busyThreads > 0 {
		return l.longestCall
	}
	var d time.Duration
	for i := range l.others {
		if !l.others[i].accepts {
			d = max(d, now.Sub(l.others[i].since))
		}
	}
	return d
}

// pollSets returns the descriptors that pollers watch: in the epoll sets of the process,
// and in the poll or select of a thread that waits for a connection. loop: the main
// thread is an event loop in C, whose greenlets are in no such set.
func (c *threadReader) pollSets(p *table.Process, l *sample) (sets map[int]bool, loop bool) {
	sets = make(map[int]bool)
	add := func(fds []int) {
		for _, fd := range fds {
			sets[fd] = true
		}
	}
	for _, fd := range p.FDs().Polls {
		add(c.calls.EpollFDs(p.PID, fd))
	}
	for _, k := range append(slices.Clip(l.others), l.main) {
		if k.accepts {
			add(c.calls.ReadFDs(p.PID, k.call))
		}
	}
	switch k := l.main.call; k.NR {
	case procfs.SysEpollWait, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2:
		loop = l.main.accepts && int(k.Args[2]) > max(len(c.calls.EpollFDs(p.PID, int(int32(k.Args[0])))), 1)
	}
	return sets, loop
}

// anyWaitsForData reports whether a thread waits to read from one of fds.
func (c *threadReader) anyWaitsForData(p *table.Process, l *sample, fds []int) bool {
	if c.calls.WaitsForData(p.PID, l.main.call, fds) {
		return true
	}
	return slices.ContainsFunc(l.others, func(k thread) bool { return c.calls.WaitsForData(p.PID, k.call, fds) })
}

// hasSpareThread reports whether a worker that is busy or stuck has a thread left: one
// waits for a connection and, except for uWSGI and Flask's server, fewer requests are in
// flight (0 if not known) than threads, the size of its pool; 0: not known, then every
// thread but the main one counts. It is false in any other state.
func (l *sample) hasSpareThread(state discovery.State, threads int) bool {
	if state != discovery.Busy && state != discovery.Stuck || !l.accepts() {
		return false
	}
	if l.server == cmdline.UWSGI || l.server == cmdline.Flask {
		return true
	}
	if threads == 0 {
		threads = len(l.others)
	}
	return l.inflight.n < threads
}

// listeningFDs returns the descriptors at which a process has the app's listening sockets;
// empty if it has none, or its descriptors were not read.
func listeningFDs(a *discovery.InspectedApp, p *table.Process) []int {
	fds := make([]int, 0, 4)
	for _, l := range a.Listeners {
		fds = append(fds, p.FDs().Sockets[l.Inode]...)
	}
	return fds
}

// listenersHeld returns how many listening sockets of the app a process has; 0 if its
// descriptors cannot be read.
func listenersHeld(a *discovery.InspectedApp, p *table.Process) (n int) {
	for _, l := range a.Listeners {
		if len(p.FDs().Sockets[l.Inode]) > 0 {
			n++
		}
	}
	return n
}
