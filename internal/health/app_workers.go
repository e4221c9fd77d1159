package health

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// busyLong is how long a request must take, in seconds, for all workers busy to be a warning.
const busyLong = 1.0

// worker is one worker with the CPU of its process.
type worker struct {
	*model.Worker

	cores *float64 // over the last minute; nil: not known
}

// appWorkers is the state of one app, put together.
type appWorkers struct {
	app                 string
	workers             []worker
	counts              *model.WorkerCounts // nil: not known
	blocked             map[string]float64  // clients of a Redis that wait in a command, by "redis:name"
	queue               *float64            // connections that wait at all listeners
	queues              []model.Listener
	fullest             *model.Listener // nil: no length is known
	requests            *model.AppRequests
	memory              *model.AppMemory
	process             *model.App // nil: not known
	total, stuck, taken float64
	spare               float64     // busy or stuck workers that have a thread for another request
	causes              [2][]advice // of stuck and busy ones; of stuck ones only; nil: not computed yet
	unready             float64     // workers that ended in the last minute, none of which was ready for a request
}

// appWorkers returns what the state has about an app's workers; its parts may be nil.
func (e *evaluator) appWorkers(app string) *appWorkers {
	w := &appWorkers{app: app, process: measures.App(e.State, app), memory: measures.Memory(e.State, app), requests: measures.Requests(e.State, app), queues: measures.Listeners(e.State, app)}
	cores := make(map[string]*float64)
	if w.process != nil {
		for i := range w.process.Workers {
			cores[w.process.Workers[i].Slot] = w.process.Workers[i].CPU
		}
	}
	if list := measures.Workers(e.State, app); list != nil {
		w.workers = make([]worker, len(list.Workers))
		for i := range list.Workers {
			w.workers[i] = worker{&list.Workers[i], cores[list.Workers[i].Slot]}
		}
		w.counts, w.spare, w.unready = list.Counts, list.Spare, list.Unready
	}
	w.blocked = make(map[string]float64)
	for i := range e.State.Redis {
		if s := &e.State.Redis[i]; s.Blocked != nil {
			w.blocked["redis:"+s.Name] = *s.Blocked
		}
	}
	w.queue = measures.QueueLength(e.State, app)
	w.fullest = measures.Fullest(w.queues)
	w.stuck = w.in("stuck")
	w.taken = w.stuck + w.in("busy")
	w.total = max(w.taken+w.in("idle")+w.in("booting"), float64(len(w.workers)))
	return w
}

// in returns how many workers are in a state, e.g. "busy": by the counts, or if there are
// none, of those listed.
func (w *appWorkers) in(state string) float64 {
	if w.counts != nil {
		return CountIn(w.counts, state)
	}
	n := 0.0
	for i := range w.workers {
		if w.workers[i].State == state {
			n++
		}
	}
	return n
}

// CountIn returns how many workers are in a state, e.g. "busy"; 0 for an unknown state.
func CountIn(n *model.WorkerCounts, state string) float64 {
	switch state {
	case "busy":
		return n.Busy
	case "idle":
		return n.Idle
	case "stuck":
		return n.Stuck
	case "booting":
		return n.Booting
	}
	return 0
}

// free returns how many workers are neither busy nor stuck, or have a spare thread; booting and unread ones count too.
func (w *appWorkers) free() float64 { return max(0, w.total-w.taken+w.spare) }

// manyUnready is how many workers of an app must have ended within a minute without
// being ready for a request to be critical.
const manyUnready = 3

// unseen reports whether there are workers, but the state of none could be read.
func (w *appWorkers) unseen() bool {
	return len(w.workers) > 0 && !slices.ContainsFunc(w.workers, func(x worker) bool { return x.State != "" })
}

// reported reports whether the app's requests are reported, e.g. by StatsD.
func (w *appWorkers) reported() bool { return w.requests != nil && w.requests.Rate != nil }

// waits reports whether at least one connection per worker waits to be accepted; false also if that is not known.
func (w *appWorkers) waits() bool { return w.queue != nil && *w.queue > 0 && *w.queue >= w.total }

// full reports whether the fullest accept queue has reached a share of its limit, from 0
// to 1; false if that is not known.
func (w *appWorkers) full(share float64) bool {
	return w.fullest != nil && w.fullest.Fullness != nil && *w.fullest.Fullness >= share
}

// longest returns the workers in a state, those that have been in it longest first.
func (w *appWorkers) longest(state string) []worker {
	var out []worker
	for _, x := range w.workers {
		if x.State == state {
			out = append(out, x)
		}
	}
	slices.SortStableFunc(out, func(a, b worker) int {
		return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), CompareSlots(a.Slot, b.Slot))
	})
	return out
}

// worst returns the worker that has been stuck longest, else the one that has been busy
// longest; nil if there is neither.
func (w *appWorkers) worst() *worker {
	for _, state := range []string{"stuck", "busy"} {
		if l := w.longest(state); len(l) > 0 {
			return &l[0]
		}
	}
	return nil
}

// queueText returns the fullest queue in words. One length at least must be known.
func (w *appWorkers) queueText() string { return queueText(w.fullest, len(w.queues) > 1) }

// name returns the word, the slot and, if it is known, the pid.
func (x *worker) name(word string) string {
	if x.PID == 0 {
		return word + " " + x.Slot
	}
	return fmt.Sprintf("%s %s (pid %d)", word, x.Slot, x.PID)
}

// named returns "worker", the slot and, if it is known, the pid.
func (w *appWorkers) named(slot string) string {
	for i := range w.workers {
		if w.workers[i].Slot == slot {
			return w.workers[i].name("worker")
		}
	}
	return "worker " + slot
}

// queueText returns a queue's length, which must be known, its limit if known, "7 of 128", and its name if several.
func queueText(q *model.Listener, several bool) string {
	out := FormatCount(*q.Length)
	if q.Limit != nil {
		out += " of " + FormatCount(*q.Limit)
	}
	if several {
		out += " at " + q.Name
	}
	return out
}
