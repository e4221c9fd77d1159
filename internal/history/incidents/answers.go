package incidents

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Causes returns the values of the label cause of resp_incidents_total.
func Causes() []model.Cause {
	return []model.Cause{
		model.CauseCPU, model.CauseCPUThrottled, model.CauseMemory, model.CauseWorkers, model.CausePool, model.CauseDBLock, model.CauseDBSlow, model.CauseDBDown, model.CauseRedis,
		model.CauseUpstream, model.CauseGIL, model.CauseGC, model.CauseLock, model.CauseDisk, model.CauseTasks, model.CauseSlowClients, model.CauseLoopBlocked, unknownName,
	}
}

// Incidents returns the last incidents, open ones too, the newest first, at most limit;
// 0: all that are kept.
func (r *Recorder) Incidents(limit int) []model.Incident {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.Clone(r.closed)
	for _, t := range r.apps {
		if t.open {
			out = append(out, t.incident)
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
	out := slices.Clone(r.words)
	slices.Reverse(out) // of the same time the later one first
	slices.SortStableFunc(out, func(a, b model.LastWords) int { return b.Ended.Compare(a.Ended) })
	return out[:shown(len(out), limit)]
}

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

// Totals returns what the metrics show.
func (r *Recorder) Totals() Totals {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := Totals{Counts: r.counts, Why: r.why, Stored: r.o.StateDir != "" && r.why == nil}
	apps := maps.Clone(r.known)
	for app := range r.totals {
		apps[app] = true
	}
	for _, app := range slices.Sorted(maps.Keys(apps)) {
		for _, c := range Causes() {
			out.Totals = append(out.Totals, Total{app, c, r.totals[app][c]})
		}
		if t := r.apps[app]; t != nil && t.open && t.incident.Cause != "" {
			out.Open = append(out.Open, Open{app, t.incident.Cause, t.incident.Start})
		}
	}
	return out
}
