package health

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// busyLong is how long a request takes before a full house is worth a word, in
// seconds.
const busyLong = 1.0

// worker is one worker as the readings have it.
type worker struct {
	slot, pid, state, detail string
	seconds                  *float64 // in that state
	cores                    *float64 // of CPU time a second, in the last minute
	wait                     *wait    // nil: it waits for nothing, or it is not known
}

// crew is all that is known of an app's workers and its queue.
type crew struct {
	app                 string
	workers             []worker
	states              map[string]*float64 // resp_app_workers
	blocked             map[string]float64  // clients of a Redis that wait in a command, by "redis:name"
	queue               *float64            // connections that wait at all listeners
	queues              []Queue
	fullest             *Queue // nil: no length is known
	requests            bool   // somebody reports requests
	server              string
	total, stuck, taken float64
	spare               float64     // busy or stuck workers that have a thread for another request
	causes              [2][]advice // of those that hang and that are busy, of those that hang; nil: not looked for
	unready             float64     // workers that ended in the last minute, none of which was ready for a request
}

func (c *court) crew(app string) *crew {
	w := &crew{app: app, states: make(map[string]*float64)}
	waits := make(map[string]*wait)
	for _, x := range c.State.With("page.worker_wait", app) {
		waits[label(x, 1)] = &wait{label(x, 2), label(x, 3), x.Value}
	}
	cores := make(map[string]*float64)
	for _, x := range c.State.With("page.worker_cpu_ratio", app) {
		cores[label(x, 1)] = known(x.Value)
	}
	for _, x := range c.State.With("page.worker", app) {
		w.workers = append(w.workers, worker{
			slot: label(x, 1), pid: label(x, 2), state: label(x, 3), detail: label(x, 4), seconds: known(x.Value),
			cores: cores[label(x, 1)], wait: waits[label(x, 1)],
		})
	}
	for _, x := range c.State.With("resp_app_workers", app) {
		w.states[label(x, 1)] = known(x.Value)
	}
	for _, x := range c.State.With("resp_app_info", app) {
		w.server = label(x, 1)
	}
	w.blocked = make(map[string]float64)
	for i := range c.State.Redis {
		if s := &c.State.Redis[i]; s.Blocked != nil {
			w.blocked["redis:"+s.Name] = *s.Blocked
		}
	}
	w.queue = sum(c.State.With("resp_listener_queue_length", app))
	w.queues = Queues(c.State, app)
	w.fullest = Fullest(w.queues)
	w.requests = number(c.State, "page.http_rate", app) != nil
	w.stuck = w.in("stuck")
	w.taken = w.stuck + w.in("busy")
	if v := number(c.State, "page.workers_spare", app); v != nil {
		w.spare = *v
	}
	if v := number(c.State, "page.workers_unready", app); v != nil {
		w.unready = *v
	}
	w.total = max(w.taken+w.in("idle")+w.in("booting"), float64(len(w.workers)))
	return w
}

// in counts the workers in a state: by the metric, else by those seen.
func (w *crew) in(state string) float64 {
	if len(w.states) > 0 {
		if v := w.states[state]; v != nil {
			return *v
		}
		return 0
	}
	n := 0.0
	for i := range w.workers {
		if w.workers[i].state == state {
			n++
		}
	}
	return n
}

// free counts the workers that could serve another request now.
func (w *crew) free() float64 { return max(0, w.total-w.taken+w.spare) }

// manyUnready is how many workers of an app must have ended within a minute,
// none of them ready for a request, for its workers to count as dying.
const manyUnready = 3

// unseen reports whether not one worker may be looked at.
func (w *crew) unseen() bool {
	return len(w.workers) > 0 && !slices.ContainsFunc(w.workers, func(x worker) bool { return x.state != "" })
}

// waits reports whether so many wait that each worker has one more to do.
func (w *crew) waits() bool { return w.queue != nil && *w.queue > 0 && *w.queue >= w.total }

// full reports whether one of the accept queues holds this share of its own limit.
func (w *crew) full(share float64) bool {
	return w.fullest != nil && w.fullest.Fullness != nil && *w.fullest.Fullness >= share
}

// longest lists the workers in that state, the longest in it first.
func (w *crew) longest(state string) []worker {
	var out []worker
	for _, x := range w.workers {
		if x.state == state && x.seconds != nil {
			out = append(out, x)
		}
	}
	slices.SortStableFunc(out, func(a, b worker) int {
		return cmp.Or(cmp.Compare(*b.seconds, *a.seconds), cmp.Compare(len(a.slot), len(b.slot)), cmp.Compare(a.slot, b.slot))
	})
	return out
}

