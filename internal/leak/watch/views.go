package watch

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/leak/views"
)

const (
	// quietLooks is how many times in an interval a moment without a request is looked
	// for, and maxBusy how many times in a row there may be none; the next look counts
	// all the same.
	quietLooks = 6
	maxBusy    = 2 * quietLooks
	// leastApart is how far apart two such moments are: samples must have seen what was
	// in between.
	leastApart = time.Second
	// maxApps is of how many apps views are found; each has at most 48 KiB.
	maxApps = 64
)

// ViewSource knows the requests that samples of the workers have shown; the sampler of
// package waits does. start is in ticks since the boot.
type ViewSource interface {
	// Quiet reports whether the process had no request lately; known is false if its
	// requests are not known.
	Quiet(pid int, start uint64) (quiet, known bool)
	// TakeViews returns what was seen since the last call.
	TakeViews(pid int, start uint64) *views.Seen
}

// quietMoment is the last moment at which a worker had no request.
type quietMoment struct {
	at   time.Time // zero: there was none
	anon float64   // bytes
	busy int       // looks since then that have found requests

	together views.Worker
}

// appViews is what is known of the views of one app.
type appViews struct {
	views     *views.App
	found     []views.Growth
	suspected bool // one of its workers leaks
	workers   int
	seen      time.Time
}

// observeAll observes each worker that has no request now. It does nothing without
// Options.Views.
func (w *Watcher) observeAll() {
	if w.o.Views == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for k, x := range w.workers {
		w.observe(k, x, now)
	}
}

// observe adds to the views of an app what a worker did and by how much its memory grew
// since its last moment without a request, if it has none now.
func (w *Watcher) observe(k key, x *worker, now time.Time) {
	quiet, known := w.o.Views.Quiet(x.found.PID, x.ticks)
	if !known {
		x.quiet = quietMoment{}
		return
	}
	q := &x.quiet
	if !q.at.IsZero() && now.Sub(q.at) < leastApart {
		return
	}
	if !quiet && q.busy < maxBusy {
		q.busy++
		return
	}
	m, ticks, ok := w.memory(x.found.PID)
	if !ok || ticks != x.ticks {
		return
	}
	before := q.at
	grown := float64(m.Anon+m.Swap) - q.anon
	q.at, q.anon, q.busy = now, float64(m.Anon+m.Swap), 0
	seen := w.o.Views.TakeViews(x.found.PID, x.ticks)
	a := w.viewsOf(k.app, now)
	if a == nil || before.IsZero() {
		return
	}
	a.views.Add(&q.together, &views.Observation{
		Seconds: now.Sub(w.begun).Seconds() * w.o.Scale, Age: now.Sub(x.started).Seconds() * w.o.Scale,
		Lasted: now.Sub(before).Seconds(), Scale: w.o.Scale, Grown: grown, Seen: seen,
	})
}

// viewsOf returns the views of an app, which it makes if there are none; nil, and
// counted, if there are too many apps.
func (w *Watcher) viewsOf(app string, now time.Time) *appViews {
	a := w.apps[app]
	if a == nil && len(w.apps) >= maxApps {
		w.dropped++
		return nil
	}
	if a == nil {
		a = &appViews{views: views.New()}
		w.apps[app] = a
	}
	a.seen = now
	return a
}

// judgeViews sets in which views each app loses memory, and forgets apps that were not
// seen for long.
func (w *Watcher) judgeViews(now time.Time) {
	for _, a := range w.apps {
		a.workers, a.suspected = 0, false
	}
	for k, x := range w.workers {
		if a := w.apps[k.app]; a != nil && x.seen.Equal(now) {
			a.workers++
			a.suspected = a.suspected || x.found.Leak
		}
	}
	for name, a := range w.apps {
		if now.Sub(a.seen) > maxVacant {
			w.unnamed += a.views.Dropped()
			delete(w.apps, name)
			continue
		}
		a.found = a.views.Judge(now.Sub(w.begun).Seconds()*w.o.Scale, a.workers)
	}
}

// Views returns the views in which an app loses memory, the worst first; nil if none is
// known, or none of its workers is suspected. The slice is not changed later.
func (w *Watcher) Views(app string) []views.Growth {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.apps[app]
	if a == nil || !a.suspected {
		return nil
	}
	return a.found
}

// DroppedViews returns how often a view was counted as other because there were too many.
func (w *Watcher) DroppedViews() (n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n = w.unnamed
	for _, a := range w.apps {
		n += a.views.Dropped()
	}
	return n
}
