package sampling

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/gil"
)

// gilLook is the time between two looks at the stack of a holder that is no request
// thread.
const gilLook = time.Second

// gilHolder is the thread that has the interpreter's lock while others wait for it, with
// its stack.
type gilHolder struct {
	gil.Holder

	thread *thread // where it is no request thread; nil: it is one, or it was not looked at yet
	looked time.Time
}

// watchGIL records in w.gil which thread holds the worker's GIL, in a sample that stands
// for dt. waits: a request thread waits for it. If the holder is no request thread, its
// stack is read too.
func (s *Sampler) watchGIL(w *worker, waits bool, dt time.Duration, now time.Time) {
	h := &w.gil
	before := h.TID
	if waits {
		h.Add(w.python.holder(), dt, now)
	} else {
		h.Rest(now)
	}
	if h.TID != before {
		h.thread, h.looked = nil, time.Time{}
	}
	if !waits || !h.Known() || slices.ContainsFunc(w.threads, func(t *thread) bool { return t.counted && t.tid == h.TID }) {
		return
	}
	if h.thread == nil {
		h.thread = newThread(h.TID)
	}
	switch {
	case h.thread.stack.known && now.Sub(h.looked) < gilLook, !s.settings.Stacks, w.python.process == nil:
	case w.user.Savings <= 0:
		s.skipped++
	default:
		h.looked = now
		w.python.look(&s.python, h.thread, now)
	}
}

// helper returns the thread that holds the worker's GIL but takes no requests; ok is false if
// there is none, if the holder is not known, and until a request thread has waited for it.
func (w *worker) helper(now time.Time, paths bool) (x model.Thread, ok bool) {
	h := &w.gil
	if !h.Known() || h.thread == nil || slices.ContainsFunc(w.threads, func(t *thread) bool { return t.counted && t.tid == h.TID }) {
		return x, false
	}
	return model.Thread{
		TID: h.TID, Main: h.TID == w.key.pid, On: ledger.CPU.String(), Seconds: now.Sub(h.Since).Seconds(),
		GIL: true, Helper: true, Stack: h.thread.stack.model(paths),
	}, true
}
