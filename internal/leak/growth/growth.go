// Package growth takes censuses of the heap of a Python worker that is suspected of a
// leak, some minutes apart, and tells which objects become more and what holds them.
package growth

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/leak/watch"
	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

const (
	// censuses is how many are taken of a worker: two cannot tell growth from what goes up
	// and down.
	censuses = 3
	// DefaultPause is the time between two censuses.
	DefaultPause = 5 * time.Minute
	// DefaultPatience is for how long it is tried to find a process standing still.
	DefaultPatience = 10 * time.Minute
	// Studies of one worker that have shown nothing are repeated after pauseAgain pauses,
	// at most maxStudies times; one that has is, after pauseDone pauses.
	pauseAgain = 6
	pauseDone  = 72
	maxStudies = 3
	maxApps    = 64
	// maxTried is how many living workers of an app are studied, one after the other, of
	// which each has shown nothing.
	maxTried = 8
	// maxHung is how many reads of the memory of one user's processes may hang at a time
	// until no other one is begun. Each keeps the 16 MiB of a census and a thread.
	maxHung   = 2
	lookEvery = 5 * time.Second
)

// Options are the settings of [New].
type Options struct {
	Suspects func() []watch.Suspect // the workers that are suspected now
	On       func() bool            // whether censuses are taken, as configured now
	ProcRoot string
	Pause    time.Duration // between two censuses; 0: DefaultPause
	Patience time.Duration // for how long one census is tried; 0: DefaultPatience
	Logger   *slog.Logger  // nil: no log
}

// Watcher takes the censuses, one at a time. Its exported methods may be called by several
// goroutines.
type Watcher struct {
	o      Options
	log    *slog.Logger
	dog    *memory.Watchdog
	ownNS  uint64        // inode of the exporter's user namespace
	maxCPU time.Duration // of one pass

	mu      sync.Mutex
	apps    map[string]*record
	beyond  map[string]bool // apps beyond maxApps, which were counted
	hung    map[procfs.Account]int
	dropped uint64
}

// record is what is known of the heap of one app.
type record struct {
	suspect watch.Suspect
	census  model.HeapCensus
	studies int
	next    time.Time // of the next study
	over    bool      // the suspect is not studied again
	tried   map[watch.Suspect]bool
}

// New returns a Watcher. It reads nothing before Run.
func New(o Options) *Watcher {
	if o.Pause <= 0 {
		o.Pause = DefaultPause
	}
	if o.Patience <= 0 {
		o.Patience = DefaultPatience
	}
	return &Watcher{
		o: o, log: logs.Or(o.Logger), dog: &memory.Watchdog{}, ownNS: procfs.OwnUserNS().Ino, maxCPU: maxCPU,
		apps: make(map[string]*record), beyond: make(map[string]bool), hung: make(map[procfs.Account]int),
	}
}

// next returns the worker to study now: of each app the one that leaks fastest or, if its
// study has found nothing or it is not suspected any more, the next one, up to eight of an
// app. false: none is due, studies are off, or all that are due are of apps beyond
// maxApps, which it counts.
func (w *Watcher) next(now time.Time) (watch.Suspect, bool) {
	var all []watch.Suspect
	if w.o.On() {
		all = w.o.Suspects()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forget(all)
	for _, s := range all {
		r := w.apps[s.App]
		switch {
		case r == nil && len(w.apps) >= maxApps:
			if !w.beyond[s.App] {
				w.beyond[s.App] = true
				w.dropped++
			}
		case r == nil:
			w.apps[s.App] = &record{suspect: s, tried: map[watch.Suspect]bool{s.Process(): true}}
			return s, true
		case now.Before(r.next):
		case !r.over && s.Process() == r.suspect.Process():
			return s, true
		case r.over && !r.tried[s.Process()] && len(r.tried) < maxTried:
			r.suspect, r.studies, r.over = s, 0, false
			r.tried[s.Process()] = true
			return s, true
		}
	}
	return watch.Suspect{}, false
}

// forget removes what is known of apps without a suspected worker, and of workers that
// are not suspected any more.
func (w *Watcher) forget(all []watch.Suspect) {
	alive := make(map[string]bool, len(all))
	same := make(map[watch.Suspect]bool, len(all))
	for _, s := range all {
		alive[s.App] = true
		same[s.Process()] = true
	}
	for app, r := range w.apps {
		if !alive[app] {
			delete(w.apps, app)
			continue
		}
		if !same[r.suspect.Process()] {
			r.census, r.next, r.over = model.HeapCensus{}, time.Time{}, true
		}
		maps.DeleteFunc(r.tried, func(s watch.Suspect, _ bool) bool { return !same[s] })
	}
	maps.DeleteFunc(w.beyond, func(app string, _ bool) bool { return !alive[app] || w.apps[app] != nil })
}

// postpone schedules another study of a worker after a pause, because its study was
// interrupted. It does nothing if the app is forgotten.
func (w *Watcher) postpone(s watch.Suspect) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.apps[s.App]; r != nil {
		r.next = time.Now().Add(w.o.Pause)
	}
}

// hangs reports whether the memory of a user's processes must not be read now, because
// maxHung reads of it hang.
func (w *Watcher) hangs(a procfs.Account) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hung[a] >= maxHung
}

// hang adds n to the count of a user's reads that hang; -1: one has returned.
func (w *Watcher) hang(a procfs.Account, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hung[a] += n; w.hung[a] == 0 {
		delete(w.hung, a)
	}
}

// wanted reports whether a worker is still suspected and censuses are on.
func (w *Watcher) wanted(s watch.Suspect) bool {
	return w.o.On() && slices.ContainsFunc(w.o.Suspects(), func(o watch.Suspect) bool { return o.Process() == s.Process() })
}

// tell publishes what is known of a worker's heap so far, unless more was known before.
// final: the study is over; when the next one is due is set.
func (w *Watcher) tell(s watch.Suspect, c model.HeapCensus, final bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.apps[s.App]
	if r == nil {
		return
	}
	known := r.census.Outcome == model.HeapGrows || r.census.Outcome == model.HeapNotPython
	if c.Outcome == model.HeapPending && r.census.Outcome != "" && r.census.Outcome != model.HeapPending {
		return // what was known stands until there is more
	}
	if !known || c.Outcome == model.HeapGrows || c.Outcome == model.HeapNotPython {
		r.census = c
	}
	if !final {
		return
	}
	r.studies++
	switch {
	case c.Outcome == model.HeapGrows || c.Outcome == model.HeapNotPython:
		r.next, r.studies = time.Now().Add(pauseDone*w.o.Pause), 0
	case r.studies < maxStudies && (c.Outcome == model.HeapSteady || c.Reason == model.HeapAwake || c.Reason == model.HeapHung):
		r.next = time.Now().Add(pauseAgain * w.o.Pause)
	default:
		r.next, r.over = time.Now().Add(w.o.Pause), true
	}
}

// Of returns the heap census of an app's worker that was published last; false if there
// is none.
func (w *Watcher) Of(app string) (model.HeapCensus, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.apps[app]
	if r == nil || r.census.Outcome == "" {
		return model.HeapCensus{}, false
	}
	return r.census, true
}

// Dropped returns how often something was left out: a census that was too large, types or
// containers beyond their bounds, or an app too many.
func (w *Watcher) Dropped() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dropped
}

// drop adds n to the searches that were dropped.
func (w *Watcher) drop(n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dropped += n
}
