package sampling

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/leak/views"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

// countRequest counts the request that a thread is in, and its age, once a sample of
// stacks.
func (w *worker) countRequest(t *thread, on ledger.On, now time.Time) {
	switch {
	case on == ledger.Idle || on == ledger.Loop:
		t.last.Idle()
		return
	case t.view == nil || !t.hasStackNow(now):
		return
	}
	started := t.stack.started
	if w.requests.See(&t.last, t.view, started, t.times.Run); !started.IsZero() && w.threading != eventLoop {
		w.requests.Age(t.view, now.Sub(started))
	}
}

// inHand reports whether a request thread was not idle in the last sample, or requests
// waited in the loop.
func (w *worker) inHand() bool {
	for _, t := range w.threads {
		if t.counted && t.on != ledger.Idle {
			return true
		}
	}
	return len(w.loop.requests) > 0
}

// Quiet reports whether a process had no request in hand in the last sample. known is false
// if it is not sampled or was not yet, has ended, or its stacks are not or cannot be read.
func (s *Sampler) Quiet(pid int, start uint64) (quiet, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workers[workerKey{pid, start}]
	if w == nil || w.gone || w.python.never || !s.settings.Stacks || w.sampled.IsZero() {
		return false, false
	}
	return !w.inHand(), true
}

// TakeViews returns, by view, the requests of a process that samples have shown since the
// last call; empty if it is not sampled.
func (s *Sampler) TakeViews(pid int, start uint64) *views.Seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workers[workerKey{pid, start}]
	if w == nil {
		return &views.Seen{}
	}
	return w.requests.Take()
}
