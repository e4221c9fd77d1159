package memory

import (
	"errors"
	"runtime"
	"sync/atomic"
	"time"
)

const (
	// readLimit is how long one read may take. It is far above what a busy machine
	// needs: a read that hangs waits for a page that a program has to deliver.
	readLimit = 2 * time.Second
	// maxHung is how many reads may hang at a time before no more are begun. Callers
	// allow each user less.
	maxHung = 32
)

// ErrHung is a read that was not begun because too many have not returned.
var ErrHung = errors.New("memory: reads did not return in time")

// Watchdog runs functions that read memory and files of other processes, and abandons a
// function whose read does not return in time. The kernel waits for as long as it takes until a
// page is there, and of a file system in user space (FUSE) or of userfaultfd(2) the
// owner of the process decides when that is. A function runs in a goroutine of its own,
// so that one of many reads costs one change of goroutines; one that hangs is left
// behind, and ends when the kernel returns. The zero value is ready.
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
	// state is the number of the read, and whether it is in progress or was abandoned.
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

// Do runs f in a goroutine of its own and returns true when f has returned. false: one read
// of a [Process] of this Watchdog, or in [Watchdog.Read], lasted for more than two seconds,
// four at most. Then f ends in that read and runs its deferred calls only, and what the
// read fills must not be used again. f must not panic. Do runs one function at a time.
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

// Read calls f, which reads a file of another process, as one read that [Watchdog.Do]
// gives up if it does not return in time. [ErrHung]: f was not called, since too many
// reads hang. The caller may use the results of f only after Read has returned.
func (w *Watchdog) Read(f func()) error {
	g, ok := w.begin()
	if !ok {
		return ErrHung
	}
	f()
	w.end(g)
	return nil
}

// begin marks the start of a read. It returns the goroutine that the watchdog guards, nil
// if the read is not in a function of [Watchdog.Do], and false if too many reads hang to
// start another one.
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

// end marks the end of a read. It ends the goroutine if the watchdog has given it up.
func (w *Watchdog) end(g *guarded) {
	if g == nil {
		return
	}
	if state := g.state.Load(); state&givenUp != 0 || !g.state.CompareAndSwap(state, state&^reading) {
		w.hung.Add(-1)
		runtime.Goexit()
	}
}
