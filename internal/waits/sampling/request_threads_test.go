package sampling

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

// The states of simulated threads.
func atLock(addr uint64) callState {
	return callState{futex: addr, untimed: true, fixed: ledger.Lock}
}

func inCall(on ledger.On) callState { return callState{fixed: on} }

// simulate sets the states of a worker's threads, as a sample does, after a scan has
// found that many requests; fewer than 0: there was no scan.
func simulate(w *worker, inFlight int, states ...callState) {
	for len(w.threads) < len(states) {
		w.threads = append(w.threads, newThread(len(w.threads)))
	}
	for i, s := range states {
		t := w.threads[i]
		if t.state != s {
			t.times.Slices++
			t.since = time.Unix(int64(t.times.Slices), 0)
		}
		t.state, t.call = s, procfs.Syscall{NR: unix.SYS_READ}
	}
	if inFlight >= 0 {
		w.scan = scanResult{known: true, inFlight: inFlight}
		w.learn()
	}
	w.choose()
}

// ons returns what the counted threads do.
func ons(w *worker) (out []ledger.On) {
	for _, t := range w.threads {
		if t.counted {
			out = append(out, w.onOf(t))
		}
	}
	return out
}

func expectOns(t *testing.T, w *worker, want ...ledger.On) {
	t.Helper()
	got := ons(w)
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%v, want %v", got, want)
		}
	}
}

// The threads of gthread wait for work at one lock, and for their own in requests.
// What waits elsewhere while nobody asks is no request thread.
func TestPoolLearnsItsQueue(t *testing.T) {
	t.Parallel()
	const queue, mine = 0x1000, 0x2000
	poller := callState{accepts: true, polls: true}
	w := &worker{threading: pool, capacity: 2, server: cmdline.Gunicorn}
	asleep, consumer := inCall(ledger.Sleep), atLock(0x3000)
	simulate(w, 0, poller, asleep, consumer)
	expectOns(t, w)
	simulate(w, 1, poller, asleep, consumer, inCall(ledger.Redis)) // the first thread of the pool begins with a request
	expectOns(t, w, ledger.Redis)
	for range 3 {
		simulate(w, 0, poller, asleep, consumer, atLock(queue))
	}
	expectOns(t, w, ledger.Idle)
	simulate(w, -1, poller, asleep, consumer, atLock(mine))
	expectOns(t, w, ledger.Lock)
	simulate(w, 2, poller, asleep, consumer, atLock(mine), inCall(ledger.MySQL))
	expectOns(t, w, ledger.Lock, ledger.MySQL)
	simulate(w, -1, poller, asleep, consumer, atLock(queue), atLock(queue))
	expectOns(t, w, ledger.Idle, ledger.Idle)
	simulate(w, -1, poller, inCall(ledger.Disk), consumer, atLock(queue), atLock(queue)) // another job of the sleeper
	expectOns(t, w, ledger.Idle, ledger.Idle)
}

// A background thread that sleeps, and then waits at a lock of its own while the pool's
// queue is not known, is none of the pool: its stack shows no pool, and that of another
// thread shows one. Where no stack has shown a pool, the lock decides.
func TestPoolIsNotAtOtherLocks(t *testing.T) {
	t.Parallel()
	poller, started := callState{accepts: true, polls: true}, atLock(0x6000)
	for name, c := range map[string]struct {
		request stackInfo
		want    []ledger.On
	}{
		"a request is shown": {stackInfo{known: true, looked: true, inHand: true}, []ledger.On{ledger.Redis}},
		"no pool is shown":   {stackInfo{}, []ledger.On{ledger.Redis, ledger.Sleep}},
	} {
		w := &worker{threading: pool, capacity: 4, server: cmdline.Gunicorn}
		simulate(w, 1, poller, inCall(ledger.Redis), inCall(ledger.Sleep))
		w.threads[1].stack = c.request
		w.threads[1].stack.slices = w.threads[1].times.Slices
		w.believeStack(w.threads[1])
		simulate(w, -1, poller, inCall(ledger.Redis), started)
		other := w.threads[2]
		if other.role != rolePool || !other.unproven {
			t.Fatalf("%s: role %d, unproven %v", name, other.role, other.unproven)
		}
		other.stack = stackInfo{known: true, looked: true, nowhere: true, slices: other.times.Slices}
		w.believeStack(other)
		for range 3 {
			simulate(w, -1, poller, inCall(ledger.Redis), inCall(ledger.Sleep))
			expectOns(t, w, c.want...)
			simulate(w, -1, poller, inCall(ledger.Redis), started)
		}
	}
}

