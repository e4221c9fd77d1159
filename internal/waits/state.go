package waits

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
)

// bootLimit is how long a worker that was never seen waiting for a connection,
// and that runs or reads files as an import does, counts as booting, where
// nothing better is known.
const bootLimit = 10 * time.Second

// stateTracker is what is kept of the worker in one slot from look to look.
type stateTracker struct {
	state     discovery.State
	since     time.Time            // of the first look at which it was idle, or booting
	idled     bool                 // it has been seen without a request in hand
	served    bool                 // it has been seen with a request in hand
	mainIdled bool                 // its main thread has been seen waiting for a connection
	sync      bool                 // it is a sync worker of gunicorn: its main thread selects on its listeners
	idleAt    time.Time            // of the last look that proved it idle
	tasks     map[int]task         // its threads, by id
	kinds     map[uint64]kind      // its sockets, by inode
	hands     map[uint64]time.Time // connections in hand by inode: the first look at which they were
	checked   time.Time            // when its connections were last looked at
}

// look is one look at a worker.
type look struct {
	ok      bool // its system calls could be read
	server  cmdline.Server
	main    thread
	others  []thread
	working int           // threads that neither wait for a connection nor are at rest
	asleep  time.Duration // the longest that one of them has been in one call
	hands   hands
	sync    bool // it is a sync worker of gunicorn with one listener
	beat    beat
	age     time.Duration // of the process
	stuckIn time.Duration
}

// waits reports whether a thread waits for a connection.
func (l *look) waits() bool {
	if l.main.waits {
		return true
	}
	for i := range l.others {
		if l.others[i].waits {
			return true
		}
	}
	return false
}

// plain reports whether the calls alone prove that there is no request in hand.
func (l *look) plain() bool { return l.waits() && l.working == 0 }

// idle reports whether there is no request in hand.
func (l *look) idle() bool {
	switch {
	case l.plain():
		return true
	case l.hands.n > 0, l.waits() && l.hands.pending && l.working > 0:
		return false
	case l.waits():
		return l.hands.known || !l.atWork()
	default:
		return l.hands.known && l.takesTurns() && l.locked()
	}
}

// passing reports whether a worker that was idle before has no request in hand
// though no thread waits for a connection: an event loop wakes up by itself.
func (s *stateTracker) passing(l *look, now time.Time) bool {
	return s.idled && l.hands.known && l.hands.n == 0 && !l.waits() && s.requestAge(l, now) < l.stuckIn
}

// takesTurns reports whether threads of the server wait for each other in
// accepting connections, so that none of a worker may wait for one.
func (l *look) takesTurns() bool {
	return l.server == cmdline.UWSGI || l.server == cmdline.Other || l.server == cmdline.Script
}

// locked reports whether a thread that may accept connections waits for a lock.
func (l *look) locked() bool {
	if locks(l.main.call.NR) || l.server == cmdline.UWSGI {
		return locks(l.main.call.NR)
	}
	for i := range l.others {
		if locks(l.others[i].call.NR) {
			return true
		}
	}
	return false
}

// atWork reports whether a thread that is not at rest runs or moves data.
func (l *look) atWork() bool {
	for i := range l.others {
		if k := l.others[i]; !k.waits && !k.rests && (k.call.Running || transfers(k.call.NR)) {
			return true
		}
	}
	return false
}

// judge turns a look into a state and the time since the worker is in it, at
// least. For a busy or stuck worker that is the age of its oldest request.
//
// A worker is idle unless it has a request in hand, whatever its threads do.
// Its request has an age where that can be proven: by the heartbeat of a sync
// worker of gunicorn with one listener, which is touched right before a
// connection is accepted; else by the connection, since the look that first
// found it in hand and since data last passed over it.
func (s *stateTracker) judge(l *look, now time.Time) (discovery.State, time.Duration) {
	state, in := s.decide(l, now)
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

// Unready reports whether the worker was looked at and never seen ready for a
// request, or in one.
func (s *stateTracker) Unready() bool {
	return s.state != discovery.StateUnknown && !s.idled && !s.served
}

func (s *stateTracker) decide(l *look, now time.Time) (discovery.State, time.Duration) {
	s.served = s.served || l.hands.n > 0
	switch {
	case !l.ok:
		return discovery.StateUnknown, 0
	case l.hands.n == 0 && l.beat.never:
		return discovery.Booting, l.age
	case l.idle():
		s.idled = true
		s.mainIdled = s.mainIdled || l.main.waits
		if l.plain() || l.hands.known && !l.hands.race {
			s.idleAt = now
		}
		return discovery.Idle, 0
	case s.passing(l, now):
		return discovery.Idle, 0
	case l.hands.n == 0 && l.main.loads() && !s.idled && !l.beat.ok && l.age < bootLimit:
		return discovery.Booting, l.age
	}
	age := s.requestAge(l, now)
	if age >= l.stuckIn && (s.idled || l.server != cmdline.Other && l.server != cmdline.Script) {
		return discovery.Stuck, age
	}
	return discovery.Busy, age
}

// requestAge returns how long the worker has been in one request, at least.
func (s *stateTracker) requestAge(l *look, now time.Time) time.Duration {
	switch {
	case l.sync && l.beat.ok && !s.idleAt.IsZero():
		return min(l.beat.age, now.Sub(s.idleAt))
	case l.hands.n > 0:
		return l.hands.age
	case s.mainIdled && !l.waits() && !locks(l.main.call.NR):
		return now.Sub(l.main.since) // it hangs outside of a request, or its connections cannot be seen
	default:
		return 0
	}
}

// detail returns what the worker does, in words for people.
func (l *look) detail(state discovery.State) string {
	switch {
	case !l.ok:
		return ""
	case state == discovery.Idle && !l.main.waits && l.waits():
		return "a thread waits for a connection"
	case state == discovery.Idle && !l.main.waits:
		return "waits for its turn to accept"
	case state == discovery.Idle || !l.waits():
		return words(l.main.call)
	}
	for i := range l.others {
		if k := l.others[i]; !k.waits && !k.rests {
			return "a thread " + words(k.call)
		}
	}
	return words(l.main.call)
}