// worst is the worker that hangs longest, else the one that is busy longest.
func (w *crew) worst() *worker {
	for _, state := range []string{"stuck", "busy"} {
		if l := w.longest(state); len(l) > 0 {
			return &l[0]
		}
	}
	return nil
}

// judgeWorkers reports whether anybody is left to answer.
func (c *court) judgeWorkers(w *crew) {
	r := rule{key: key{app: w.app, name: "workers"}, component: "workers"}
	if w.unseen() && (!w.requests || slices.Contains(c.Apps, w.app)) {
		r.level = Warning
		r.summary = w.app + " runs, but whether it answers cannot be seen: no worker may be looked at"
		if !w.requests {
			r.summary += ", no request is reported"
		}
		r.advice = says(fmt.Sprintf("0 of %s of %s may be looked at: run the exporter as its user, or give it CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH.", plural(w.total, "worker"), w.app))
	} else if r.level, r.summary = w.judge(); r.level > Healthy {
		if worst := w.worst(); worst != nil {
			r.summary += ", longest " + FormatSeconds(*worst.seconds) + " (worker " + worst.slot + worst.doesText() + ")"
		}
		if w.queue != nil && *w.queue > 0 && w.free() == 0 {
			r.summary += ", queue " + w.queueText()
		}
		r.advice = later(func() adviser { return c.adviseWorkers(w) })
	}
	r.calm = r.level
	c.add(r)
}

// judge judges workers that can be seen.
func (w *crew) judge() (Level, string) {
	worst := w.worst()
	long := worst != nil && *worst.seconds >= busyLong
	switch {
	case w.unready >= manyUnready:
		return Critical, fmt.Sprintf("%s does not answer: %s ended in the last minute, and none was ready for a request", w.app, plural(w.unready, "worker"))
	case w.total == 0:
		return Healthy, ""
	case w.stuck == w.total && w.free() == 0:
		return Critical, fmt.Sprintf("%s does not answer: %s stuck", w.app, ofWorkers(w.stuck, w.total))
	case w.free() == 0 && w.stuck > 0:
		return Critical, fmt.Sprintf("%s is held up: %s busy or stuck", w.app, ofWorkers(w.taken, w.total))
	case w.free() == 0 && (w.waits() || long):
		return Warning, fmt.Sprintf("%s has no free worker: %s busy", w.app, ofWorkers(w.taken, w.total))
	case w.stuck > 0: // where all are, one has a thread for another request
		return Warning, fmt.Sprintf("%s of %s %s stuck", ofWorkers(w.stuck, w.total), w.app, isAre(w.stuck))
	default:
		return Healthy, ""
	}
}

// judgeQueue judges what waits for accept; tells says that the workers' rule
// has named the queue already, at that level.
func (c *court) judgeQueue(w *crew, workers *rule) {
	if w.queue == nil {
		c.cannotRead(w.app, "request_queue", "listener", "the accept queue of "+w.app)
		return
	}
	r := rule{key: key{app: w.app, name: "request_queue"}, component: "request_queue"}
	most := longest(w.queues)
	r.level, r.calm = rises(*most.Length, c.Limits.RequestQueue)
	r.summary = most.text(len(w.queues) > 1) + " connections wait for " + w.app
	if w.full(1 - margin) {
		r.calm = Critical
	}
	if w.full(1) {
		r.level, r.summary = Critical, "the queue of "+w.app+" is full: "+w.queueText()+" connections wait"
	} else {
		r.told = w.free() == 0 && workers.level >= r.level && workers.level > Healthy
	}
	r.advice = later(func() adviser { return c.adviseQueue(w) })
	c.add(r)
}

// queueText is the fullest queue in words; there is one whose length is known.
func (w *crew) queueText() string { return w.fullest.text(len(w.queues) > 1) }

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

// doesText is what a worker does, to follow its name: what it waits for where
// that is known.
func (x *worker) doesText() string {
	if x.wait != nil && x.wait.does() != "" {
		return detailText(x.wait.does())
	}
	return detailText(x.detail)
}

func detailText(detail string) string {
	if detail == "" {
		return ""
	}
	return ", " + detail
}

func label(x model.Reading, i int) string {
	if i < len(x.Labels) {
		return x.Labels[i]
	}
	return ""
}
