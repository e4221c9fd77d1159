package incidents

import (
	"cmp"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// recorded holds the apps with harm, the last incidents and last words, and the lines to write. It
// has no lock: the exported methods of [Recorder] lock.
type recorded struct {
	apps    map[string]*tracked
	closed  []model.Incident  // the oldest first
	words   []model.LastWords // the oldest first
	ends    []Ended           // the oldest first
	totals  map[string]map[model.Cause]uint64
	known   map[string]bool // apps of the last look
	looked  time.Time       // when that was
	stores  bool            // whether lines are written
	pending []pending       // lines that are not written yet
	counts  Counts
}

// newRecorded returns records without incidents. stores: they are written to the disk.
func newRecorded(stores bool) recorded {
	return recorded{apps: make(map[string]*tracked), totals: make(map[string]map[model.Cause]uint64), known: make(map[string]bool), stores: stores}
}

// tracked is an app that has harm, or had some within [calmFor].
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

// worst is the worst of some looks.
type worst struct {
	harm  model.Harm
	chain *model.Chain
}

// take keeps the worse of each value of harm and of the chains, with at most maxVictims
// victims; it reports whether one was worse.
func (w *worst) take(harm model.Harm, chain *model.Chain) (changed bool) {
	changed = worsen(&w.harm, harm)
	if worse(chain, w.chain) {
		c := *chain
		c.Victims = slices.Clone(c.Victims[:min(len(c.Victims), maxVictims)])
		w.chain, changed = &c, true
	}
	return changed
}

// add copies the harm and the chain of some looks to the incident, if they are worse than
// what it has.
func (t *tracked) add(w worst) {
	x := worst{t.incident.Worst, t.incident.Chain}
	t.dirty = x.take(w.harm, w.chain) || t.dirty
	t.incident.Worst, t.incident.Chain = x.harm, x.chain
}

// settle adds to the incident the harm since the app's last calm, which turned out to
// belong to it.
func (t *tracked) settle() {
	t.add(t.later)
	t.later, t.again = worst{}, time.Time{}
}

// look updates an app's incident by one look: it begins after looksOfHarm looks with harm
// and ends after calmFor without. Apps beyond maxApps are only counted.
func (s *recorded) look(app string, j *judged, now time.Time) {
	t := s.apps[app]
	if t == nil {
		if !j.harm.Any() {
			return
		}
		if len(s.apps) >= maxApps {
			s.counts.Incidents++
			return
		}
		t = &tracked{incident: model.Incident{App: app, Start: s.onset(app, j, now)}}
		s.apps[app] = t
	}
	t.seen = now
	if !j.harm.Any() {
		if t.calm.IsZero() {
			t.calm = now
		}
		t.cause, t.since = "", time.Time{}
		if now.Sub(t.calm) >= calmFor {
			s.end(app, t, cmp.Or(t.harmed, t.calm))
		}
		return
	}
	if !t.calm.IsZero() {
		t.settle()
		t.before, t.again, t.calm = cmp.Or(t.harmed, t.calm), latest(s.onset(app, j, now), t.calm), time.Time{}
	}
	t.harmed = now
	t.looks++
	s.take(t, j, now)
	if !t.open && t.looks >= looksOfHarm {
		s.begin(t)
	}
}

// take adds a look with harm to a tracked app. A cause that has held for [holdFor]
// becomes that of the incident or, if the harm came back after a calm with another cause,
// begins another incident.
func (s *recorded) take(t *tracked, j *judged, now time.Time) {
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
		s.count(x.App, x.Cause)
		s.change(t)
	case x.Cause != t.cause && !t.again.IsZero() && !t.since.Before(t.again):
		s.split(t)
	case !t.again.IsZero():
		t.settle()
	}
}

// split ends an incident whose harm stopped for a moment and came back with another
// cause, and opens another incident with that cause.
func (s *recorded) split(t *tracked) {
	next := tracked{
		incident: model.Incident{App: t.incident.App, Start: t.again, Cause: t.cause, Peer: t.peer, Worst: t.later.harm, Chain: t.later.chain},
		looks:    t.looks, seen: t.seen, harmed: t.harmed, cause: t.cause, peer: t.peer, since: t.since,
	}
	t.later = worst{}
	s.close(t, t.before)
	*t = next
	s.count(t.incident.App, t.incident.Cause)
	s.begin(t)
}

// onset returns when the harm of a look began: when the wait in its chain began, at most a
// minute ago; without a chain at the look before, if that had the app and is at most 10 s
// ago, as slow requests are known only when they end; else now, as for overdue tasks. It is
// never before the end of the app's last incident.
func (s *recorded) onset(app string, j *judged, now time.Time) time.Time {
	out := now
	switch {
	case j.chain != nil:
		wait := time.Duration(j.chain.Seconds * float64(time.Second))
		out = now.Add(-min(max(wait, 0), longestOnset))
	case s.known[app] && now.Sub(s.looked) <= longestLook && j.harm != (model.Harm{Tasks: j.harm.Tasks}):
		out = s.looked
	}
	for i := range s.closed {
		if x := &s.closed[i]; x.App == app {
			out = latest(out, x.End)
		}
	}
	return out
}

// begin opens the incident of a tracked app: it gets an id, and the ends of workers since
// its start.
func (s *recorded) begin(t *tracked) {
	x := &t.incident
	x.ID = x.Start.UTC().Format("20060102T150405.000Z") + "-" + x.App
	t.open = true
	x.Ends = make(map[string]int)
	for _, e := range s.ends {
		if e.App == x.App && !e.At.Before(x.Start) {
			x.Ends[e.Reason]++
		}
	}
	s.change(t)
}

// end removes a tracked app, and closes its incident at that time if one is open.
func (s *recorded) end(app string, t *tracked, at time.Time) {
	if t.open {
		s.close(t, at)
	}
	delete(s.apps, app)
}

// close ends an incident at a time, counts it if it has no cause, and keeps it.
func (s *recorded) close(t *tracked, at time.Time) {
	t.settle()
	x := &t.incident
	x.End = latest(at, x.Start)
	if x.Cause == "" {
		s.count(x.App, unknownName)
	}
	s.tell(t)
	s.keep(*x)
}

// count counts an incident of an app by its cause. Apps beyond maxApps are only counted
// as left out.
func (s *recorded) count(app string, cause model.Cause) {
	of := s.totals[app]
	if of == nil {
		if len(s.totals) >= maxApps {
			s.counts.Incidents++
			return
		}
		of = make(map[model.Cause]uint64)
		s.totals[app] = of
	}
	of[cause]++
}

// addRuns adds to open incidents the runs of healing that began in them, about their app
// or about none.
func (s *recorded) addRuns(runs []Run) {
	for _, run := range runs {
		for app, t := range s.apps {
			x := &t.incident
			if !t.open || run.App != "" && run.App != app || run.Began.Before(x.Start) || len(x.Actions) >= maxActions || slices.Contains(x.Actions, run.ID) {
				continue
			}
			x.Actions = append(slices.Clip(x.Actions), run.ID)
			s.change(t)
		}
	}
}
