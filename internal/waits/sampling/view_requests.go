package sampling

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/leak/views"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/viewtime"
)

// viewRequests counts the requests of each view that the samples of a worker have shown.
type viewRequests struct {
	looks uint64 // samples with stacks
	views []viewCount
}

// viewCount is the same of one view.
type viewCount struct {
	view     *ledger.View
	requests uint64
	ages     views.Ages
}

// of returns the counts of a view. The ledger bounds how many there are.
func (v *viewRequests) of(view *ledger.View) *viewCount {
	for i := range v.views {
		if v.views[i].view == view {
			return &v.views[i]
		}
	}
	v.views = append(v.views, viewCount{view: view})
	return &v.views[len(v.views)-1]
}

// take returns what was counted, and counts from 0.
func (v *viewRequests) take() *views.Seen {
	out := &views.Seen{Looks: v.looks, Views: make([]views.View, 0, len(v.views))}
	for i := range v.views {
		c := &v.views[i]
		if c.requests > 0 || c.ages != (views.Ages{}) {
			out.Views = append(out.Views, views.View{Name: c.view.Name, Requests: c.requests, Ages: c.ages})
		}
	}
	v.looks, v.views = 0, v.views[:0]
	return out
}

// lastRequest is the request that a thread was last seen in.
type lastRequest struct {
	view    *ledger.View // nil: it was idle since
	started time.Time
	run     time.Duration // of the thread then
}

// countRequest counts the request that a thread is in, in a sample with stacks.
func (w *worker) countRequest(t *thread, on ledger.On, now time.Time) {
	switch {
	case on == ledger.Idle || on == ledger.Loop:
		t.last.view = nil
		return
	case t.view == nil || !t.hasStackNow(now):
		return
	}
	last, started := &t.last, t.stack.started
	same := last.view == t.view && last.started.Equal(started) && (!started.IsZero() || t.times.Run-last.run <= viewtime.PollRun)
	*last = lastRequest{t.view, started, t.times.Run}
	c := w.requests.of(t.view)
	if !same {
		c.requests++
	}
	if !started.IsZero() && w.threading != eventLoop {
		c.ages.Add(now.Sub(started))
	}
}

// inHand reports whether a request was in hand in the last sample.
func (w *worker) inHand() bool {
	for _, t := range w.threads {
		if t.counted && t.on != ledger.Idle {
			return true
		}
	}
	return w.loop.inHand()
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
	return w.requests.take()
}
