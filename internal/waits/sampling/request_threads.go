package sampling

import (
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

// idleLockVotes is how many scans without a request must have found a thread of a
// pool at one address before that is the pool's queue: addresses of the heap are
// used again.
const idleLockVotes = 2

// idleLock is an address at which threads wait while no request is in flight.
type idleLock struct {
	addr     uint64
	votes    int
	returned bool // a thread has left it and come back, or several wait there
}

// learn takes what a scan has found about a worker's connections: which addresses
// are the queue of its pool, and which threads belong to none.
func (w *worker) learn() {
	switch c := w.scan; {
	case !c.known, w.threading == mainThread, w.threading == eventLoop:
	case c.none():
		w.learnIdle()
	default:
		w.assume()
		w.proveLocks()
	}
}

// learnIdle learns from a worker that has no request in flight. A thread that has
// just taken one, or has just ended one, may be taken for a background thread; it
// is one of the pool again when it is seen at the pool's queue, or its stack shows a
// request: a scan is older than the sample.
func (w *worker) learnIdle() {
	for i, t := range w.threads {
		switch {
		case t.state.accepts, i == 0 && w.threading == pool:
		case w.threading != anyThread && t.atLock():
			w.vote(t)
			if t.role != rolePool && w.knowsQueue() && !w.isIdleLock(t.state.futex) {
				t.role, t.unproven = roleBackground, true
			}
		case t.role == roleUnknown, t.role == roleAssumed:
			t.role, t.unproven = roleBackground, true
		}
	}
}

// assume takes threads for some of the pool that were never seen at its queue, as
// far as more requests are in flight than the others work on: a pool begins its
// threads one by one, each with a request.
func (w *worker) assume() {
	if w.threading != pool && w.threading != poolOfAll {
		return
	}
	need := w.scan.inFlight
	for _, t := range w.threads {
		if (t.role == rolePool || t.role == roleAssumed) && !w.waitsForWork(t) {
			need--
		}
	}
	for i, t := range w.threads {
		if need > 0 && t.role == roleUnknown && w.mayServe(i) && !w.waitsForWork(t) {
			t.role = roleAssumed
			need--
		}
	}
}

// vote counts that a thread waits at an address while no request is in flight.
func (w *worker) vote(t *thread) {
	at := slices.IndexFunc(w.idleLocks[:], func(l idleLock) bool { return l.addr == t.state.futex })
	if at < 0 {
		at = len(w.idleLocks) - 1
		for i := range w.idleLocks {
			if w.idleLocks[i].votes < w.idleLocks[at].votes {
				at = i
			}
		}
		w.idleLocks[at] = idleLock{addr: t.state.futex}
	}
	l := &w.idleLocks[at]
	l.votes++
	l.returned = l.returned || t.worked || slices.ContainsFunc(w.threads, func(o *thread) bool {
		return o != t && o.state.futex == l.addr && o.state.untimed
	})
}

// proveLocks marks the threads of a pool that must wait for a lock in a request:
// those that took it last, if more requests are in flight than the other threads
// work on.
func (w *worker) proveLocks() {
	locked := w.scan.inFlight
	for i, t := range w.threads {
		if w.mayServe(i) && t.role != roleBackground && !t.state.accepts && !t.atLock() {
			locked--
		}
	}
	for ; locked > 0; locked-- {
		last := w.latestAtLock()
		if last == nil {
			return
		}
		last.lockProof = last.times.Slices
	}
}

// latestAtLock returns the thread of a pool that began last to wait at a lock that
// is not the pool's queue and not proven to be another; nil if there is none.
func (w *worker) latestAtLock() (last *thread) {
	for i, t := range w.threads {
		if !w.mayServe(i) || t.role == roleBackground || !t.atLock() || t.lockProof == t.times.Slices || w.isIdleLock(t.state.futex) {
			continue
		}
		if last == nil || t.since.After(last.since) {
			last = t
		}
	}
	return last
}

// withoutGIL returns what a call says, of which a wait for the interpreter's lock says
// nothing of requests: any thread may be in one, also one of no pool.
func (w *worker) withoutGIL(c callState) callState {
	if w.python.waitsForLock(c.futex) {
		c.untimed, c.mutex = false, false
	}
	return c
}

// atLock reports whether a thread waits at a futex without a timeout, as threads of
// a pool do at its queue.
func (t *thread) atLock() bool { return t.state.futex != 0 && t.state.untimed }

// mayServe reports whether the thread at that place may work on a request.
func (w *worker) mayServe(i int) bool { return i > 0 || w.threading != pool }

// isIdleLock reports whether an address is the queue of the pool.
func (w *worker) isIdleLock(addr uint64) bool {
	for i := range w.idleLocks {
		if l := &w.idleLocks[i]; l.addr == addr && l.votes >= idleLockVotes && l.returned {
			return true
		}
	}
	return false
}

// knowsQueue reports whether the address of the pool's queue is known. The threads
// of waitress each wait at an address of their own, another one each time.
func (w *worker) knowsQueue() bool {
	return w.server != cmdline.Waitress && slices.ContainsFunc(w.idleLocks[:], func(l idleLock) bool { return l.votes >= idleLockVotes && l.returned })
}

// believeStack takes what a look at a thread of a pool has proven: which call of
// Python it is in says what it is.
func (w *worker) believeStack(t *thread) {
	switch s := &t.stack; {
	case !t.hasStack():
	case s.idlePool:
		t.role = rolePool
		if w.server == cmdline.Gunicorn && t.atLock() && !w.isIdleLock(t.state.futex) {
			w.vote(t)
			at := slices.IndexFunc(w.idleLocks[:], func(l idleLock) bool { return l.addr == t.state.futex })
			w.idleLocks[at].votes, w.idleLocks[at].returned = idleLockVotes, true
		}
	case s.inHand:
		t.role = rolePool
	case s.nowhere && t.role != rolePool:
		t.role, t.unproven = roleBackground, false
	}
}

// hasStack reports whether a stack was believed and the thread has not run since.
func (t *thread) hasStack() bool { return t.stack.known && t.stack.slices == t.times.Slices }

// waitsForWork reports whether a thread waits for a request.
func (w *worker) waitsForWork(t *thread) bool {
	switch {
	case t.state.accepts:
		return true
	case t.hasStack() && (t.stack.idlePool || t.stack.inHand):
		return t.stack.idlePool
	case w.server == cmdline.UWSGI && t.state.mutex: // its threads and processes take turns to accept
		return true
	case w.threading != pool && w.threading != poolOfAll, t.state.futex == 0, !t.state.untimed:
		return false
	case w.server != cmdline.Waitress && w.isIdleLock(t.state.futex):
		return true
	}
	return !w.knowsQueue() && t.lockProof != t.times.Slices
}

// choose sets which threads of a worker count as request threads.
func (w *worker) choose() {
	w.counted = 0
	switch w.threading {
	case mainThread, eventLoop:
		w.main().counted = true
		w.counted = 1
	case pool, poolOfAll:
		w.choosePool()
	case anyThread:
		w.chooseAny()
	}
}

// choosePool chooses the threads of a pool, as far as it has room: those that
// return to its queue, then those that were taken for some.
func (w *worker) choosePool() {
	for i, t := range w.threads {
		t.counted = false
		if w.mayServe(i) {
			w.recognize(t)
		}
	}
	for _, r := range []role{rolePool, roleAssumed} {
		for _, t := range w.threads {
			if t.role == r && (w.capacity == 0 || w.counted < w.capacity) {
				t.counted = true
				w.counted++
			}
		}
	}
}

// recognize makes a thread one of the pool that waits at its queue, or that has come
// back to wait for work.
func (w *worker) recognize(t *thread) {
	idle := w.waitsForWork(t)
	atQueue := idle && (t.state.accepts || w.isIdleLock(t.state.futex) || w.threading == poolOfAll && t.state.mutex)
	switch {
	case atQueue, idle && t.worked && t.role != roleBackground:
		t.role = rolePool
	case !idle && !t.atLock(): // not one that waits at a lock of its own
		t.worked = true
	}
}

// chooseAny chooses the threads that work on requests where the server is not
// known: those that have no other explanation.
func (w *worker) chooseAny() {
	moving := 0
	for _, t := range w.threads {
		if t.state.accepts {
			t.role = roleUnknown
		}
		works := !t.atLock() || t.hasStack() && t.stack.inHand
		t.counted = !t.state.accepts && t.role != roleBackground && works
		if t.counted {
			moving++
		}
	}
	for _, t := range w.threads {
		if t.atLock() && t.role != roleBackground && !t.counted && w.scan.known && w.scan.inFlight > moving {
			t.counted = true
			moving++
		}
	}
	w.counted = moving
}

// onOf returns what a thread does or waits for, by its state and that of its
// worker.
func (w *worker) onOf(t *thread) ledger.On {
	switch {
	case t.denied:
		return ledger.Unknown
	case t.call.Running:
		return ledger.CPU
	case w.python.waitsForLock(t.state.futex):
		return ledger.GIL
	case w.threading == eventLoop && (t.state.accepts || t.state.polls):
		if w.scan.inFlight > 0 || w.scan.pending || w.loop.inHand() {
			return ledger.Loop
		}
		return ledger.Idle
	case w.waitsForWork(t):
		return ledger.Idle
	case t.state.socket != nil && t.state.socket.Named:
		return t.state.socket.On
	}
	return t.state.fixed
}
