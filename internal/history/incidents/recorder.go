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

	mu      sync.Mutex // guards what follows
	apps    map[string]*tracked
	closed  []model.Incident  // the oldest first
	words   []model.LastWords // the oldest first
	ends    []Ended           // the oldest first
	totals  map[string]map[model.Cause]uint64
	known   map[string]bool // apps of the last look
	looked  time.Time       // when that was
	pending []pending       // lines that are not written yet
	counts  Counts
	why     error // why nothing is written; nil: it is, or is not to be
}

// Counts is what the bounds left out, since the start.
type Counts struct {
	Incidents uint64 // of apps beyond the limit
	Lines     uint64 // that were not written
	Damaged   uint64 // files that were damaged, and set aside
}

// tracked is an app that is harmed, or was a moment ago.
type tracked struct {
	incident model.Incident
	open     bool      // it is an incident, not a first sign alone
	looks    int       // that showed harm
	seen     time.Time // the last look that had the app
	harmed   time.Time // the last look with harm; zero: there was none since a restart
	calm     time.Time // the first look without harm since the last one with it; zero: none
	before   time.Time // the last look with harm before the last calm; zero: there was none
	again    time.Time // when harm came back after that; zero: it is the same incident
	later    worst     // since again: it may be another incident

	cause model.Cause // at the last look
	peer  string
	since time.Time // of it
	told  time.Time // when a line of it was last written
	dirty bool      // its numbers or its chain are worse since
}

// New returns a Recorder. It reads nothing yet.
func New(o Options) *Recorder {
	r := &Recorder{
		o: o, log: logs.Or(o.Logger), apps: make(map[string]*tracked), totals: make(map[string]map[model.Cause]uint64), known: make(map[string]bool),
	}
	r.store = newStore(o.StateDir)
	return r
}

// worst is the worst of some looks.
type worst struct {
	harm  model.Harm
	chain *model.Chain
}

// take takes what one more look shows; false: nothing is worse.
func (w *worst) take(harm model.Harm, chain *model.Chain) (changed bool) {
	changed = worsen(&w.harm, harm)
	if worse(chain, w.chain) {
		c := *chain
		c.Victims = slices.Clone(c.Victims[:min(len(c.Victims), maxVictims)])
		w.chain, changed = &c, true
	}
	return changed
}

// add takes what looks have shown that belong to the incident.
func (t *tracked) add(w worst) {
	x := worst{t.incident.Worst, t.incident.Chain}
	t.dirty = x.take(w.harm, w.chain) || t.dirty
	t.incident.Worst, t.incident.Chain = x.harm, x.chain
}

// settle decides that the harm since the last calm belongs to the incident.
func (t *tracked) settle() {
	t.add(t.later)
	t.later, t.again = worst{}, time.Time{}
}

// Observe takes what one gather read, 5 s after the one before.
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
		r.look(app, &j, now)
	}
	clear(r.known)
	for app := range looks {
		r.known[app] = true
	}
	r.looked = now
	for app, t := range r.apps {
		if !r.known[app] && now.Sub(t.seen) >= missingFor {
			r.end(app, t, cmp.Or(t.harmed, t.calm, t.seen))
		}
	}
	r.addRuns(runs)
	for _, t := range r.apps {
		r.tellLater(t, now)
	}
}

// anyOpen reports whether an incident is open.
func (r *Recorder) anyOpen() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.apps {
		if t.open {
			return true
		}
	}
	return false
}

// look takes what one look shows of one app. r.mu is held.
func (r *Recorder) look(app string, j *judged, now time.Time) {
	t := r.apps[app]
	if t == nil {
		if !j.harm.Any() {
			return
		}
		if len(r.apps) >= maxApps {
			r.counts.Incidents++
			return
		}
		t = &tracked{incident: model.Incident{App: app, Start: r.onset(app, j, now)}}
		r.apps[app] = t
	}
	t.seen = now
	if !j.harm.Any() {
		if t.calm.IsZero() {
			t.calm = now
		}
		t.cause, t.since = "", time.Time{}
		if now.Sub(t.calm) >= calmFor {
			r.end(app, t, cmp.Or(t.harmed, t.calm))
		}
		return
	}
	if !t.calm.IsZero() {
		t.settle()
		t.before, t.again, t.calm = cmp.Or(t.harmed, t.calm), latest(r.onset(app, j, now), t.calm), time.Time{}
	}
	t.harmed = now
	t.looks++
	r.take(t, j, now)
	if !t.open && t.looks >= looksOfHarm {
		r.begin(t)
	}
}

