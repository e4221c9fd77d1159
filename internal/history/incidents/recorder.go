// Package incidents keeps one record of each time of harm of an app, and what workers did
// that ended in mid-request.
package incidents

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	// calmFor is how long an app must be without harm until its incident is over.
	calmFor = 20 * time.Second
	// holdFor is how long a cause must hold until it is the one of the incident. Looks
	// are 5 s apart, and a little less at times.
	holdFor = 15*time.Second - 500*time.Millisecond
	// looksOfHarm is how many looks must show harm until there is an incident.
	looksOfHarm = 2
	// longestLook is how long before a look the one before may be so that harm may have
	// begun right after that. Looks are 5 s apart, and more on a busy machine.
	longestLook = 10 * time.Second
	// longestOnset is how long before the first look at it harm may have begun.
	longestOnset = time.Minute
	// missingFor is how long an app may be missing until its incident is over.
	missingFor = time.Minute
	// longestGap is for how long the exporter may have been down so that an incident
	// goes on.
	longestGap = 10 * time.Minute

	maxApps     = 1024
	maxKept     = 100 // incidents, and last words
	maxEnds     = 256 // ends of workers that are kept for incidents that are not open yet
	maxActions  = 20
	maxVictims  = 16
	unknownName = "unknown" // the label cause of an incident of which none held
)

// Run is a run of healing.
type Run struct {
	ID, App string // App "": its alert names none
	Began   time.Time
}

// Ended is the end of a worker.
type Ended struct {
	App    string
	PID    int
	At     time.Time
	Reason string // as resp_worker_ends_total has it
	// Finished is whether it finished its request first.
	Finished bool
	// Booting is whether it had not begun to serve requests some seconds before.
	Booting bool
	// Requests are those that it cut off, as it has said itself; nil: not known, or none.
	Requests []appside.Request
}

// Options configures a [Recorder].
type Options struct {
	// Runs returns the runs of healing; nil: there are none.
	Runs func() []Run
	// Words returns what a process did that ended at a time in mid-request; false: it had
	// no request in hand.
	Words    func(pid int, end time.Time, reason string) (model.LastWords, bool)
	StateDir string // "": memory alone
	Logger   *slog.Logger
}

// Recorder records incidents and last words. Its exported methods may be called by
// several goroutines.
type Recorder struct {
	o     Options
	log   *slog.Logger
	store store

	mu    sync.Mutex // guards what follows
	state recorded
	why   error // why nothing is written; nil: it is, or is not to be
}

// Counts is what the bounds left out, since the start.
type Counts struct {
	Incidents uint64 // of apps beyond the limit
	Lines     uint64 // that were not written
	Damaged   uint64 // files that were damaged, and set aside
}

// New returns a Recorder. It reads and writes nothing yet.
func New(o Options) *Recorder {
	return &Recorder{o: o, log: logs.Or(o.Logger), store: newStore(o.StateDir), state: newRecorded(o.StateDir != "")}
}

// Observe updates the incidents by the state of one gather. The caller calls it about
// every 5 s.
func (r *Recorder) Observe(now time.Time, s *model.State) {
	r.load(now)
	looks := judge(s)
	var runs []Run
	if r.o.Runs != nil && r.anyOpen() {
		runs = r.o.Runs()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for app, j := range looks {
		r.state.look(app, &j, now)
	}
	clear(r.state.known)
	for app := range looks {
		r.state.known[app] = true
	}
	r.state.looked = now
	for app, t := range r.state.apps {
		if !r.state.known[app] && now.Sub(t.seen) >= missingFor {
			r.state.end(app, t, cmp.Or(t.harmed, t.calm, t.seen))
		}
	}
	r.state.addRuns(runs)
	for _, t := range r.state.apps {
		r.state.tellLater(t, now)
	}
}

// anyOpen reports whether an incident of any app is open; a first sign of one is not.
func (r *Recorder) anyOpen() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.state.apps {
		if t.open {
			return true
		}
	}
	return false
}

// WorkerEnded records the end of a worker, with its last words if that cut off a request.
// An end in an open incident counts there.
func (r *Recorder) WorkerEnded(e Ended) {
	r.load(time.Now())
	words, cut := model.LastWords{}, false
	if r.o.Words != nil && !e.Finished && e.Reason != unknownName && e.Reason != "recycled" {
		words, cut = r.o.Words(e.PID, e.At, e.Reason)
		cut = cut && (!e.Booting || len(e.Requests) > 0 || isRequest(words.Thread.Stack))
		words.Thread.Stack = withRoute(words.Thread.Stack, &e)
	}
	r.log.Debug("End of a worker recorded", "app", e.App, "pid", e.PID, "reason", e.Reason, "in_request", cut)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.state.ends) == maxEnds {
		r.state.ends = slices.Delete(r.state.ends, 0, 1)
	}
	r.state.ends = append(r.state.ends, e)
	if t := r.state.apps[e.App]; t != nil && t.open && !e.At.Before(t.incident.Start) {
		ends := maps.Clone(t.incident.Ends) // what was handed out is not changed
		ends[e.Reason]++
		t.incident.Ends = ends
		r.state.change(t)
	}
	if cut {
		r.state.keepWords(words)
		r.state.tellWords(&words)
	}
}

// isRequest reports whether a stack shows a request: its method, route or start is known.
func isRequest(s *model.Stack) bool {
	return s != nil && (s.Method != "" || s.Route != "" || !s.Started.IsZero())
}

// sameStart is how much the start of a request may differ, as its server and the app itself
// have it.
const sameStart = time.Second

// withRoute returns a stack with the method and route that the app itself has reported of
// its request: the only one or, of several, the one that began at the same time, to a
// second, with the stack's method if that is known. The stack stays as it is if it has a
// route, or several requests fit, or none; nil for nil.
func withRoute(s *model.Stack, e *Ended) *model.Stack {
	if s == nil || s.Route != "" {
		return s
	}
	var found *appside.Request
	for i := range e.Requests {
		x := &e.Requests[i]
		apart := e.At.Add(-x.Age).Sub(s.Started).Abs()
		if len(e.Requests) == 1 || !s.Started.IsZero() && apart <= sameStart && (s.Method == "" || s.Method == x.Method) {
			if found != nil {
				return s // it may be either
			}
			found = x
		}
	}
	if found == nil {
		return s
	}
	out := *s
	out.Method, out.Route = cmp.Or(s.Method, found.Method), found.Route
	return &out
}
