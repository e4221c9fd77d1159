package sampling

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
	"github.com/resp-exporter/resp-exporter/internal/waits/sockets"
)

// viewTime is what is needed to divide the time of a thread among views. Which view
// it is in is known in samples with stacks alone. Each of these stands for the time
// since the one before, idle or not: no other rule gives short requests and long ones
// what they took.
type viewTime struct {
	ledger ledger.Ledger
	at     time.Time    // of the last sample with stacks; zero: there was none
	view   *ledger.View // that the thread was in then; nil: in none, or not known
	held   heldTime
}

// heldTime is the time of samples with stacks in which the stack of the thread was
// not to be believed. It belongs to the view that the request is in as soon as a later
// stack proves that it is the same request, and to none if that ends before.
type heldTime struct {
	since   time.Time     // the first of these samples; zero: there is none
	run     time.Duration // of the thread then
	seconds ledger.Seconds
	sockets [2]heldWait // that have no name yet
}

// heldWait is the time that was waited for one socket.
type heldWait struct {
	socket  *sockets.Socket // nil: there is none
	seconds float64
}

// accountView adds the time of a thread since the last sample with stacks to the view
// that it is in, in such a sample. runs is what its time on a processor counts as.
//
// That time is exact and not of this moment alone: each of both samples gets half of
// it, or all of it if the thread had no request in the other one.
func (t *thread) accountView(on, runs ledger.On, now time.Time) {
	v := &t.inViews
	x := v.ledger.Sample(now.Sub(v.at), t.times.Run, t.times.Delay, !t.call.Running)
	before := v.view
	v.at, v.view = now, nil
	var to *ledger.Seconds
	switch inRequest := on != ledger.Idle && on != ledger.Loop; {
	case inRequest && !t.hasStackNow(now):
		to = &v.held.seconds
		v.held.wait(t, on, x.Wait, now)
	case inRequest && t.view != nil:
		v.view, to = t.view, &t.view.Seconds
		v.held.settle(t)
		if n := t.waitedFor(on); n != nil {
			n.Credit(x.Wait, to)
		} else {
			to[on] += x.Wait
		}
	default:
		v.held.drop()
	}
	share := 1.0
	if before != nil && to != nil {
		share = 0.5
	}
	if before != nil {
		before.Seconds[runs] += share * x.Run
		before.Seconds[ledger.CPUQueue] += share * x.Delay
	}
	if to != nil {
		to[runs] += share * x.Run
		to[ledger.CPUQueue] += share * x.Delay
	}
}

// hasStackNow reports whether what was last seen of a thread's stack holds in this
// sample: a thread that runs without a pause may be in another request by now.
func (t *thread) hasStackNow(now time.Time) bool {
	return t.hasStack() && (!t.call.Running || t.stack.at.Equal(now))
}

// wait adds what a thread has waited whose stack was not to be believed.
func (h *heldTime) wait(t *thread, on ledger.On, seconds float64, now time.Time) {
	if h.since.IsZero() {
		h.since, h.run = now, t.times.Run
	}
	n := t.waitedFor(on)
	if n == nil {
		h.seconds[on] += seconds
		return
	}
	for i := range h.sockets {
		if s := &h.sockets[i]; s.socket == nil || s.socket == n {
			s.socket, s.seconds = n, s.seconds+seconds
			return
		}
	}
	h.seconds[ledger.Other] += seconds
}

// settle adds what is held to the view that the thread is in, if its request is the
// same, and holds nothing any more.
func (h *heldTime) settle(t *thread) {
	if h.since.IsZero() {
		return
	}
	if to := &t.view.Seconds; h.sameRequest(t) {
		for on, seconds := range h.seconds {
			to[on] += seconds
		}
		for _, s := range h.sockets {
			if s.socket != nil {
				s.socket.Credit(s.seconds, to)
			}
		}
	}
	h.drop()
}

// drop holds nothing any more.
func (h *heldTime) drop() {
	if !h.since.IsZero() {
		*h = heldTime{}
	}
}

// sameRequest reports whether a thread that has had a request since the first sample
// of what is held has had this one all the time: it began before, or the thread has
// run too little for the end of a request and the begin of another.
func (h *heldTime) sameRequest(t *thread) bool {
	if started := t.stack.started; !started.IsZero() {
		return !started.After(h.since)
	}
	return t.times.Run-h.run <= pollRun
}
