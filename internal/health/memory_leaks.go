package health

import (
	"fmt"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health/words"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// leakNear is how soon a leak must fill an app's memory to be a warning, in seconds.
const leakNear = 86400.0

// fastestLeak returns the suspected leak of an app that grows fastest; nil if there is none.
func (e *evaluator) fastestLeak(app string) (fastest *model.MemoryLeak) {
	for i := range e.State.MemoryLeaks {
		l := &e.State.MemoryLeaks[i]
		if l.App == app && l.Suspected && l.Slope != nil && (fastest == nil || *l.Slope > *fastest.Slope) {
			fastest = l
		}
	}
	return fastest
}

// leakRemedy returns the end of the advice about a leak: what to do and, if that is
// beyond doubt, in which view the memory is lost.
func (e *evaluator) leakRemedy(app string) string {
	for i := range e.State.LeakViews { // the worst first
		if v := &e.State.LeakViews[i]; v.App == app {
			return fmt.Sprintf("; the memory grows in requests to %s: look at what they keep, recycle the worker, and set max_requests until then.", v.View)
		}
	}
	return ": recycle the worker, and set max_requests until the cause is found."
}

// evaluateLeak adds to the rule r of an app's memory what is known of a leak: advice
// about the leaking worker, and a warning if the leak fills the memory within a day.
func (e *evaluator) evaluateLeak(w *appWorkers, r *rule) {
	l, level := e.fastestLeak(w.app), r.level
	if l == nil {
		return
	}
	line := fmt.Sprintf("%s of %s leaks %s of memory per hour", w.named(l.Slot), w.app, FormatBytes(*l.Slope*3600))
	if l.PerRequest != nil {
		line += fmt.Sprintf(" (%s per request)", FormatBytes(*l.PerRequest))
	}
	if l.ToLimit != nil {
		line += fmt.Sprintf(", and reaches the memory limit in %s", FormatSeconds(*l.ToLimit))
		if *l.ToLimit <= leakNear && r.level < Warning {
			r.level, r.release = Warning, Warning
			r.summary = line
		}
	}
	if heap := words.Heap(e.State.Heaps, w.app, l.Slot); heap != "" {
		line += "; " + heap
	}
	rest := r.advice
	if level < Warning { // the memory in use is no problem yet
		rest = func(time.Duration) []advice { return nil }
	}
	r.advice = func(since time.Duration) []advice {
		mine := advice{rankCause, w.app + "/memory_leak/worker:" + l.Slot, line + e.leakRemedy(w.app)}
		return append([]advice{mine}, rest(since)...)
	}
}
