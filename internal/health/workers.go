package health

import (
	"fmt"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/health/levels"
	"github.com/resp-exporter/resp-exporter/internal/health/measures"
)

// evaluateWorkers adds the rule about whether workers are left to answer, and returns its level: a warning
// if none can be read, unless the app is not configured and reports requests; Healthy if workers are muted.
func (e *evaluator) evaluateWorkers(w *appWorkers) Level {
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
	if slices.Contains(e.muted(w.app), r.component) {
		return Healthy
	}
	return r.level
}

// level returns the level of an app's workers and its summary. Unless many end unready: Healthy, "" for none or unseen.
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

// evaluateQueue adds the rule about the accept queues. Its alert is inhibited if that of
// the workers, whose level is workers, is as bad and names the queue.
func (e *evaluator) evaluateQueue(w *appWorkers, workers Level) {
	if w.queue == nil {
		e.cannotRead(w.app, "request_queue", "listener", "the accept queue of "+w.app)
		return
	}
	r := rule{Subject: Subject{App: w.app, Rule: "request_queue"}, component: "request_queue"}
	most := measures.Longest(w.queues)
	r.level, r.release = levels.Rises(*most.Length, e.limits(w.app).RequestQueue)
	r.summary = queueText(most, len(w.queues) > 1) + " connections wait for " + w.app
	if w.full(1 - levels.Margin) {
		r.release = Critical
	}
	if w.full(1) {
		r.level, r.summary = Critical, "the queue of "+w.app+" is full: "+w.queueText()+" connections wait"
	} else {
		r.inhibited = w.free() == 0 && workers >= r.level && workers > Healthy
	}
	r.advice = deferred(func() adviser { return e.adviseQueue(w) })
	e.add(r)
}
