package sampling

import (
	"cmp"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

// maxSavings is how much CPU time that samples were allowed to use and did not can
// be saved for the stacks of later ones.
const maxSavings = 10 * time.Millisecond

const (
	// longestSkip is how long a thread with a request may be without a stack because there
	// was no CPU time for it: after that it is read in advance of what is saved later, as
	// its worker may end in that request.
	longestSkip = time.Second
	// maxDebt is how much CPU time is used in advance at most. The stacks of other threads
	// wait until it is saved again.
	maxDebt = 100 * time.Millisecond
)

// dueStack is a thread whose stack is to be read.
type dueStack struct {
	w     *worker
	t     *thread
	stack bool // the stack itself is wanted
	tasks bool // the tasks of the event loop are wanted
}

// wantsStack reports whether the stack of a thread is to be read: it may have a
// request, and has run since the last look.
func (w *worker) wantsStack(t *thread) bool {
	switch {
	case w.python.never, t.denied, t.stack.looked && t.stack.slices == t.times.Slices && !t.call.Running:
		return false
	case t.state.accepts, w.threading == eventLoop && t.state.polls:
		return false
	case w.threading == pool && t.tid == w.key.pid, t.role == roleBackground, t.state.futex != 0 && t.state.untimed && w.isIdleLock(t.state.futex):
		return false
	}
	return t.counted && w.onOf(t) != ledger.Idle || w.threading == pool || w.threading == poolOfAll && !t.state.mutex || w.threading == anyThread
}

// lookAtStacks reads the stacks that are due, of those that wait longest first, as
// far as the CPU time goes that is saved, then tries the interpreters of new workers,
// and returns what that has cost.
func (s *Sampler) lookAtStacks(now time.Time) time.Duration {
	began := s.stackTime()
	ofTasks := time.Duration(0)
	slices.SortFunc(s.due, func(a, b dueStack) int { return cmp.Compare(a.t.since.UnixNano(), b.t.since.UnixNano()) })
	for _, d := range s.due {
		spent := s.stackTime() - began
		if d.tasks && ofTasks >= s.savings/2 { // the rest is for stacks
			s.skippedTasks++
			if d.tasks = false; !d.stack {
				continue
			}
		}
		if spent >= s.savings && !(d.overdue(now) && spent < s.savings+maxDebt) {
			s.skip(d, now)
			continue
		}
		d.t.skipped = time.Time{}
		if s.lookAt(d, now); d.tasks {
			ofTasks += s.stackTime() - began - spent
		}
	}
	for _, w := range s.order {
		if !w.gone && s.stackTime()-began < s.savings {
			w.python.probe(&s.python, w.key.pid, now)
		}
	}
	return s.stackTime() - began
}

// readCost is the CPU time of one read of memory, which another thread does.
const readCost = 5 * time.Microsecond

// stackTime returns the CPU time of this thread, and of the reads of memory.
func (s *Sampler) stackTime() time.Duration {
	return procfs.ThreadTime() + time.Duration(s.python.cache.Reads())*readCost
}

// lookAt reads one stack that is due.
func (s *Sampler) lookAt(d dueStack, now time.Time) {
	if s.openInterpreter(d.w, now); d.w.python.process == nil {
		return
	}
	if d.w.threading == eventLoop || d.tasks {
		s.lookAtLoop(d, now)
	} else {
		d.w.python.look(&s.python, d.t, now)
	}
	if !d.tasks && (d.w.threading == pool || d.w.threading == poolOfAll || d.w.threading == anyThread) {
		d.w.believeStack(d.t)
		d.w.choose()
	}
	if d.t.hasStack() {
		s.setView(d.w, d.t, now)
	}
}

// lookAtLoop looks at the thread of an event loop.
func (s *Sampler) lookAtLoop(d dueStack, now time.Time) {
	ok := d.w.python.lookAtLoop(&s.python, d.t, d.tasks, now)
	if d.tasks {
		s.tookTasks(d.w, ok, now)
	}
}

// overdue reports whether a thread has been without a stack for too long.
func (d *dueStack) overdue(now time.Time) bool {
	return d.stack && !d.t.stack.known && !d.t.skipped.IsZero() && now.Sub(d.t.skipped) >= longestSkip
}

// skip counts what there was no CPU time for.
func (s *Sampler) skip(d dueStack, now time.Time) {
	if d.stack {
		s.skipped++
		if d.t.skipped.IsZero() {
			d.t.skipped = now
		}
	}
	if d.tasks {
		s.skippedTasks++
	}
}

// setView sets the view of a thread's request by its stack.
func (s *Sampler) setView(w *worker, t *thread, now time.Time) {
	switch v := t.stack.view; {
	case !t.stack.inHand || v == "":
		t.view = nil
	case t.view == nil || t.view.Name != v:
		t.view = s.totals.View(w.app, v, now)
	}
}
