package sampling

import (
	"cmp"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/share"
)

// dueStack is a thread whose stack is to be read.
type dueStack struct {
	w     *worker
	t     *thread
	at    time.Time // when what the thread does was read
	stack bool      // the stack itself is wanted
	tasks bool      // the tasks of the event loop are wanted
}

// wantsStack reports whether the stack of a thread is due to be read: it may have a request, and runs,
// has run since the last look or was not looked at yet. It is false if stacks are never readable.
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

// lookOrSkip reads the stacks that are due, for users whose stacks are read in this
// sample; for the others only those that their reserve pays for.
func (s *Sampler) lookOrSkip(now time.Time) {
	due, rest := s.due, s.rest
	for workers := s.order; len(workers) > 0; {
		u, n := workers[0].user, 1
		for n < len(workers) && workers[n].user == u {
			n++
		}
		mine := dueOf(&due, u)
		if u.Looks {
			s.lookAtStacks(workers[:n], mine, dueOf(&rest, u), now)
		} else {
			s.keepLong(u, mine, now)
		}
		workers = workers[n:]
	}
}

// dueOf removes from a list its first entries that are of user u, and returns them; none if the first is of another.
func dueOf(list *[]dueStack, u *share.User) []dueStack {
	n := 0
	for n < len(*list) && (*list)[n].w.user == u {
		n++
	}
	mine := (*list)[:n:n]
	*list = (*list)[n:]
	return mine
}

// keepLong reads, in a sample without a user's other stacks, those of long requests whose
// turn it is, the longest unread first, as long as the reserve lasts. It counts the
// others as skipped.
func (s *Sampler) keepLong(u *share.User, due []dueStack, now time.Time) {
	if len(due) == 0 {
		return
	}
	slices.SortFunc(due, func(a, b dueStack) int { return a.lastSeen().Compare(b.lastSeen()) })
	began := procfs.ThreadTime()
	for _, d := range due {
		if u.Reserve.Empty() || !d.stack || !d.t.counted || d.w.python.process == nil || !d.t.turn.Has(d.t.seenAt(), now) {
			s.skip(d)
			continue
		}
		if s.refresh(&d, now); d.stack {
			d.tasks, d.t.turn.Kept = false, now
			s.lookAt(d, now)
		}
		u.Reserve.Used = procfs.ThreadTime() - began
	}
}

// seenAt returns when the stack of a thread was last believed; zero if not since it last waited for work.
func (t *thread) seenAt() time.Time {
	if !t.stack.known {
		return time.Time{}
	}
	return t.stack.at
}

func (d *dueStack) lastSeen() time.Time { return d.t.turn.Last(d.t.seenAt()) }

// lookAtStacks reads the stacks of a user that are due, longest waits first, then rest:
// its other request threads. It stops at share.MaxSavings more than the user has saved,
// then tries the interpreters of new workers.
func (s *Sampler) lookAtStacks(workers []*worker, due, rest []dueStack, now time.Time) {
	of := looking{user: workers[0].user, began: procfs.ThreadTime()}
	slices.SortFunc(due, func(a, b dueStack) int { return cmp.Compare(a.t.since.UnixNano(), b.t.since.UnixNano()) })
	for _, d := range due {
		s.lookAtDue(&of, d, now)
	}
	for _, d := range rest {
		s.lookAtDue(&of, d, now)
	}
	s.probeInterpreters(workers, of.began, now)
	of.user.Looked(procfs.ThreadTime() - of.began)
}

// looking is what the looks at a user's stacks have used in a sample.
type looking struct {
	user    *share.User
	began   time.Duration // CPU time of this thread
	ofTasks time.Duration // that of the looks at tasks
}

// lookAtDue reads the stack or tasks that are due of one thread; if there is no CPU time
// left, it counts them as skipped.
func (s *Sampler) lookAtDue(of *looking, d dueStack, now time.Time) {
	if s.refresh(&d, now); !d.stack && !d.tasks {
		return
	}
	spent := procfs.ThreadTime() - of.began
	if d.tasks && of.ofTasks >= of.user.Savings/2 { // the rest is for stacks
		s.skippedTasks++
		if d.tasks = false; !d.stack {
			return
		}
	}
	if spent >= of.user.Savings+share.MaxSavings {
		s.skip(d)
		return
	}
	if s.lookAt(d, now); d.tasks {
		of.ofTasks += procfs.ThreadTime() - of.began - spent
	}
}

// probeInterpreters tests the interpreters of a user's new workers until its savings are
// spent. began is the CPU time of this thread when the sample of the user's stacks began.
func (s *Sampler) probeInterpreters(workers []*worker, began time.Duration, now time.Time) {
	for _, w := range workers {
		if !w.gone && procfs.ThreadTime()-began < w.user.Savings {
			s.reading = w
			w.refuseHung(now)
			w.python.probe(&s.python, w.key.pid, now)
		}
	}
}

// freshFor is for how long what was read of a thread holds for the look at its stack.
const freshFor = 500 * time.Microsecond

// refresh reads a thread again if looks at others have taken long, and updates whether
// its stack is due: requests may have ended or begun. The caller calls it for idle
// threads, too.
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

// lookAt reads one stack, or tasks, that are due, and updates the thread's role and view
// by it.
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

// lookAtLoop reads the stack of an event loop's thread and, if due, its tasks.
func (s *Sampler) lookAtLoop(d dueStack, now time.Time) {
	ok := d.w.python.lookAtLoop(&s.python, d.t, d.tasks, now)
	if d.tasks {
		s.tookTasks(d.w, ok, now)
	}
}

// skip counts a stack, and tasks, that were due and not read for lack of CPU time.
func (s *Sampler) skip(d dueStack) {
	if d.stack {
		s.skipped++
	}
	if d.tasks {
		s.skippedTasks++
	}
}

// setView sets t.view: the view of the thread's request by its stack; nil: not known.
func (s *Sampler) setView(w *worker, t *thread, now time.Time) {
	switch v := t.stack.view; {
	case !t.stack.inHand || v == "":
		t.view = nil
	case t.view == nil || t.view.Name != v:
		t.view = s.totals.View(w.app, v, now)
	}
}
