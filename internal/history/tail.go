package history

import (
	"slices"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	// tailSamples is how many samples of a worker are kept for its end.
	tailSamples = 6
	// tailTime is for how long those of a worker are kept that is not seen any more: it is
	// told a few seconds after its end how it ended.
	tailTime = 30 * time.Second
	// maxTails is how many workers are kept, maxTailThreads how many requests of each.
	maxTails, maxTailThreads = 4096, 16
	// staleTail is how long before a worker's end the last sample may be.
	staleTail = 10 * time.Second
	// exitTime and abortTime are how long a worker may run code of its own in its end, which
	// is not the request then: one that exits by itself, and one that its master aborts.
	exitTime, abortTime = 300 * time.Millisecond, 1200 * time.Millisecond
)

// tail is what each worker did in its last samples.
type tail struct {
	mu      sync.Mutex
	workers map[int]*workerTail // by pid
	dropped uint64
}

// workerTail is the last samples of one worker.
type workerTail struct {
	app, slot string
	seen      time.Time
	samples   []tailSample // the oldest first
}

// tailSample is what a worker had in hand at a time.
type tailSample struct {
	at      time.Time
	final   bool // after its end
	threads []tailThread
}

// tailThread is a thread with a request in hand.
type tailThread struct {
	model.Thread

	digest string
	root   *model.Link
}

// newTail returns a tail without workers.
func newTail() tail { return tail{workers: make(map[int]*workerTail)} }

// note adds the current threads of the workers to their last samples, and forgets workers
// that were not seen for tailTime.
func (t *tail) note(workers []model.WorkerThreads, now time.Time, wait waitOf) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range workers {
		w := &workers[i]
		x := t.workers[w.PID]
		if x == nil || x.app != w.App || x.slot != w.Slot {
			if x == nil && len(t.workers) >= maxTails {
				t.dropped++
				continue
			}
			x = &workerTail{app: w.App, slot: w.Slot}
			t.workers[w.PID] = x
		}
		x.add(sampleOf(w.PID, w.Threads, now, wait))
	}
	for pid, x := range t.workers {
		if now.Sub(x.seen) > tailTime {
			delete(t.workers, pid)
		}
	}
}

// waitOf returns the statement that a thread waits for and the root for which.
type waitOf func(pid int, t *model.Thread, at time.Time) (string, *model.Link)

// sampleOf returns what is kept of the threads of a worker: the first 16 with a request in
// hand, with their statements and roots.
func sampleOf(pid int, threads []model.Thread, now time.Time, wait waitOf) tailSample {
	s := tailSample{at: now}
	for i := range threads {
		if th := &threads[i]; inHand(th, threads) && len(s.threads) < maxTailThreads {
			digest, root := wait(pid, th, now)
			s.threads = append(s.threads, tailThread{*th, digest, root})
		}
	}
	return s
}

// add adds a sample to a worker's last ones, in place of the oldest if there are enough.
func (x *workerTail) add(s tailSample) {
	x.seen = s.at
	if len(x.samples) == tailSamples {
		x.samples = slices.Delete(x.samples, 0, 1)
	}
	x.samples = append(x.samples, s)
}

// end adds a final sample of a worker, right after its end: what its threads were last
// seen to do.
func (t *tail) end(pid int, threads []model.Thread, now time.Time, wait waitOf) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x := t.workers[pid]; x != nil {
		s := sampleOf(pid, threads, now, wait)
		s.final = true
		x.add(s)
	}
}

// last returns the request that a worker had in hand when it ended at end: the oldest one
// at the last valid sample, as an earlier sample shows it if the later ones show only the
// end. false: it had none, or that is not known. ending is for how long the worker may have
// run exit code of its own before its end.
func (t *tail) last(pid int, end time.Time, ending time.Duration) (app, slot string, out tailThread, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.workers[pid]
	if x == nil {
		return "", "", out, false
	}
	for i, s := range slices.Backward(x.samples) {
		age := max(end.Sub(s.at), 0)
		switch {
		case age > staleTail, len(s.threads) == 0 && age >= ending:
			return "", "", out, false
		case age < ending && i > 0:
			continue
		case len(s.threads) == 0:
			return "", "", out, false
		}
		out = oldest(s.threads, s.at)
		if s.final && i > 0 {
			out = beforeEnd(out, x.samples[i-1].threads)
		}
		if ending >= abortTime {
			out = x.beforeAbort(i, out, end)
		}
		return x.app, x.slot, out, true
	}
	return "", "", out, false
}

// oldest returns the thread whose request began first. For one whose start is not known
// the start of its wait counts.
func oldest(list []tailThread, at time.Time) tailThread {
	began := func(t *tailThread) time.Time {
		if s := started(t); !s.IsZero() {
			return s
		}
		return at.Add(-time.Duration(t.Seconds * float64(time.Second)))
	}
	return slices.MinFunc(list, func(a, b tailThread) int { return began(&a).Compare(began(&b)) })
}

// started returns when the request of a thread began or, of a task whose stack does not
// show it, when it was first seen; zero if neither is known.
func started(t *tailThread) time.Time {
	if t.Stack != nil && !t.Stack.Started.IsZero() {
		return t.Stack.Started
	}
	return t.Seen
}

// beforeEnd returns what a thread did before its process began to end: the sample before if
// it has a stack and the last one has none, or is at the same line on the CPU, as while it
// ends in the kernel; else last.
func beforeEnd(last tailThread, before []tailThread) tailThread {
	for _, b := range before {
		if b.TID != last.TID || b.Task != last.Task || b.Stack == nil {
			continue
		}
		switch {
		case last.Stack == nil, last.Stack.View == b.Stack.View && last.Stack.Own == b.Stack.Own && last.On == "cpu":
			return b
		}
	}
	return last
}

// beforeAbort returns what a thread did in its view before its worker was aborted; last
// if that was not seen. Gunicorn kills a worker whose abort code does not end, which may
// take seconds: the thread has left its view by then.
func (x *workerTail) beforeAbort(i int, last tailThread, end time.Time) tailThread {
	for _, s := range slices.Backward(x.samples[:i+1]) {
		k := slices.IndexFunc(s.threads, func(t tailThread) bool { return t.TID == last.TID && t.Task == last.Task })
		if k < 0 || end.Sub(s.at) > staleTail {
			return last
		}
		if t := s.threads[k]; t.Stack != nil && t.Stack.View != "" {
			return t
		}
	}
	return last
}

// Ending stores what the threads of a process did that has just ended, for
// [History.LastOf]. It does not block, and any goroutine may call it.
func (h *History) Ending(pid int, now time.Time) {
	if h.o.ThreadsOf == nil {
		return
	}
	if threads, ok := h.o.ThreadsOf(pid); ok {
		h.tail.end(pid, threads, now, h.join.waitOf)
	}
}

// LastOf returns what a worker did when it ended in a request: end is when, reason one of
// those of resp_worker_ends_total. false: it had no request in hand, or that is not
// known.
func (h *History) LastOf(pid int, end time.Time, reason string) (model.LastWords, bool) {
	ending := time.Duration(0)
	switch reason {
	case "timeout":
		ending = abortTime
	case "exit":
		ending = exitTime
	}
	app, slot, t, ok := h.tail.last(pid, end, ending)
	if !ok {
		return model.LastWords{}, false
	}
	return model.LastWords{App: app, Slot: slot, PID: pid, Ended: end, Reason: reason, Thread: t.Thread, Digest: t.digest, Blocker: t.root}, true
}
