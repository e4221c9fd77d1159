package health

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// busyLong is how long a request must take, in seconds, for all workers busy to be a
// warning.
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

func (e *evaluator) appWorkers(app string) *appWorkers {
	w := &appWorkers{app: app, process: appOf(e.State, app), memory: memoryOf(e.State, app), requests: requestsOf(e.State, app), queues: listenersOf(e.State, app)}
	cores := make(map[string]*float64)
	if w.process != nil {
		for i := range w.process.Workers {
			cores[w.process.Workers[i].Slot] = w.process.Workers[i].CPU
		}
	}
	if list := workersOf(e.State, app); list != nil {
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
	w.queue = QueueLength(e.State, app)
	w.fullest = Fullest(w.queues)
	w.stuck = w.in("stuck")
	w.taken = w.stuck + w.in("busy")
	w.total = max(w.taken+w.in("idle")+w.in("booting"), float64(len(w.workers)))
	return w
}

// in returns the number of workers in a state: by Counts, else of those listed.
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

// CountIn returns how many workers are in a state.
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

// free returns the number of workers that could take another request now.
func (w *appWorkers) free() float64 { return max(0, w.total-w.taken+w.spare) }

// manyUnready is how many workers of an app must have ended within a minute without
// being ready for a request to be critical.
const manyUnready = 3

// unseen reports whether no worker's state could be read.
func (w *appWorkers) unseen() bool {
	return len(w.workers) > 0 && !slices.ContainsFunc(w.workers, func(x worker) bool { return x.State != "" })
}

// reported reports whether requests are reported.
func (w *appWorkers) reported() bool { return w.requests != nil && w.requests.Rate != nil }

// waits reports whether at least one connection per worker waits.
func (w *appWorkers) waits() bool { return w.queue != nil && *w.queue > 0 && *w.queue >= w.total }

// full reports whether the fullest accept queue has reached that share of its limit.
func (w *appWorkers) full(share float64) bool {
	return w.fullest != nil && w.fullest.Fullness != nil && *w.fullest.Fullness >= share
}

// longest returns the workers in a state, sorted longest first.
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

// worst returns the worker that has been stuck longest, else the one that has been
// busy longest.
func (w *appWorkers) worst() *worker {
	for _, state := range []string{"stuck", "busy"} {
		if l := w.longest(state); len(l) > 0 {
			return &l[0]
		}
	}
	return nil
}

// evaluateWorkers evaluates whether workers are left to answer.
func (e *evaluator) evaluateWorkers(w *appWorkers) {
	r := rule{Subject: Subject{App: w.app, Rule: "workers"}, component: "workers"}
	if w.unseen() && (!w.reported() || slices.Contains(e.Apps, w.app)) {
		r.level = Warning
		r.summary = w.app + " runs, but its state is not known: no worker can be read"
		if !w.reported() {
			r.summary += ", no request is reported"
		}
		r.advice = symptoms(fmt.Sprintf("0 of %s of %s can be read: run the exporter as its user, or give it CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH.", plural(w.total, "worker"), w.app))
	} else if r.level, r.summary = w.level(); r.level > Healthy {
		if worst := w.worst(); worst != nil {
			r.summary += ", longest " + FormatSeconds(worst.Seconds) + " (worker " + worst.Slot + worst.doesText() + ")"
		}
		if w.queue != nil && *w.queue > 0 && w.free() == 0 {
			r.summary += ", queue " + w.queueText()
		}
		r.advice = deferred(func() adviser { return e.adviseWorkers(w) })
	}
	r.release = r.level
	e.add(r)
}

// level returns the level of workers whose state is known, and the summary.
func (w *appWorkers) level() (Level, string) {
	worst := w.worst()
	long := worst != nil && worst.Seconds >= busyLong
	switch {
	case w.unready >= manyUnready:
		return Critical, fmt.Sprintf("%s does not answer: %s ended in the last minute without serving a request", w.app, plural(w.unready, "worker"))
	case w.total == 0:
		return Healthy, ""
	case w.stuck == w.total && w.free() == 0:
		return Critical, fmt.Sprintf("%s does not answer: %s stuck", w.app, ofWorkers(w.stuck, w.total))
	case w.free() == 0 && w.stuck > 0:
		return Critical, fmt.Sprintf("%s has no free worker: %s busy or stuck", w.app, ofWorkers(w.taken, w.total))
	case w.free() == 0 && (w.waits() || long):
		return Warning, fmt.Sprintf("%s has no free worker: %s busy", w.app, ofWorkers(w.taken, w.total))
	case w.stuck > 0: // if all are, one has a thread for another request
		return Warning, fmt.Sprintf("%s of %s %s stuck", ofWorkers(w.stuck, w.total), w.app, isAre(w.stuck))
	default:
		return Healthy, ""
	}
}

// evaluateQueue evaluates the accept queues. Its alert is inhibited where that of the
// workers names the queue at the same level.
func (e *evaluator) evaluateQueue(w *appWorkers, workers *rule) {
	if w.queue == nil {
		e.cannotRead(w.app, "request_queue", "listener", "the accept queue of "+w.app)
		return
	}
	r := rule{Subject: Subject{App: w.app, Rule: "request_queue"}, component: "request_queue"}
	most := longest(w.queues)
	r.level, r.release = rises(*most.Length, e.Limits.RequestQueue)
	r.summary = queueText(most, len(w.queues) > 1) + " connections wait for " + w.app
	if w.full(1 - margin) {
		r.release = Critical
	}
	if w.full(1) {
		r.level, r.summary = Critical, "the queue of "+w.app+" is full: "+w.queueText()+" connections wait"
	} else {
		r.inhibited = w.free() == 0 && workers.level >= r.level && workers.level > Healthy
	}
	r.advice = deferred(func() adviser { return e.adviseQueue(w) })
	e.add(r)
}

// queueText returns the fullest queue in words. One length at least must be known.
func (w *appWorkers) queueText() string { return queueText(w.fullest, len(w.queues) > 1) }

func ofWorkers(n, total float64) string { return FormatCount(n) + " of " + plural(total, "worker") }

func plural(n float64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatFloat(n, 'f', 0, 64) + " " + one + "s"
}

func isAre(n float64) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// doesText returns what a worker waits for, or its detail, to follow its name.
func (x *worker) doesText() string {
	if does := waitText(x.Wait, true); does != "" {
		return detailText(does)
	}
	return detailText(x.Detail)
}

func detailText(detail string) string {
	if detail == "" {
		return ""
	}
	return ", " + detail
}
