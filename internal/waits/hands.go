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

// hands is what the connections of a worker show.
type hands struct {
	known   bool          // they could be looked at
	n       int           // accepted connections with a request in hand
	age     time.Duration // of the oldest of these requests, at least
	pending bool          // an event loop holds an unanswered connection: whether anything works on it cannot be told
	race    bool          // a socket appeared just now, of which it is not known what it is
}

// kind is what a socket of a worker is.
type kind int8

const (
	kindNew      kind = iota // not known yet
	kindAccepted             // accepted from a listener of the app
	kindOther
)

// Descriptors of a process with more than manySockets are not read at each look
// but every manyPause.
const (
	manySockets = 1024
	manyPause   = 5 * time.Second
)

// idleLately is how long ago a worker may have been idle so that a request that
// has come since is taken not to have waited for it. It bounds the error.
const idleLately = 6 * time.Second

// checkHands looks which accepted connections a worker has in hand. It reads its
// descriptors again, and asks the kernel about sockets that are new.
func (w *Inspector) checkHands(ctx context.Context, in *discovery.Inspected, s *stateTracker, l *look) {
	a, p, now := in.App, in.Process, in.Now
	if p.Counts().Open > manySockets && now.Sub(s.checked) < manyPause {
		return
	}
	s.checked = now
	before := listening(a, p)
	if !w.table.ReadDescriptors(p) || p.FDs().Err != nil || p.FDs().Left > 0 || p.FDs().Full {
		return
	}
	if fds := listening(a, p); !slices.Equal(before, fds) {
		w.caller.settle(p, s, l, fds, now)
		if l.plain() {
			return
		}
	}
	if !s.unsorted(p) {
		l.hands.known = true
		s.hands = nil
		return
	}
	found := a.Namespace.Accepted(ctx, in.Scan, func(old *conns.Accepted) bool { return s.unlisted(p, old) })
	if found == nil {
		return
	}
	l.hands.known = true
	s.sort(p, found, &l.hands)
	w.caller.count(p, s, l, found, now)
}

// unsorted reports whether a socket of the process is an accepted connection or
// may be one, and forgets those that it has closed.
func (s *stateTracker) unsorted(p *table.Process) (some bool) {
	for ino := range s.kinds {
		if _, open := p.FDs().Sockets[ino]; !open {
			delete(s.kinds, ino)
		}
	}
	for ino := range p.FDs().Sockets {
		if s.kinds[ino] != kindOther {
			return true
		}
	}
	return false
}

// unlisted reports whether a socket of the process has appeared since the kernel
// listed the connections.
func (s *stateTracker) unlisted(p *table.Process, found *conns.Accepted) bool {
	for ino := range p.FDs().Sockets {
		if _, accepted := found.ByInode[ino]; !accepted && s.kinds[ino] == kindNew && !found.Listening[ino] {
			return true
		}
	}
	return false
}

// sort settles what the sockets of the process are. A socket that the kernel did
// not list may have been opened after that: it is no connection of a client if it
// was there at an earlier look.
func (s *stateTracker) sort(p *table.Process, found *conns.Accepted, h *hands) {
	if s.kinds == nil {
		s.kinds = make(map[uint64]kind)
	}
	for ino := range p.FDs().Sockets {
		before, seen := s.kinds[ino]
		_, accepted := found.ByInode[ino]
		switch {
		case accepted:
			s.kinds[ino] = kindAccepted
		case before != kindNew: // a connection that was reset is not listed any more
		case found.Listening[ino], seen && found.Fresh:
			s.kinds[ino] = kindOther
		default:
			s.kinds[ino] = kindNew
			h.race = true
		}
	}
}

// count counts the connections in hand: those that are accepted and neither rest
// in the set of a poller nor wait for a client's next request.
func (c *caller) count(p *table.Process, s *stateTracker, l *look, found *conns.Accepted, now time.Time) {
	sets, loop := c.sets(p, l)
	waits := l.waits()
	hands := make(map[uint64]time.Time)
	for ino, fds := range p.FDs().Sockets {
		if s.kinds[ino] != kindAccepted {
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
			l.hands.pending = l.hands.pending || unanswered
			continue
		case a.HasTimes && !unanswered && c.anyReads(p, l, fds):
			continue // it waits for the next request
		}
		since, held := s.hands[ino]
		if !held {
			since = s.began(a, now)
		}
		hands[ino] = since
		l.hands.n++
		l.hands.age = max(l.hands.age, l.requestAge(a, pooled, now.Sub(since), now))
	}
	s.hands = hands
	if l.hands.n > l.workers() { // some wait in the worker for a thread: only a thread that is in one call for long proves anything
		l.hands.age = min(l.hands.age, l.longest(now))
	}
}