// A background thread that is found at the mutex of the interpreter's lock, which has no
// timeout, is none of a pool.
func TestPoolIsNotAtGIL(t *testing.T) {
	t.Parallel()
	const mutex = 0x5000
	for _, th := range []threading{pool, poolOfAll} {
		w := &worker{threading: th, server: cmdline.UWSGI}
		w.python = interpreter{process: new(pystack.Process), gilKnown: true, gil: pystack.GIL{Cond: 0x4000, Mutex: mutex}}
		simulate(w, -1, callState{accepts: true, polls: true}, inCall(ledger.Sleep))
		before := len(ons(w))
		at := w.withoutGIL(callState{futex: mutex, untimed: true, mutex: true, fixed: ledger.Lock})
		if at.futex != mutex {
			t.Fatalf("%+v", at)
		}
		simulate(w, -1, callState{accepts: true, polls: true}, at)
		if got := ons(w); len(got) != before || w.threads[1].role != roleUnknown {
			t.Errorf("threading %d: %v, role %d", th, got, w.threads[1].role)
		}
		if other := (callState{futex: 0x9000, untimed: true, mutex: true}); w.withoutGIL(other) != other {
			t.Error("another lock")
		}
	}
}

// A thread that has taken a request right after a scan that found none is taken for a
// background thread. Its stack is read until it is proven, and makes it one of the pool.
func TestScanOlderThanRequest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stack stackInfo
		want  []ledger.On
		again bool // the stack is wanted when it has run
	}{
		"a request":            {stackInfo{inHand: true}, []ledger.On{ledger.Sleep}, true},
		"no request":           {stackInfo{nowhere: true}, nil, false},
		"it could not be told": {stackInfo{}, nil, true},
	} {
		w := &worker{threading: pool, capacity: 2, server: cmdline.Gunicorn, key: workerKey{pid: 4711}}
		simulate(w, 0, callState{accepts: true, polls: true}, inCall(ledger.Sleep))
		x := w.threads[1]
		if x.role != roleBackground || !w.wantsStack(x) {
			t.Errorf("%s: role %d, a stack is wanted: %v", name, x.role, w.wantsStack(x))
		}
		c.stack.known, c.stack.looked, c.stack.slices = true, true, x.times.Slices
		x.stack = c.stack
		w.believeStack(x)
		simulate(w, -1, callState{accepts: true, polls: true}, inCall(ledger.Sleep))
		expectOns(t, w, c.want...)
		x.times.Slices++
		if got := w.wantsStack(x); got != c.again {
			t.Errorf("%s: a stack is wanted again: %v", name, got)
		}
	}
}

// Before the queue of a pool is known, only more requests than other threads work
// on prove that one waits for a lock.
func TestPoolProvesLocks(t *testing.T) {
	t.Parallel()
	poller := callState{accepts: true, polls: true}
	w := &worker{threading: pool, capacity: 4, server: cmdline.Waitress}
	simulate(w, -1, poller, inCall(ledger.Sleep), inCall(ledger.Sleep))
	simulate(w, -1, poller, atLock(1), atLock(2))
	expectOns(t, w, ledger.Idle, ledger.Idle)
	simulate(w, 1, poller, atLock(1), atLock(2))
	if got := ons(w); got[0] == got[1] {
		t.Errorf("%v, want one in a lock", got)
	}
	simulate(w, -1, poller, atLock(3), atLock(4))
	expectOns(t, w, ledger.Idle, ledger.Idle)
}

// The threads of uWSGI take turns to accept: the others wait for a mutex of the C
// library.
func TestUWSGITakesTurns(t *testing.T) {
	t.Parallel()
	turn := callState{futex: 0x10, untimed: true, mutex: true, fixed: ledger.Lock}
	w := &worker{threading: poolOfAll, capacity: 3, server: cmdline.UWSGI}
	simulate(w, -1, callState{accepts: true, polls: true}, turn, turn)
	expectOns(t, w, ledger.Idle, ledger.Idle, ledger.Idle)
	simulate(w, -1, inCall(ledger.Sleep), callState{accepts: true, polls: true}, turn)
	expectOns(t, w, ledger.Sleep, ledger.Idle, ledger.Idle)
	simulate(w, -1, inCall(ledger.Sleep), atLock(0x20), turn)
	if got := ons(w); len(got) != 3 || got[0] != ledger.Sleep || got[2] != ledger.Idle {
		t.Errorf("%v", got)
	}
}

