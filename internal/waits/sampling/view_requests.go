package sampling

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/leak/views"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

// countRequest counts the request that a thread is in, in a sample with stacks.
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

// inHand reports whether a request was in hand in the last sample.
func (w *worker) inHand() bool {
	for _, t := range w.threads {
		if t.counted && t.on != ledger.Idle {
			return true
		}
	}
	return len(w.loop.requests) > 0
}

// Quiet reports whether no request of a worker's process was in hand in the last sample;
// known is false if the process is not sampled, or its stacks cannot be read.
func (s *Sampler) Quiet(pid int, start uint64) (quiet, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workers[workerKey{pid, start}]
	if w == nil || w.gone || w.python.never || !s.settings.Stacks || w.sampled.IsZero() {
		return false, false
	}
	return !w.inHand(), true
}

// TakeViews returns the requests of each view that samples of a worker's process have
// shown since this was last called.
func (s *Sampler) TakeViews(pid int, start uint64) *views.Seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workers[workerKey{pid, start}]
	if w == nil {
		return &views.Seen{}
	}
	return w.requests.Take()
}
