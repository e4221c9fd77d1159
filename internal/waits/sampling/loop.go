package sampling

import (
	"cmp"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

const (
	// taskPeriod is how often the tasks of an event loop are read at most, and for
	// how long at most each look at them stands.
	taskPeriod  = time.Second
	longestLook = 2 * time.Second
	// taskRetry is how long after a look that failed they are read again.
	taskRetry = taskPeriod / 4
	// loopRetry is how long after a stack that showed no loop it is read again.
	loopRetry = 5 * time.Second
	// tasksStale is how long the last look at tasks is shown.
	tasksStale = 10 * time.Second
	// maxTaskThreads is how many tasks of a worker are listed, those that wait longest first.
	maxTaskThreads = 64
)

// loop is the requests that wait in the event loop of a worker.
type loop struct {
	next     time.Time // when they are to be read again
	fresh    bool      // they were read in the sample under way
	read     time.Time // when they were last read; zero: never
	slices   uint64    // how often the loop's thread had been put on a CPU then
	requests []taskRequest
	before   []taskRequest // those of the look before, while they are compared
	known    map[uint64]int

	turn  uint64 // of the loop in the last sample; 0: not known
	times loopTimes
}

// loopTimes is what the thread of a loop had run at a sample.
type loopTimes struct{ run, delay time.Duration }

// taskRequest is a request that waits in an event loop.
type taskRequest struct {
	id    uint64       // 0: not known
	view  *ledger.View // nil: not known
	stack model.Stack
	path  string
	seen  time.Time // when it was first seen
	since time.Time // when it was first seen in that line, without another in between
}

// wantsTasks reports whether the tasks of a worker's event loop are due to be read: it may
// have a loop whose thread may be read and has run since, and the next read's time has come.
func (w *worker) wantsTasks(now time.Time) bool {
	if w.threading != eventLoop && !w.guessed || w.python.never || w.main().denied || now.Before(w.loop.next) {
		return false
	}
	return !w.loopUnmoved()
}

// provenLoop reports whether a stack has shown that the worker has an event loop.
func (w *worker) provenLoop() bool {
	return w.python.loop != nil && w.python.loop.Known()
}

// loopUnmoved reports whether the loop's thread has not run since its tasks were read; false if they never were.
func (w *worker) loopUnmoved() bool {
	t := w.main()
	return !w.loop.read.IsZero() && !t.call.Running && t.times.Slices == w.loop.slices
}

// tookTasks stores the tasks that a look has read as the loop's requests, and sets when
// they are read next. ok: the look was proven; else the old ones stay.
func (s *Sampler) tookTasks(w *worker, ok bool, now time.Time) {
	l := &w.loop
	l.next = now.Add(taskRetry)
	if w.python.loop == nil {
		return
	}
	s.tasksBeyond += w.python.loop.NewBeyond()
	if ok && !w.provenLoop() {
		l.next = now.Add(loopRetry)
	}
	if !ok {
		return
	}
	list, listed := w.python.loop.Waiting()
	if !listed {
		return
	}
	l.next = now.Add(taskPeriod)
	l.fresh, l.slices = true, w.main().times.Slices
	l.turnOver()
	for _, t := range list {
		x := taskRequest{id: t.ID, path: t.Request.Path, seen: now, since: now}
		x.stack = model.Stack{View: t.Request.View, Own: t.Own, Inner: t.Inner, Method: t.Request.Method, Route: t.Request.Route, Started: t.Request.Started}
		if at, ok := l.known[t.ID]; ok {
			x.continues(&l.before[at])
		}
		if t.Request.View != "" && (x.view == nil || x.view.Name != t.Request.View) {
			x.view = s.totals.View(w.app, t.Request.View, now)
		}
		w.countTask(&x)
		l.requests = append(l.requests, x)
	}
	clear(l.before)
}

// countTask counts a request to a view, unless the look before had it.
func (w *worker) countTask(x *taskRequest) {
	if at, ok := w.loop.known[x.id]; x.view != nil && x.id != 0 && (!ok || w.loop.before[at].view == nil) {
		w.requests.Add(x.view)
	}
}

// turnOver makes the requests of this look those of the look before.
func (l *loop) turnOver() {
	l.before, l.requests = l.requests, l.before[:0]
	if l.known == nil {
		l.known = make(map[uint64]int)
	}
	clear(l.known)
	for i := range l.before {
		if id := l.before[i].id; id != 0 {
			l.known[id] = i
		}
	}
}

// continues copies to x what the look before knows of the same request: since when it has
// been seen, and has waited in that line.
func (x *taskRequest) continues(before *taskRequest) {
	x.seen = before.seen
	if x.stack.Own == before.stack.Own && x.stack.Inner == before.stack.Inner {
		x.since = before.since
	}
	if x.stack.View != "" {
		x.view = before.view
	}
}

// accountTasks adds the time since the last look to the views of the requests that wait
// in an event loop, once per look or, if the loop has not run, per taskPeriod. It drops
// requests that are too old.
func (w *worker) accountTasks(now time.Time) {
	l := &w.loop
	if now.Sub(l.read) > tasksStale && !l.fresh && !w.loopUnmoved() {
		l.requests, l.read = l.requests[:0], time.Time{}
	}
	if !l.fresh && (now.Before(l.next) || !w.loopUnmoved()) {
		return
	}
	l.fresh = false
	dt := 0.0
	if !l.read.IsZero() {
		dt = min(now.Sub(l.read), longestLook).Seconds()
	}
	l.read, l.next = now, now.Add(taskPeriod)
	for i := range l.requests {
		if v := l.requests[i].view; v != nil {
			v.Seconds[ledger.Loop] += dt
		}
	}
}

// inHand reports whether requests waited in the event loop at the last look at its tasks.
func (l *loop) inHand() bool { return len(l.requests) > 0 }

// forget removes all that is known of the loop.
func (l *loop) forget() { *l = loop{} }

// taskThreads appends to out the requests that wait in a worker's event loop, as threads:
// those that wait longest, at most maxTaskThreads.
func (w *worker) taskThreads(out []model.Thread, now time.Time, paths bool) []model.Thread {
	first := len(out)
	for i := range w.loop.requests {
		x := &w.loop.requests[i]
		stack := x.stack
		if paths {
			stack.Path = x.path
		}
		out = append(out, model.Thread{
			TID: w.key.pid, Task: true, On: ledger.Loop.String(), Seconds: now.Sub(x.since).Seconds(), Seen: x.seen, Stack: &stack,
		})
	}
	list := out[first:]
	slices.SortStableFunc(list, func(a, b model.Thread) int { return cmp.Compare(b.Seconds, a.Seconds) })
	return out[:first+min(len(list), maxTaskThreads)]
}