// An event loop in its poll is idle, or waits with its requests.
func TestEventLoop(t *testing.T) {
	t.Parallel()
	poll := callState{accepts: true, polls: true, fixed: ledger.Other}
	w := &worker{threading: eventLoop, capacity: 1, server: cmdline.Uvicorn}
	simulate(w, 0, poll)
	expectOns(t, w, ledger.Idle)
	w.scan.pending = true
	expectOns(t, w, ledger.Loop)
	simulate(w, 1, inCall(ledger.Sleep))
	expectOns(t, w, ledger.Sleep)
}

// A loop is blocked while it stays in one call; not while it is in its poll, and
// not before 100 ms.
func TestLoopBlocked(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	w := &worker{threading: eventLoop, totals: &ledger.Slot{}}
	step := func(moved bool, s callState) {
		now = now.Add(50 * time.Millisecond)
		simulate(w, -1, s)
		w.main().moved = moved
		w.watchLoop(50*time.Millisecond, now)
	}
	poll := callState{accepts: true, polls: true}
	step(true, poll)
	step(true, inCall(ledger.Sleep))
	step(false, inCall(ledger.Sleep))
	if w.totals.Blocked != 0 {
		t.Errorf("blocked after 50 ms: %g", w.totals.Blocked)
	}
	for range 4 {
		step(false, inCall(ledger.Sleep))
	}
	if got := w.totals.Blocked; got < 0.249 || got > 0.251 {
		t.Errorf("%g s, want 0.25", got)
	}
	step(true, poll)
	step(false, poll)
	step(true, inCall(ledger.Sleep))
	step(true, inCall(ledger.Sleep)) // it has run in between
	if got := w.totals.Blocked; got > 0.251 {
		t.Errorf("%g s in the poll", got)
	}
}

// The main thread of a sync worker is its request thread, also if a scan that found
// no request is older than the request that it has.
func TestMainThreadIsNoBackground(t *testing.T) {
	t.Parallel()
	w := &worker{threading: mainThread, capacity: 1, server: cmdline.Gunicorn}
	simulate(w, 0, inCall(ledger.Redis))
	expectOns(t, w, ledger.Redis)
	if !w.wantsStack(w.main()) {
		t.Error("its stack is not wanted")
	}
}

// Where the server is not known, the threads that work while a request is in
// flight have it.
func TestAnyThread(t *testing.T) {
	t.Parallel()
	accept := callState{accepts: true}
	w := &worker{threading: anyThread, server: cmdline.Flask}
	simulate(w, 0, accept, inCall(ledger.Sleep), atLock(7))
	expectOns(t, w)
	simulate(w, -1, accept, inCall(ledger.Sleep), atLock(7), inCall(ledger.Redis)) // a thread for a request
	expectOns(t, w, ledger.Redis)
	simulate(w, 0, accept, inCall(ledger.Sleep), atLock(7))
	w.threads = w.threads[:3]
	w.choose()
	expectOns(t, w)
}

// Each server has its threading.
func TestThreading(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		server  cmdline.Server
		class   string
		threads int
		sync    bool
		want    threading
	}{
		{cmdline.Gunicorn, "", 0, false, mainThread},
		{cmdline.Gunicorn, "sync", 1, true, mainThread},
		{cmdline.Gunicorn, "sync", 4, false, pool},
		{cmdline.Gunicorn, "gthread", 0, false, pool},
		{cmdline.Gunicorn, "gevent", 0, false, eventLoop},
		{cmdline.Gunicorn, "uvicorn.workers.UvicornWorker", 0, false, eventLoop},
		{cmdline.UWSGI, "", 0, false, mainThread},
		{cmdline.UWSGI, "", 3, false, poolOfAll},
		{cmdline.Waitress, "", 4, false, pool},
		{cmdline.Uvicorn, "", 0, false, eventLoop},
		{cmdline.Flask, "", 0, false, anyThread},
		{cmdline.Other, "", 0, false, anyThread},
	} {
		if got := threadingOf(c.server, c.class, c.threads, c.sync); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}
