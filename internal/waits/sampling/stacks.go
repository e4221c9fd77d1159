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

// dueStack is a thread whose stack is to be read.
type dueStack struct {
	w     *worker
	t     *thread
	at    time.Time // when what the thread does was read
	stack bool      // the stack itself is wanted
	tasks bool      // the tasks of the event loop are wanted
}

// wantsStack reports whether the stack of a thread is to be read: it may have a
// request, and has run since the last look.
func (w *worker) wantsStack(t *thread) bool {
	switch {
	case w.python.never, t.denied, t.stack.looked && t.stack.slices == t.times.Slices && !t.call.Running:
		return false
	case t.state.accepts, w.threading == eventLoop && t.state.polls:
		return false
	case w.threading == pool && t.tid == w.key.pid, t.role == roleBackground && !t.unproven, t.state.futex != 0 && t.state.untimed && w.isIdleLock(t.state.futex):
		return false
	}
	return t.counted && w.onOf(t) != ledger.Idle || w.threading == pool || w.threading == poolOfAll && !t.state.mutex || w.threading == anyThread
}

// affordsStacks reports whether a sample reads stacks: enough CPU time must be saved
// for what they cost on average. If it depended on how many are due, the samples with
// stacks would find less requests than there are.
func (s *Sampler) affordsStacks() bool {
	return s.settings.Stacks && s.savings >= min(s.ofLooks, maxSavings)
}

// lookOrSkip reads the stacks that are due in a sample with stacks, and in another one
// those for which there is a reserve.
func (s *Sampler) lookOrSkip(now time.Time) {
	s.ofStacks = 0
	if !s.looks {
		s.keepLong(now)
		return
	}
	s.ofStacks = s.lookAtStacks(now)
	s.ofLooks += (min(s.ofStacks, maxSavings) - s.ofLooks) / 8
}

// keepLong reads, in a sample without stacks, those of long requests that have their turn,
// of those first that have waited longest for it, and counts the others.
func (s *Sampler) keepLong(now time.Time) {
	slices.SortFunc(s.due, func(a, b dueStack) int { return a.lastSeen().Compare(b.lastSeen()) })
	began := procfs.ThreadTime()
	for _, d := range s.due {
		if s.reserve.Empty() || !d.stack || !d.t.counted || d.w.python.process == nil || !d.t.turn.Has(d.t.seenAt(), now) {
			s.skip(d)
			continue
		}
		if s.refresh(&d, now); d.stack {
			d.tasks, d.t.turn.Kept = false, now
			s.lookAt(d, now)
		}
		s.reserve.Used = procfs.ThreadTime() - began
	}
}

// seenAt returns when the stack of a thread was last believed; zero: never.
func (t *thread) seenAt() time.Time {
	if !t.stack.known {
		return time.Time{}
	}
	return t.stack.at
}

func (d *dueStack) lastSeen() time.Time { return d.t.turn.Last(d.t.seenAt()) }

// lookAtStacks reads the stacks that are due, of those that wait longest first, for
// maxSavings more than the CPU time that is saved at most, then tries the interpreters
// of new workers, and returns what that has cost.
func (s *Sampler) lookAtStacks(now time.Time) time.Duration {
	began := procfs.ThreadTime()
	ofTasks := time.Duration(0)
	slices.SortFunc(s.due, func(a, b dueStack) int { return cmp.Compare(a.t.since.UnixNano(), b.t.since.UnixNano()) })
	s.due = append(s.due, s.rest...)
	for _, d := range s.due {
		if s.refresh(&d, now); !d.stack && !d.tasks {
			continue
		}
		spent := procfs.ThreadTime() - began
		if d.tasks && ofTasks >= s.savings/2 { // the rest is for stacks
			s.skippedTasks++
			if d.tasks = false; !d.stack {
				continue
			}
		}
		if spent >= s.savings+maxSavings {
			s.skip(d)
			continue
		}
		if s.lookAt(d, now); d.tasks {
			ofTasks += procfs.ThreadTime() - began - spent
		}
	}
	s.probeInterpreters(began, now)
	return procfs.ThreadTime() - began
}

// probeInterpreters tries the interpreters of new workers until what is saved has been
// spent since began, which is CPU time of this thread.
func (s *Sampler) probeInterpreters(began time.Duration, now time.Time) {
	for _, w := range s.order {
		if !w.gone && procfs.ThreadTime()-began < s.savings {
			s.reading = w
			w.python.probe(&s.python, w.key.pid, now)
		}
	}
}

// freshFor is for how long what was read of a thread holds for the look at its stack.
const freshFor = 500 * time.Microsecond

// refresh reads anew what a thread does if the looks at others have taken long: else
// requests that end meanwhile would be missed, and those that begin would not be seen.
// So it is to be called for idle threads, too.
func (s *Sampler) refresh(d *dueStack, now time.Time) {
	if time.Since(d.at) < freshFor {
		return
	}
	moved := d.t.moved
	s.readThread(d.w, d.t, now)
	if !d.t.moved {
		d.t.moved = moved
		return
	}
	d.w.choose()
	d.stack = d.w.wantsStack(d.t)
}

// lookAt reads one stack that is due.
func (s *Sampler) lookAt(d dueStack, now time.Time) {
	s.reading = d.w
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

// skip counts what there was no CPU time for.
func (s *Sampler) skip(d dueStack) {
	if d.stack {
		s.skipped++
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
