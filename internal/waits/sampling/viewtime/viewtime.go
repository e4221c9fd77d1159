// Package viewtime divides the time of a thread among the views of its requests. It is
// pure: it reads nothing and has no clock.
package viewtime

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
	"github.com/resp-exporter/resp-exporter/internal/waits/sockets"
)

// PollRun is how long a thread may run between two waits of which it is not known
// that they are of one request: polling again takes less, the next request more.
const PollRun = 500 * time.Microsecond

// Account is what is needed to divide the time of a thread among views. Which view
// it is in is known in samples with stacks alone. Each of these stands for the time
// since the one before, idle or not: no other rule gives short requests and long ones
// what they took.
type Account struct {
	ledger ledger.Ledger
	at     time.Time    // of the last sample with stacks; zero: there was none
	view   *ledger.View // that the thread was in then; nil: in none, or not known
	held   heldTime
}

// heldTime is the time of samples with stacks in which the stack of the thread was
// not to be believed. It belongs to the view that the request is in as soon as a later
// stack proves that it is the same request, and to none if that ends before.
type heldTime struct {
	since   time.Time     // the first sample; zero: there is none
	run     time.Duration // of the thread then
	seconds ledger.Seconds
	sockets [2]heldWait // that have no name yet
}

// heldWait is the time that was waited for one socket.
type heldWait struct {
	socket  *sockets.Socket // nil: there is none
	seconds float64
}

// Moment is what a thread does in a sample with stacks.
type Moment struct {
	At         time.Time
	On         ledger.On       // what it does
	Runs       ledger.On       // what its time on a processor counts as
	Run, Delay time.Duration   // its totals (/proc/PID/task/TID/schedstat)
	Waits      bool            // it was found waiting
	Socket     *sockets.Socket // that it waits for; nil: none
	HasStack   bool            // what was seen of its stack holds in this sample
	View       *ledger.View    // of the request in that stack; nil: none, or not known
	Started    time.Time       // the start of that request; zero: not known
}

// Add adds the time of a thread since the last sample with stacks to the view that it
// is in.
//
// The time on a processor is exact and not of this moment alone: each of both samples
// gets half of it, or all of it if the thread had no request in the other one.
func (v *Account) Add(m *Moment) {
	x := v.ledger.Sample(m.At.Sub(v.at), m.Run, m.Delay, m.Waits)
	before := v.view
	v.at, v.view = m.At, nil
	var to *ledger.Seconds
	switch inRequest := m.On != ledger.Idle && m.On != ledger.Loop; {
	case inRequest && !m.HasStack:
		to = &v.held.seconds
		v.held.wait(m, x.Wait)
	case inRequest && m.View != nil:
		v.view, to = m.View, &m.View.Seconds
		v.held.settle(m)
		if n := m.Socket; n != nil {
			n.Credit(x.Wait, to)
		} else {
			to[m.On] += x.Wait
		}
	default:
		v.held.drop()
	}
	share := 1.0
	if before != nil && to != nil {
		share = 0.5
	}
	if before != nil {
		before.Seconds[m.Runs] += share * x.Run
		before.Seconds[ledger.CPUQueue] += share * x.Delay
	}
	if to != nil {
		to[m.Runs] += share * x.Run
		to[ledger.CPUQueue] += share * x.Delay
	}
}

// Drop discards the time that is held back: the thread has no request any more.
func (v *Account) Drop() { v.held.drop() }

// wait holds back the seconds that a thread has waited while its stack was not believed.
func (h *heldTime) wait(m *Moment, seconds float64) {
	if h.since.IsZero() {
		h.since, h.run = m.At, m.Run
	}
	n := m.Socket
	if n == nil {
		h.seconds[m.On] += seconds
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

// settle adds the time that is held back to the view of the thread's request, if that is
// still the same one. It then holds nothing any more.
func (h *heldTime) settle(m *Moment) {
	if h.since.IsZero() {
		return
	}
	if to := &m.View.Seconds; h.sameRequest(m) {
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

// drop discards all time that is held back.
func (h *heldTime) drop() {
	if !h.since.IsZero() {
		*h = heldTime{}
	}
}

// sameRequest reports whether a thread has been in one request since the first sample
// whose time is held back: the request began before, or the thread has run too little to
// end one and begin another.
func (h *heldTime) sameRequest(m *Moment) bool {
	if started := m.Started; !started.IsZero() {
		return !started.After(h.since)
	}
	return m.Run-h.run <= PollRun
}