// began returns when the request on a connection began that was not in hand at
// the look before: now, for it may have waited for the worker until now. If the
// worker was idle a moment ago, it is when the last data came.
func (s *stateTracker) began(a sockdiag.Accepted, now time.Time) time.Time {
	idle := now.Sub(s.idleAt)
	if !a.HasTimes || s.idleAt.IsZero() || idle > idleLately {
		return now
	}
	return now.Add(-min(a.Quiet(), idle))
}

// requestAge returns the age of the request on a connection that was first seen
// in hand that long ago, at least.
func (l *look) requestAge(a sockdiag.Accepted, pooled bool, seen time.Duration, now time.Time) time.Duration {
	switch {
	case pooled: // of an event loop that does not wait: it hangs only while it is in one call
		return min(seen, a.Quiet(), now.Sub(l.main.since))
	case !a.HasTimes: // whether it is still the same request only a call that lasts can tell
		return min(seen, l.longest(now))
	case a.Answered(): // it is being sent
		return 0
	default:
		return min(seen, a.Quiet())
	}
}

// workers returns how many threads work, without a main thread that accepts.
func (l *look) workers() int { return max(l.working, 1) }

// longest returns how long a thread has been in one call: of those that work, or
// of all if none does.
func (l *look) longest(now time.Time) time.Duration {
	if l.working > 0 {
		return l.asleep
	}
	var d time.Duration
	for i := range l.others {
		if !l.others[i].waits {
			d = max(d, now.Sub(l.others[i].since))
		}
	}
	return d
}

// sets returns the descriptors that rest in a poller: of the epoll sets of the
// process, and of the poll or select of a thread that waits for a connection.
// loop: its main thread is an event loop in C, whose greenlets wait in no set.
func (c *caller) sets(p *table.Process, l *look) (sets map[int]bool, loop bool) {
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
		if k.waits {
			add(c.calls.ReadFDs(p.PID, k.call))
		}
	}
	switch k := l.main.call; k.NR {
	case procfs.SysEpollWait, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2:
		loop = l.main.waits && int(k.Args[2]) > max(len(c.calls.EpollFDs(p.PID, int(int32(k.Args[0])))), 1)
	}
	return sets, loop
}

// anyReads reports whether a thread waits for data from one of these descriptors.
func (c *caller) anyReads(p *table.Process, l *look, fds []int) bool {
	if c.calls.WaitsForData(p.PID, l.main.call, fds) {
		return true
	}
	return slices.ContainsFunc(l.others, func(k thread) bool { return c.calls.WaitsForData(p.PID, k.call, fds) })
}

// spare reports whether a worker that is busy or stuck has a thread left for
// another request: one that waits for a connection itself, or one of the pool
// behind a thread that does. threads is the size of that pool; 0: not known,
// then every thread of the process counts.
func (l *look) spare(state discovery.State, threads int) bool {
	if state != discovery.Busy && state != discovery.Stuck || !l.waits() {
		return false
	}
	if l.server == cmdline.UWSGI || l.server == cmdline.Flask {
		return true
	}
	if threads == 0 {
		threads = len(l.others)
	}
	return l.hands.n < threads
}

// listening returns the descriptors under which a process has the app's sockets.
func listening(a *discovery.InspectedApp, p *table.Process) []int {
	fds := make([]int, 0, 4)
	for _, l := range a.Listeners {
		fds = append(fds, p.FDs().Sockets[l.Inode]...)
	}
	return fds
}

// held returns how many listeners of the app a process has.
func held(a *discovery.InspectedApp, p *table.Process) (n int) {
	for _, l := range a.Listeners {
		if len(p.FDs().Sockets[l.Inode]) > 0 {
			n++
		}
	}
	return n
}
