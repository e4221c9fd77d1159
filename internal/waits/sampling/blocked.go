package sampling

import "time"

// blockedAfter is how long an event loop may stay out of its poll.
const blockedAfter = 100 * time.Millisecond

// watchLoop adds to the worker's totals the time for which its event loop does not return
// to its poll, where that is proven: since the last sample, the loop has been in one call
// that is not its poll, or in the same turn. Samples that prove nothing count with the
// next one that does.
func (w *worker) watchLoop(dt time.Duration, now time.Time) {
	w.totals.Loop = true
	t, l := w.main(), &w.loop
	ran := t.times.Run - l.times.run + t.times.Delay - l.times.delay
	l.times = loopTimes{t.times.Run, t.times.Delay}
	if t.state.polls || t.state.accepts || t.denied {
		w.outside, w.blocked, l.turn = now, 0, 0
		return
	}
	turn, looked := w.turn(t)
	slept := t.moved && ran < dt*3/4
	switch {
	case !t.moved && !t.call.Running: // one call
		if looked && l.turn == 0 {
			l.turn = turn
		}
	case !looked && l.turn != 0 && (!w.gevent() || !slept): // it may be the same turn
		w.blocked += dt.Seconds()
		return
	case turn == 0, turn != l.turn, w.gevent() && slept: // it has been in its poll, or may have been
		w.outside, w.blocked, l.turn = now, 0, turn
		return
	}
	w.blocked += dt.Seconds()
	if now.Sub(w.outside) >= blockedAfter {
		w.totals.Blocked += w.blocked
		w.blocked = 0
	}
}

// turn returns the turn that the loop is in; 0: not known. looked: its stack was read and
// believed in this sample.
func (w *worker) turn(t *thread) (turn uint64, looked bool) {
	if w.python.loop == nil || !t.stack.known || !t.stack.at.Equal(w.sampled) {
		return 0, false
	}
	return w.python.loop.Turn(), true
}

// gevent reports whether the loop is known to be gevent's. Its turn is its current request,
// which goes on after the poll: the same turn proves nothing if the thread has slept.
func (w *worker) gevent() bool { return w.python.loop != nil && w.python.loop.Gevent() }
