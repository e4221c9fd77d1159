package health

import (
	"fmt"
	"math"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	// highUse is the utilization from which more workers are advised, goodUse that
	// for which they are advised.
	highUse = 0.85
	goodUse = 0.70
	// fullCore is how much of a core a worker must use for more threads in it not to
	// help: a Python process computes in one thread at a time.
	fullCore = 0.7
	// leastRate is the rate from which it is known what a request takes: ten requests
	// in the last minute.
	leastRate = 10.0 / 60
)

// adviseCapacity adds advice about an app whose workers are nearly always in use, also
// while it is healthy.
func (e *evaluator) adviseCapacity(app string) {
	if e.isMuted(app, "workers") {
		return
	}
	if a := e.capacityAdvice(e.appWorkers(app)); a.line != "" {
		e.hints = append(e.hints, given{a, Subject{App: app, Rule: "capacity"}})
	}
}

// capacityAdvice returns the line that says how much an app is used, where it ends, and
// what it needs; without a line where that is not known, it is not much, or a fault
// explains it.
func (e *evaluator) capacityAdvice(w *appWorkers) advice {
	u := measures.Waits(e.State, w.app)
	if u == nil || u.Utilization == nil || *u.Utilization < highUse || u.Saturation == nil || !w.reported() || *w.requests.Rate < leastRate || w.total == 0 || e.isHeldUp(w) {
		return advice{}
	}
	threads := w.threads()
	who := plural(w.total, "worker") + " of " + w.app
	if threads > w.total {
		who = plural(threads, "thread") + " in " + who
	}
	line := fmt.Sprintf("%s %s %s busy with useful work at %s requests/s; %s is the end", who, isAre(max(threads, w.total)), FormatPercent(*u.Utilization),
		FormatCount(round(*w.requests.Rate)), FormatCount(round(*u.Saturation)))
	return advice{rankSymptom, w.app + "/capacity", line + ": " + e.moreOf(w, threads, *u.Utilization) + "."}
}

// round rounds a rate: to a whole number from 10 on, else to a tenth.
func round(v float64) float64 {
	if v >= 10 {
		return math.Round(v)
	}
	return math.Round(v*10) / 10
}

// threads returns how many threads of an app take requests, at least one a worker.
func (w *appWorkers) threads() float64 {
	n := 0
	for i := range w.workers {
		own := 0
		for j := range w.workers[i].Threads {
			if t := &w.workers[i].Threads[j]; !t.Task && !t.Helper {
				own++
			}
		}
		n += max(own, 1)
	}
	return max(float64(n), w.total)
}

// isHeldUp reports whether a fault explains why the workers of an app are in use: they
// wait for something that holds them up, or a server or pool that they use is unhealthy.
func (e *evaluator) isHeldUp(w *appWorkers) bool {
	if w.stuck > 0 || w.unready > 0 || e.causeKnown(w) {
		return true
	}
	waits := func(l model.Link) bool { return l.App == w.app }
	for i := range e.State.Chains {
		if c := &e.State.Chains[i]; c.App == w.app || slices.ContainsFunc(c.Victims, waits) {
			return true
		}
	}
	for i := range e.State.Bottlenecks {
		if b := &e.State.Bottlenecks[i]; b.App == w.app && b.Cause != "" && b.Cause != model.CauseWorkers && b.Cause != model.CauseCPU {
			return true
		}
	}
	return slices.ContainsFunc(e.rules, func(r rule) bool {
		switch {
		case r.level == Healthy:
			return false
		case r.App == w.app:
			return r.component == "pool" || r.Rule == "error_rate"
		}
		return (r.component == "mysql" || r.component == "redis") && measures.IsConnected(e.State, w.app, r.component+":"+r.Of)
	})
}

// moreOf returns what an app needs that is used that much.
func (e *evaluator) moreOf(w *appWorkers, threads, use float64) string {
	if cpu, of := e.cpuUse(w); cpu >= e.cpuLimit(w) {
		return of + " is at " + FormatPercent(cpu) + ", so more workers would not help; reduce the CPU time of its requests, or give it more CPU"
	}
	cores := 0.0
	if w.process != nil {
		_, cores = busiest(w.process)
	}
	if threads > w.total && cores < fullCore {
		each := math.Ceil(use * threads / goodUse / w.total)
		return fmt.Sprintf("%s for each worker, which share its memory", plural(each, "thread"))
	}
	want := math.Max(math.Ceil(use*w.total/goodUse), w.total+1)
	fit, bytes, known := e.workersThatFit(w)
	switch {
	case !known:
		return plural(want, "worker") + ", if memory allows it"
	case fit >= want-w.total:
		return plural(want, "worker") + ", memory allows it"
	case fit >= 1:
		return fmt.Sprintf("%s would do, and memory allows %s of up to %s each", plural(want, "worker"), FormatCount(w.total+fit), FormatBytes(bytes))
	}
	return fmt.Sprintf("%s would do, but memory allows no more of up to %s each; threads share the memory of a worker", plural(want, "worker"), FormatBytes(bytes))
}

// cpuLimit returns the use of CPU from which more workers would not help.
func (e *evaluator) cpuLimit(w *appWorkers) float64 { return math.Min(e.limits(w.app).CPU.Warning, 1) }

// cpuUse returns the CPU that is used of what an app may use, or of the host, whichever
// is more, and the name of that; 0 where it is not known.
func (e *evaluator) cpuUse(w *appWorkers) (use float64, of string) {
	if w.process != nil && w.process.CPU != nil {
		use, of = *w.process.CPU, "its CPU"
	}
	if v := e.State.Host.CPU; v != nil && *v > use {
		use, of = *v, "the CPU of the host"
	}
	return use, of
}

// workersThatFit returns how many more workers fit into the memory of an app and of
// the host below their warning thresholds, and the bytes of the largest worker; false if
// that is not known.
func (e *evaluator) workersThatFit(w *appWorkers) (n, bytes float64, known bool) {
	if w.memory == nil {
		return 0, 0, false
	}
	if _, bytes = largest(w.memory); bytes == 0 {
		return 0, 0, false
	}
	left := math.Inf(1)
	take := func(used, total *float64, limit float64) {
		if used != nil && total != nil {
			left = math.Min(left, (math.Min(limit, 1)-*used)**total)
		}
	}
	take(w.memory.Usage, w.memory.Limit, e.limits(w.app).Memory.Warning)
	take(e.State.Host.Memory, e.State.Host.Total, e.Limits.Memory.Warning)
	if math.IsInf(left, 1) {
		return 0, bytes, false
	}
	return math.Max(0, math.Floor(left/bytes)), bytes, true
}
