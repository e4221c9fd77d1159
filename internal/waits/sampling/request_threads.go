package sampling

import (
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

// idleLockVotes is how many scans without a request must have found a thread of a pool at
// one address before that is the pool's queue: addresses of the heap are used again.
const idleLockVotes = 2

// idleLock is an address at which threads wait while no request is in flight.
type idleLock struct {
	addr     uint64
	votes    int
	returned bool // a thread has left it and come back, or several wait there
}

// learn updates, by a scan of the worker's connections, which addresses are its pool's
// queue and which threads are of the pool.
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

// learnIdle updates the pool's queue and the background threads of a worker without a
// request in flight. A scan is older than the sample, so it may take a thread that has
// just had a request for a background one, until that is seen at the queue or with a
// request.
func (w *worker) learnIdle() {
	for i, t := range w.threads {
		switch {
		case t.state.accepts, i == 0 && w.threading == pool:
		case w.threading != anyThread && t.atLock():
			w.vote(t)
			if (t.role != rolePool || t.unproven) && w.knowsQueue() && !w.isIdleLock(t.state.futex) {
				t.role, t.unproven = roleBackground, true
			}
		case t.role == roleUnknown, t.role == roleAssumed:
			t.role, t.unproven = roleBackground, true
		}
	}
}

// assume marks threads as roleAssumed that were never seen at the pool's queue, if more
// requests are in flight than the known threads work on: a pool starts its threads one by
// one, each with a request.
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

// vote records that a thread waits at an address while no request is in flight.
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

// proveLocks sets lockProof of the threads of a pool that must wait for a lock in a
// request: the last that began to wait, if more requests are in flight than the others
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

// latestAtLock returns the thread of a pool that began last to wait at a lock that may be
// one of its request; nil if there is none.
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

// withoutGIL returns c; if it is a wait for the GIL, without what it would say of
// requests, as any thread may wait for that, also one of no pool.
func (w *worker) withoutGIL(c callState) callState {
	if w.python.waitsForLock(c.futex) {
		c.untimed, c.mutex = false, false
	}
	return c
}

// atLock reports whether a thread waits at a futex without a timeout, as a pool's threads
// do at its queue.
func (t *thread) atLock() bool { return t.state.futex != 0 && t.state.untimed }

// mayServe reports whether the i-th thread may work on a request, by its place: in a pool all but the main one (0).
func (w *worker) mayServe(i int) bool { return i > 0 || w.threading != pool }

// isIdleLock reports whether an address is the queue of the pool; false also while it is not known that it is.
func (w *worker) isIdleLock(addr uint64) bool {
	for i := range w.idleLocks {
		if l := &w.idleLocks[i]; l.addr == addr && l.votes >= idleLockVotes && l.returned {
			return true
		}
	}
	return false
}

// knowsQueue reports whether the pool's queue is known. It never is for waitress: each of
// its threads waits at an address of its own, another one each time.
func (w *worker) knowsQueue() bool {
	return w.server != cmdline.Waitress && slices.ContainsFunc(w.idleLocks[:], func(l idleLock) bool { return l.votes >= idleLockVotes && l.returned })
}

// believeStack sets the role of a pool's thread by its proven stack: of the pool if it is
// idle in the pool or has a request, background if it is in neither and that does not
// contradict what was seen.
func (w *worker) believeStack(t *thread) {
	switch s := &t.stack; {
	case !t.hasStack():
	case s.idlePool, s.inHand:
		t.role, t.unproven, w.shown = rolePool, false, true
		if s.idlePool && w.server == cmdline.Gunicorn && t.atLock() && !w.isIdleLock(t.state.futex) {
			w.vote(t)
			at := slices.IndexFunc(w.idleLocks[:], func(l idleLock) bool { return l.addr == t.state.futex })
			w.idleLocks[at].votes, w.idleLocks[at].returned = idleLockVotes, true
		}
	case s.nowhere && (t.role != rolePool || t.unproven && w.shown):
		t.role, t.unproven = roleBackground, false
	}
}

// hasStack reports whether the thread's stack is known and it has not run since the last look, also a failed one.
func (t *thread) hasStack() bool { return t.stack.known && t.stack.slices == t.times.Slices }

// waitsForWork reports whether a thread is idle: by its stack, or at its listener, uWSGI's lock or a likely queue.
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

// choose sets t.counted of each thread, and w.counted: which threads are request threads.
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

// choosePool counts the threads of a pool, up to its size: those that return to its
// queue, then the assumed ones.
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

// recognize updates whether a thread is one of the pool: it waits at the queue, or came
// back from work to wait.
func (w *worker) recognize(t *thread) {
	idle := w.waitsForWork(t)
	atQueue := idle && (t.state.accepts || w.isIdleLock(t.state.futex) || w.threading == poolOfAll && t.state.mutex)
	switch {
	case atQueue:
		t.role, t.unproven = rolePool, false
	case idle && t.worked && t.role != roleBackground:
		t.role, t.unproven = rolePool, t.role != rolePool || t.unproven
	case !idle && !t.atLock(): // not one that waits at a lock of its own
		t.worked = true
	}
}

// chooseAny counts the threads that may have a request, if the server is not known: those
// without another explanation.
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

// onOf returns what a thread does or waits for now; Idle also for an event loop without a request, Unknown if denied.
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
