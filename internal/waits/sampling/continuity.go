package sampling

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/viewtime"
	"github.com/resp-exporter/resp-exporter/internal/waits/sockets"
)

// How often a thread may wake up in a wait that counts as one: clients poll with
// timeouts. One that wakes up more often has many short waits.
const (
	wakesAtOnce         = 2
	wakesEachSecond     = 2
	lockWakesEachSecond = 20 // a lock is tried more often
)

// wait is one wait of a thread, or its computing, as it was last told from others.
type wait struct {
	since  time.Time // zero: there is none
	first  uint64    // Slices when it began
	last   uint64    // Slices when it was last seen
	run    time.Duration
	call   procfs.Syscall
	socket *sockets.Socket
	futex  uint64

	proven     bool // the stack was read, and has a request whose start is known
	started    time.Time
	view       string
	own, inner model.Frame
}

// wait returns the wait that a thread is in, as it is kept to compare later ones.
func (t *thread) wait() wait {
	return wait{
		since: t.since, first: t.times.Slices, last: t.times.Slices, run: t.times.Run, call: t.call, socket: t.state.socket, futex: t.state.futex,
		proven: t.hasStack() && t.stack.inHand && !t.stack.started.IsZero(), started: t.stack.started, view: t.stack.view, own: t.stack.own, inner: t.stack.inner,
	}
}

// settle sets t.since after the thread has run: if it continues the wait before, to the
// start of that. If its stack is still to be read, a later call decides.
func (w *worker) settle(t *thread, on ledger.On) {
	if !t.unsettled || w.python.process != nil && t.counted && w.wantsStack(t) && !t.call.Running {
		return
	}
	t.unsettled = false
	now := t.wait()
	if on != ledger.Idle && on != ledger.Loop && t.past.continues(&now) {
		now.since, now.first = t.past.since, t.past.first
		t.since = now.since
	}
	t.past = now
}

// continues reports whether the later wait n is the same as p: for the same thing, in the same line of
// the same request, with few wakes between; of threads that run, in the same request. If the request is
// not known, the thread must wait, have woken up only once, run for a moment, and be in the same call.
func (p *wait) continues(n *wait) bool {
	if p.since.IsZero() || p.call.Running != n.call.Running || p.proven != n.proven {
		return false
	}
	if n.call.Running {
		return n.proven && n.started.Equal(p.started) && n.view == p.view
	}
	each := wakesEachSecond
	switch {
	case n.call.NR != p.call.NR, n.socket != p.socket, n.futex != p.futex:
		return false
	case !n.proven:
		return n.call == p.call && n.last == p.last+1 && n.run-p.run <= viewtime.PollRun
	case n.futex != 0:
		each = lockWakesEachSecond
	}
	wakes := float64(n.last - p.first)
	return n.started.Equal(p.started) && n.view == p.view && n.own == p.own && n.inner == p.inner &&
		wakes <= wakesAtOnce+float64(each)*n.since.Sub(p.since).Seconds()
}