// take takes what a look with harm shows. r.mu is held.
func (r *Recorder) take(t *tracked, j *judged, now time.Time) {
	x := &t.incident
	if t.again.IsZero() {
		t.add(worst{j.harm, j.chain})
	} else {
		t.later.take(j.harm, j.chain)
	}
	if j.cause != t.cause {
		t.cause, t.peer, t.since = j.cause, j.peer, now
		if from := j.since; !from.IsZero() && from.Before(now) {
			t.since = latest(from, x.Start, t.again)
		}
	}
	if t.cause == "" || now.Sub(t.since) < holdFor {
		return
	}
	switch {
	case x.Cause == "":
		t.settle()
		x.Cause, x.Peer = t.cause, t.peer
		r.count(x.App, x.Cause)
		r.change(t)
	case x.Cause != t.cause && !t.again.IsZero() && !t.since.Before(t.again):
		r.split(t)
	case !t.again.IsZero():
		t.settle()
	}
}

// split ends an incident that was calm for a moment before harm of another cause came,
// and begins one of that. r.mu is held.
func (r *Recorder) split(t *tracked) {
	next := tracked{
		incident: model.Incident{App: t.incident.App, Start: t.again, Cause: t.cause, Peer: t.peer, Worst: t.later.harm, Chain: t.later.chain},
		looks:    t.looks, seen: t.seen, harmed: t.harmed, cause: t.cause, peer: t.peer, since: t.since,
	}
	t.later = worst{}
	r.close(t, t.before)
	*t = next
	r.count(t.incident.App, t.incident.Cause)
	r.begin(t)
}

// onset returns when harm began that a look shows first: when the wait in its chain
// began, and without one at the look before, because requests are known to be slow only
// once they have ended. The age of tasks is known at once. r.mu is held.
func (r *Recorder) onset(app string, j *judged, now time.Time) time.Time {
	out := now
	switch {
	case j.chain != nil:
		wait := time.Duration(j.chain.Seconds * float64(time.Second))
		out = now.Add(-min(max(wait, 0), longestOnset))
	case r.known[app] && now.Sub(r.looked) <= longestLook && j.harm != (model.Harm{Tasks: j.harm.Tasks}):
		out = r.looked
	}
	for i := range r.closed {
		if x := &r.closed[i]; x.App == app {
			out = latest(out, x.End)
		}
	}
	return out
}

// begin makes an incident of what is tracked. r.mu is held.
func (r *Recorder) begin(t *tracked) {
	x := &t.incident
	x.ID = x.Start.UTC().Format("20060102T150405.000Z") + "-" + x.App
	t.open = true
	x.Ends = make(map[string]int)
	for _, e := range r.ends {
		if e.App == x.App && !e.At.Before(x.Start) {
			x.Ends[e.Reason]++
		}
	}
	r.change(t)
}

// end ends what is tracked of an app. r.mu is held.
func (r *Recorder) end(app string, t *tracked, at time.Time) {
	if t.open {
		r.close(t, at)
	}
	delete(r.apps, app)
}

// close keeps an incident that has ended. r.mu is held.
func (r *Recorder) close(t *tracked, at time.Time) {
	t.settle()
	x := &t.incident
	x.End = latest(at, x.Start)
	if x.Cause == "" {
		r.count(x.App, unknownName)
	}
	r.tell(t)
	r.keep(*x)
}

// count counts an incident once its cause is known. r.mu is held.
func (r *Recorder) count(app string, cause model.Cause) {
	of := r.totals[app]
	if of == nil {
		if len(r.totals) >= maxApps {
			r.counts.Incidents++
			return
		}
		of = make(map[model.Cause]uint64)
		r.totals[app] = of
	}
	of[cause]++
}

// addRuns adds the runs of healing that began in an incident. r.mu is held.
func (r *Recorder) addRuns(runs []Run) {
	for _, run := range runs {
		for app, t := range r.apps {
			x := &t.incident
			if !t.open || run.App != "" && run.App != app || run.Began.Before(x.Start) || len(x.Actions) >= maxActions || slices.Contains(x.Actions, run.ID) {
				continue
			}
			x.Actions = append(slices.Clip(x.Actions), run.ID)
			r.change(t)
		}
	}
}

// WorkerEnded takes the end of a worker.
func (r *Recorder) WorkerEnded(e Ended) {
	r.load(time.Now())
	words, cut := model.LastWords{}, false
	if r.o.Words != nil && !e.Finished && e.Reason != unknownName && e.Reason != "recycled" {
		words, cut = r.o.Words(e.PID, e.At, e.Reason)
		cut = cut && (!e.Booting || isRequest(words.Thread.Stack))
	}
	r.log.Debug("A worker has ended", "app", e.App, "pid", e.PID, "reason", e.Reason, "in_request", cut)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ends) == maxEnds {
		r.ends = slices.Delete(r.ends, 0, 1)
	}
	r.ends = append(r.ends, e)
	if t := r.apps[e.App]; t != nil && t.open && !e.At.Before(t.incident.Start) {
		ends := maps.Clone(t.incident.Ends) // what was handed out is not changed
		ends[e.Reason]++
		t.incident.Ends = ends
		r.change(t)
	}
	if cut {
		r.keepWords(words)
		r.tellWords(&words)
	}
}

// isRequest reports whether a stack has shown what a request has.
func isRequest(s *model.Stack) bool {
	return s != nil && (s.Method != "" || s.Route != "" || !s.Started.IsZero())
}
