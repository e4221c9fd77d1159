// Package viewcount counts the requests of each view that the samples of a worker have
// shown. It is pure.
package viewcount

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/leak/views"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/viewtime"
)

// Requests is the requests of one worker. The zero value is ready.
type Requests struct {
	Looks uint64 // samples with stacks
	views []count
}

// count is the requests of one view.
type count struct {
	view     *ledger.View
	requests uint64
	ages     views.Ages
}

// Last is the request that a thread was last seen in. The zero value is that of one
// without a request.
type Last struct {
	view    *ledger.View // nil: it was idle since
	started time.Time
	run     time.Duration // of the thread then
}

// Idle records that a sample shows the thread without a request.
func (l *Last) Idle() { l.view = nil }

// See counts the request that a thread is in, unless it is the one in last: that has
// begun at the same time or, if that is not known, the thread has hardly run since.
// started may be zero; run is the thread's CPU time. It updates last.
func (r *Requests) See(last *Last, view *ledger.View, started time.Time, run time.Duration) {
	same := last.view == view && last.started.Equal(started) && (!started.IsZero() || run-last.run <= viewtime.PollRun)
	*last = Last{view, started, run}
	if !same {
		r.Add(view)
	}
}

// Add counts a new request of a view.
func (r *Requests) Add(view *ledger.View) { r.of(view).requests++ }

// Age adds the age that a request of a view has at a sample to the ages of the view.
func (r *Requests) Age(view *ledger.View, age time.Duration) { r.of(view).ages.Add(age) }

// of returns the counts of a view, which it makes if there are none. The ledger bounds
// their number.
func (r *Requests) of(view *ledger.View) *count {
	for i := range r.views {
		if r.views[i].view == view {
			return &r.views[i]
		}
	}
	r.views = append(r.views, count{view: view})
	return &r.views[len(r.views)-1]
}

// Take returns what was counted since the last call, by view, and sets the counts to 0.
func (r *Requests) Take() *views.Seen {
	out := &views.Seen{Looks: r.Looks, Views: make([]views.View, 0, len(r.views))}
	for i := range r.views {
		c := &r.views[i]
		if c.requests > 0 || c.ages != (views.Ages{}) {
			out.Views = append(out.Views, views.View{Name: c.view.Name, Requests: c.requests, Ages: c.ages})
		}
	}
	r.Looks, r.views = 0, r.views[:0]
	return out
}
