package waits

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// bootLimit is how long a worker that was never seen waiting for a connection,
// and that runs or reads files as an import does, counts as booting where nothing
// better is known.
const bootLimit = 10 * time.Second

// tracker is what is kept of a worker from sample to sample.
type tracker struct {
	state        discovery.State
	since        time.Time             // of the first sample of this state
	wasIdle      bool                  // it was seen without a request in flight
	hadRequest   bool                  // it was seen with a request in flight
	mainAccepted bool                  // its main thread was seen waiting for a connection
	sync         bool                  // it is a sync worker of gunicorn: its main thread selects on its listeners
	idleAt       time.Time             // of the last sample that proved it idle
	threads      map[int]threadHistory // its threads, by id
	sockets      map[uint64]socketKind // its sockets, by inode
	inflight     map[uint64]time.Time  // connections with a request in flight by inode: the first sample of that
	checked      time.Time             // when its connections were last read
}

// sample is what one inspection of a worker has read.
type sample struct {
	readable    bool // its system calls could be read
	server      cmdline.Server
	main        thread
	others      []thread
	busyThreads int           // threads that neither wait for a connection nor are parked
	longestCall time.Duration // the longest that one of them has been in one call
	inflight    inflight
	sync        bool // it is a sync worker of gunicorn with one listener
	heartbeat   procid.Heartbeat
	age         time.Duration // of the process
	stuckAfter  time.Duration
}

// accepts reports whether a thread of the worker waits for a new connection.
func (l *sample) accepts() bool {
	if l.main.accepts {
		return true
	}
	for i := range l.others {
		if l.others[i].accepts {
			return true
		}
	}
	return false
}

// noneInflight reports whether the system calls alone prove that no request is in flight:
// a thread waits for a connection, and none is at work.
func (l *sample) noneInflight() bool { return l.accepts() && l.busyThreads == 0 }

// idle reports whether no request is in flight, as far as calls and connections show. If
// the connections are not known, that is so while a thread waits for a connection and none
// moves data.
func (l *sample) idle() bool {
	switch {
	case l.noneInflight():
		return true
	case l.inflight.n > 0, l.accepts() && l.inflight.pending && l.busyThreads > 0:
		return false
	case l.accepts():
		return l.inflight.known || !l.transfersData()
	default:
		return l.inflight.known && l.locksAccept() && l.waitsForLock()
	}
}

// betweenRequests reports whether a worker that was idle before has no request in flight
// although no thread waits for a connection, and not for so long that it counts as stuck:
// an event loop also wakes up without input. False if its connections are not known.
func (s *tracker) betweenRequests(l *sample, now time.Time) bool {
	return s.wasIdle && l.inflight.known && l.inflight.n == 0 && !l.accepts() && s.requestAge(l, now) < l.stuckAfter
}

// locksAccept reports whether the threads of the server may accept connections under a
// lock, so that none of a worker's may wait for one: those of uWSGI, and of servers that
// are not known.
func (l *sample) locksAccept() bool {
	return l.server == cmdline.UWSGI || l.server == cmdline.Other || l.server == cmdline.Script
}

// waitsForLock reports whether any thread of the worker waits for a lock; for uWSGI,
// whether the main one does.
func (l *sample) waitsForLock() bool {
	if isLock(l.main.call.NR) || l.server == cmdline.UWSGI {
		return isLock(l.main.call.NR)
	}
	for i := range l.others {
		if isLock(l.others[i].call.NR) {
			return true
		}
	}
	return false
}

// transfersData reports whether a thread other than the main one, which neither waits for a
// connection nor is parked, runs or moves data.
func (l *sample) transfersData() bool {
	for i := range l.others {
		if k := l.others[i]; !k.accepts && !k.parked && (k.call.Running || movesData(k.call.NR)) {
			return true
		}
	}
	return false
}

// update returns the state of a worker by a sample, and how long it has been in it at
// least: if busy or stuck, the age of its oldest request. It stores the state.
//
// A worker is idle unless a request is in flight. The age of a request is proven by the
// heartbeat of gunicorn's sync worker, or by when the connection was first seen in flight
// and had its last data.
func (s *tracker) update(l *sample, now time.Time) (discovery.State, time.Duration) {
	state, in := s.stateOf(l, now)
	if state != s.state || s.since.IsZero() {
		s.state, s.since = state, now
	}
	switch state {
	case discovery.Idle, discovery.StateUnknown:
		return state, now.Sub(s.since)
	default:
		return state, in
	}
}

// Unready reports whether the worker was inspected and never seen ready for a request, or
// in one; false while its state is not known.
func (s *tracker) Unready() bool {
	return s.state != discovery.StateUnknown && !s.wasIdle && !s.hadRequest
}

// stateOf returns the state that a sample shows and the age of the request (busy or
// stuck) or of the booting process; 0 if it is idle or not known.
func (s *tracker) stateOf(l *sample, now time.Time) (discovery.State, time.Duration) {
	s.hadRequest = s.hadRequest || l.inflight.n > 0
	switch {
	case !l.readable:
		return discovery.StateUnknown, 0
	case l.inflight.n == 0 && l.heartbeat.Never:
		return discovery.Booting, l.age
	case l.idle():
		s.wasIdle = true
		s.mainAccepted = s.mainAccepted || l.main.accepts
		if l.noneInflight() || l.inflight.known && !l.inflight.unsorted {
			s.idleAt = now
		}
		return discovery.Idle, 0
	case s.betweenRequests(l, now):
		return discovery.Idle, 0
	case l.inflight.n == 0 && l.main.loadsFiles() && !s.wasIdle && !l.heartbeat.Known && l.age < bootLimit:
		return discovery.Booting, l.age
	}
	age := s.requestAge(l, now)
	if age >= l.stuckAfter && (s.wasIdle || l.server != cmdline.Other && l.server != cmdline.Script) {
		return discovery.Stuck, age
	}
	return discovery.Busy, age
}

// requestAge returns how long the worker has been in one request at least or, if none is
// seen, its main thread, which used to accept, in one call; 0 if nothing proves any age.
func (s *tracker) requestAge(l *sample, now time.Time) time.Duration {
	switch {
	case l.sync && l.heartbeat.Known && !s.idleAt.IsZero():
		return min(l.heartbeat.Age, now.Sub(s.idleAt))
	case l.inflight.n > 0:
		return l.inflight.age
	case s.mainAccepted && !l.accepts() && !isLock(l.main.call.NR):
		return now.Sub(l.main.since) // it hangs outside of a request, or its connections cannot be seen
	default:
		return 0
	}
}

// detail returns what the worker does, as a phrase such as "waits for input"; "" if its
// calls could not be read.
func (l *sample) detail(state discovery.State) string {
	switch {
	case !l.readable:
		return ""
	case state == discovery.Idle && !l.main.accepts && l.accepts():
		return "a thread waits for a connection"
	case state == discovery.Idle && !l.main.accepts:
		return "waits for the accept lock"
	case state == discovery.Idle || !l.accepts():
		return describe(l.main.call)
	}
	for i := range l.others {
		if k := l.others[i]; !k.accepts && !k.parked {
			return "a thread " + describe(k.call)
		}
	}
	return describe(l.main.call)
}
