package sampling

import (
	"math"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

// A thread that waits for the interpreter's lock wakes up each 5 ms, and has the lock
// for as long now and then: single samples do not show for how long it has waited.
// What counts is the part of the time, of which the last second weighs most.
const (
	gilMemory = 500 * time.Millisecond // the weight of a sample falls to 1/e in that time
	gilBegins = 0.5                    // from that part on a thread counts as waiting, and one as the holder
	gilEnds   = 0.3                    // below that part no more
	gilNone   = 0.05                   // below that part it does not wait at all
	// gilForgotten is how long after a thread was last seen waiting the holder is
	// forgotten.
	gilForgotten = 2 * time.Second
	// gilLook is the time between two looks at the stack of a holder that is no
	// request thread.
	gilLook = time.Second
)

// gilWait is the part of its time that a thread waits for the interpreter's lock.
type gilWait struct {
	share float64
	first time.Time // it has waited since then, on and off; zero: it does not
	waits bool      // for most of the time
	// started is the start of its request; zero: that is not known.
	started time.Time
}

// add takes what a thread does in a sample that stands for dt, and when its request
// has started: each request waits for itself.
func (g *gilWait) add(on ledger.On, started time.Time, dt time.Duration, now time.Time) {
	if !started.Equal(g.started) {
		*g = gilWait{started: started}
	}
	switch {
	case on == ledger.Idle, on == ledger.Loop:
		*g = gilWait{started: started}
		return
	case on == ledger.GIL:
		if g.first.IsZero() {
			g.first = now
		}
		g.share += (1 - g.share) * weight(dt)
	case g.first.IsZero():
		return
	default:
		g.share -= g.share * weight(dt)
	}
	switch {
	case g.share >= gilBegins:
		g.waits = true
	case g.share < gilNone && on != ledger.GIL, g.waits && g.share < gilEnds:
		*g = gilWait{started: started}
	}
}

// weight returns the weight of a sample that stands for dt.
func weight(dt time.Duration) float64 { return 1 - math.Exp(-dt.Seconds()/gilMemory.Seconds()) }

// gilHolder is the thread that has the interpreter's lock while others wait for it.
type gilHolder struct {
	tid    int
	share  float64 // of the samples in which others wait
	since  time.Time
	waited time.Time // when a thread was last seen waiting
	thread *thread   // where it is no request thread; nil: it is one, or it was not looked at yet
	looked time.Time
}

// watchGIL takes who holds the interpreter's lock of a worker, in a sample that stands
// for dt and in which a request thread waits for it or not. Of a holder that takes no
// requests the stack is read.
func (s *Sampler) watchGIL(w *worker, waits bool, dt time.Duration, now time.Time) {
	h := &w.gil
	if !waits {
		if h.tid != 0 && now.Sub(h.waited) > gilForgotten {
			*h = gilHolder{}
		}
		return
	}
	h.waited = now
	h.add(w.python.holder(), dt, now)
	if !h.known() || slices.ContainsFunc(w.threads, func(t *thread) bool { return t.counted && t.tid == h.tid }) {
		return
	}
	if h.thread == nil {
		h.thread = newThread(h.tid)
	}
	switch {
	case h.thread.stack.known && now.Sub(h.looked) < gilLook, !s.settings.Stacks, w.python.process == nil:
	case s.savings <= 0:
		s.skipped++
	default:
		h.looked = now
		w.python.look(&s.python, h.thread, now)
	}
}

// add takes who holds the lock in a sample; 0: it is not known.
func (h *gilHolder) add(tid int, dt time.Duration, now time.Time) {
	switch tid {
	case 0:
	case h.tid:
		h.share += (1 - h.share) * weight(dt)
	default:
		if h.share -= h.share * weight(dt); h.share < gilEnds {
			*h = gilHolder{tid: tid, share: weight(dt), since: now, waited: now}
		}
	}
}

// known reports whether one thread holds the lock for most of the time.
func (h *gilHolder) known() bool { return h.tid != 0 && h.share >= gilBegins }

// helper returns the thread of a worker that holds the interpreter's lock and takes no
// requests; ok is false without one.
func (w *worker) helper(now time.Time, paths bool) (x model.Thread, ok bool) {
	h := &w.gil
	if !h.known() || h.thread == nil || slices.ContainsFunc(w.threads, func(t *thread) bool { return t.counted && t.tid == h.tid }) {
		return x, false
	}
	return model.Thread{
		TID: h.tid, Main: h.tid == w.key.pid, On: ledger.CPU.String(), Seconds: now.Sub(h.since).Seconds(),
		GIL: true, Helper: true, Stack: h.thread.stack.model(paths),
	}, true
}
