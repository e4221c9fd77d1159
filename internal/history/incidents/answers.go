package incidents

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Causes returns all values of the label cause of resp_incidents_total.
func Causes() []model.Cause {
	return []model.Cause{
		model.CauseCPU, model.CauseCPUThrottled, model.CauseMemory, model.CauseWorkers, model.CausePool, model.CauseDBLock, model.CauseDBSlow, model.CauseDBDown, model.CauseRedis,
		model.CauseUpstream, model.CauseGIL, model.CauseGC, model.CauseLock, model.CauseDisk, model.CauseTasks, model.CauseSlowClients, model.CauseLoopBlocked, unknownName,
	}
}

// Incidents returns the last incidents, also the open ones, the newest first, at most
// limit; 0: all that are kept. An open incident without a recorded cause gets that of the
// last look.
func (r *Recorder) Incidents(limit int) []model.Incident {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.Clone(r.state.closed)
	for _, t := range r.state.apps {
		if t.open {
			x := t.incident
			if x.Cause == "" {
				x.Cause, x.Peer = t.cause, t.peer
			}
			out = append(out, x)
		}
	}
	slices.SortStableFunc(out, func(a, b model.Incident) int { return cmp.Or(b.Start.Compare(a.Start), cmp.Compare(a.App, b.App)) })
	return out[:shown(len(out), limit)]
}

// LastWords returns the last words of workers, the newest first, at most limit; 0: all
// that are kept.
func (r *Recorder) LastWords(limit int) []model.LastWords {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.Clone(r.state.words)
	slices.Reverse(out) // of the same time the later one first
	slices.SortStableFunc(out, func(a, b model.LastWords) int { return b.Ended.Compare(a.Ended) })
	return out[:shown(len(out), limit)]
}

// shown returns how many of n are shown: at most limit, all if limit is 0 or less.
func shown(n, limit int) int {
	if limit <= 0 {
		return n
	}
	return min(n, limit)
}

// Total is how many incidents of an app and a cause there were since the start.
type Total struct {
	App   string
	Cause model.Cause
	Count uint64
}

// Open is an incident that is open, and whose cause is known.
type Open struct {
	App   string
	Cause model.Cause
	Start time.Time
}

// Totals is what the metrics show.
type Totals struct {
	Totals []Total // of each app that is known, one for each of [Causes]
	Open   []Open
	Counts Counts
	Stored bool
	Why    error // why nothing is written
}

// Totals returns how many incidents each app had by cause, the open ones whose cause is
// recorded, what was left out, and why nothing is stored.
func (r *Recorder) Totals() Totals {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := Totals{Counts: r.state.counts, Why: r.why, Stored: r.o.StateDir != "" && r.why == nil}
	apps := maps.Clone(r.state.known)
	for app := range r.state.totals {
		apps[app] = true
	}
	for _, app := range slices.Sorted(maps.Keys(apps)) {
		for _, c := range Causes() {
			out.Totals = append(out.Totals, Total{app, c, r.state.totals[app][c]})
		}
		if t := r.state.apps[app]; t != nil && t.open && t.incident.Cause != "" {
			out.Open = append(out.Open, Open{app, t.incident.Cause, t.incident.Start})
		}
	}
	return out
}
