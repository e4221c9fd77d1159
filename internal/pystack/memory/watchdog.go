package memory

import (
	"runtime"
	"sync/atomic"
	"time"
)

// Watchdog runs functions that read the memory of strangers, and gives up a function
// whose read does not return in time; see [Guard] for what makes a read wait. A Guard
// hands each read to another goroutine, a Watchdog the whole function, so that a
// function of many reads costs one change of goroutines. The zero value is ready.
type Watchdog struct {
	current *guarded // nil: none runs yet, or the last one was given up
	timer   *time.Timer
	limit   time.Duration // 0: readLimit
	hung    atomic.Int64  // functions that were given up whose read has not returned
	refused atomic.Uint64
}

// guarded is the goroutine in which functions run, one after the other.
type guarded struct {
	f    func()
	run  func() // calls f, then sends to done
	done chan struct{}
	// state is the number of the read, and whether it is under way or was given up.
	state atomic.Uint64
}

// The bits of guarded.state; the number stands above them.
const (
	reading    = 1
	givenUp    = 2
	nextNumber = 4
)

// Refused returns how many reads did not return in time, or were not begun because
// too many have not.
func (w *Watchdog) Refused() uint64 { return w.refused.Load() }

// Hung returns how many functions were given up whose read has not returned yet.
func (w *Watchdog) Hung() int { return int(w.hung.Load()) }

// Do runs f in a goroutine of its own and returns true when f has returned. It returns
// false if one read of a [Process] of this Watchdog did not return for the limit of
// two seconds: f ends then in that read, when the kernel returns from it, and runs
// its deferred calls only. What the read fills must not be used again; all else that
// f used is the caller's. f must not panic. Do runs one function at a time.
func (w *Watchdog) Do(f func()) bool {
	g := w.current
	if g == nil {
		g = &guarded{done: make(chan struct{}, 1)}
		g.run = func() { g.f(); g.done <- struct{}{} }
		w.current = g
	}
	limit := w.limit
	if limit == 0 {
		limit = readLimit
	}
	if w.timer == nil {
		w.timer = time.NewTimer(limit)
	}
	w.timer.Reset(limit)
	g.f = f
	go g.run()
	for last := uint64(0); ; {
		select {
		case <-g.done:
			w.timer.Stop()
			return true
		case <-w.timer.C:
		}
		state := g.state.Load()
		if state&reading != 0 && state == last && g.state.CompareAndSwap(state, state|givenUp) {
			w.current = nil
			w.hung.Add(1)
			w.refused.Add(1)
			return false
		}
		last = state
		w.timer.Reset(limit)
	}
}

// begin is to be called before a read. It returns the goroutine whose read it is, nil
// if the read is not one of a function of [Watchdog.Do], and false if too many reads
// hang to begin another one.
func (w *Watchdog) begin() (*guarded, bool) {
	if w.hung.Load() >= maxHung {
		w.refused.Add(1)
		return nil, false
	}
	g := w.current
	if g != nil {
		g.state.Store(g.state.Load()&^(reading|givenUp) + nextNumber | reading)
	}
	return g, true
}

// end is to be called after a read. It ends the goroutine if that was given up.
func (w *Watchdog) end(g *guarded) {
	if g == nil {
		return
	}
	if state := g.state.Load(); state&givenUp != 0 || !g.state.CompareAndSwap(state, state&^reading) {
		w.hung.Add(-1)
		runtime.Goexit()
	}
}
