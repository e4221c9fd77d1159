package health

import (
	"fmt"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// maxNamed bounds how many workers an advice names.
const maxNamed = 3

// adviseDown returns the advice for an app without a process.
func adviseDown(app string) adviser {
	return func(since time.Duration) []advice {
		line := fmt.Sprintf("No process of %s has been found for %s: start it, or read in its log why it ended.", app, FormatSeconds(since.Seconds()))
		if since <= 0 {
			line = "No process of " + app + " was found at the last check: start it, or read in its log why it ended."
		}
		return []advice{{rankRoot, "app:" + app, line}}
	}
}

// adviseWorkers returns advice about workers that end unready, what stuck ones wait for and, if none is free,
// what busy ones wait for; if that is not known, few end unready and some are not stuck, about the capacity.
func (e *evaluator) adviseWorkers(w *appWorkers) adviser {
	var out []advice
	if w.unready >= manyUnready {
		line := fmt.Sprintf("%s of %s ended in the last minute without serving a request: read in its log why they end.", plural(w.unready, "worker"), w.app)
		out = append(out, advice{rankRoot, w.app + "/workers", line})
	}
	out = append(out, e.causes(w, w.free() > 0)...)
	if w.free() == 0 && w.stuck < w.total && w.unready < manyUnready && !e.causeKnown(w) {
		a := e.capacityAdvice(w)
		if a.line == "" {
			line := e.adviseMore(w)
			a = advice{rankSymptom, line, line}
		}
		out = append(out, a)
	}
	return func(time.Duration) []advice { return out }
}

// adviseMore returns a line on whether more workers would help, by the CPU left; perhaps, if that is not known.
func (e *evaluator) adviseMore(w *appWorkers) string {
	line := fmt.Sprintf("All %s of %s are busy or stuck", plural(w.total, "worker"), w.app)
	if w.total == 1 {
		line = fmt.Sprintf("The only worker of %s is busy or stuck", w.app)
	}
	if w.queue != nil && *w.queue > 0 {
		line += " and " + w.queueText() + " connections wait"
	}
	if busy := w.longest("busy"); len(busy) > 0 {
		line += fmt.Sprintf("; %s is in a request for %s%s", busy[0].name("worker"), FormatSeconds(busy[0].Seconds), detailText(busy[0].Detail))
	}
	var cpu *float64
	if w.process != nil {
		cpu = w.process.CPU
	}
	switch {
	case cpu == nil:
		return line + ": make these requests faster, or run more workers."
	case *cpu >= e.limits(w.app).CPU.Warning:
		return line + ". Its CPU is at " + FormatPercent(*cpu) + ", so more workers would not help: reduce the CPU time of its requests, or give it more CPU."
	default:
		return line + ". Its CPU is at " + FormatPercent(*cpu) + ", so more workers or threads would help, and so would shorter waits."
	}
}

// adviseQueue returns the advice for a queue that is full or has idle workers; none else or if its cause is known.
func (e *evaluator) adviseQueue(w *appWorkers) adviser {
	var out []string
	if e.causeKnown(w) {
		return symptoms()
	}
	if w.full(1) {
		out = append(out, fmt.Sprintf("The accept queue of %s is full (%s): the kernel drops further connections. Free its workers first; a larger backlog (and net.core.somaxconn) only lets more connections wait.", w.app, w.queueText()))
	} else if idle := w.longest("idle"); w.free() > 0 && len(idle) > 0 {
		out = append(out, fmt.Sprintf("%s connections wait for %s while %s of its %s are idle: find out why %s, idle for %s, does not accept.",
			w.queueText(), w.app, FormatCount(w.in("idle")), plural(w.total, "worker"), idle[0].name("worker"), FormatSeconds(idle[0].Seconds)))
	}
	return symptoms(out...)
}

// adviseErrors returns the advice for failed requests. The ratio must be known.
func adviseErrors(q *model.AppRequests) adviser {
	line := fmt.Sprintf("%s of the requests to %s failed with 5xx in the last 5 minutes", FormatPercent(*q.ErrorRatio), q.App)
	if q.Rate != nil {
		line += ", at " + FormatRate(*q.Rate)
	}
	if n := q.Shed5m; n != nil && q.Requests5m != nil && *q.Requests5m > 0 {
		line += ", without the " + FormatPercent(min(1, *n / *q.Requests5m)) + " that a throttle shed"
	}
	return symptoms(line + ": read the tracebacks in its log.")
}

// adviseSlow returns the advice of [evaluator.causes] on what workers wait for now, else a line on the slow requests.
func (e *evaluator) adviseSlow(w *appWorkers, mean float64) adviser {
	line := fmt.Sprintf("A request to %s took %s on average over 5 minutes", w.app, FormatSeconds(mean))
	if v := w.requests.Slow5m; v != nil && *v > 0 {
		line += fmt.Sprintf(", %s of them slow", FormatCount(*v))
	}
	if causes := e.causes(w, false); len(causes) > 0 {
		return func(time.Duration) []advice { return causes }
	}
	if x := w.worst(); x == nil || x.Seconds < busyLong {
		line += "; no worker is in a long request now"
	} else {
		line += fmt.Sprintf(": check what %s waits for, in this request for %s%s", x.name("worker"), FormatSeconds(x.Seconds), detailText(x.Detail))
	}
	return symptoms(line + ".")
}

func (w *appWorkers) adviseMemory() adviser {
	line := fmt.Sprintf("%s uses %s of its memory", w.app, FormatPercent(*w.memory.Usage))
	if limit := w.memory.Limit; limit != nil {
		line += fmt.Sprintf(" (limit %s)", FormatBytes(*limit))
	}
	if slot, bytes := measures.Largest(w.memory); slot != "" {
		line += fmt.Sprintf("; the largest is %s with %s: recycle it, run fewer workers, or raise the limit", w.named(slot), FormatBytes(bytes))
	}
	return symptoms(line + ".")
}

func (w *appWorkers) adviseCPU() adviser {
	line := fmt.Sprintf("%s uses %s of its CPU limit", w.app, FormatPercent(*w.process.CPU))
	if slot, cores := measures.Busiest(w.process); slot != "" {
		line += fmt.Sprintf("; %s uses %s of a core: find out what it computes, or give %s more CPU", w.named(slot), FormatPercent(cores), w.app)
	}
	return symptoms(line + ".")
}

// adviseHostMemory returns the end of a sentence that names the app with most memory; ""
// if no app's memory is known.
func (e *evaluator) adviseHostMemory() string {
	name, most := "", 0.0
	for _, app := range e.names {
		if v := measures.AppMemory(e.State, app); v != nil && *v > most {
			name, most = app, *v
		}
	}
	if name == "" {
		return ""
	}
	return fmt.Sprintf("; of the apps, %s uses most, %s", name, FormatBytes(most))
}

// adviseHostCPU returns the end of a sentence that names the busiest app, or that none is known to use CPU.
func (e *evaluator) adviseHostCPU() string {
	name, most := "", 0.0
	for _, app := range e.names {
		if a := measures.App(e.State, app); a != nil && a.CPU != nil && *a.CPU > most {
			name, most = app, *a.CPU
		}
	}
	if name == "" {
		return "; no app uses CPU: look for another process"
	}
	return fmt.Sprintf("; of the apps, %s uses most, %s of its CPU limit", name, FormatPercent(most))
}

// adviseHits returns the advice for lookups that miss. The ratio must be known.
func adviseHits(s *model.RedisServer) adviser {
	line := fmt.Sprintf("Only %s of the lookups on Redis %s found their key in the last 5 minutes", FormatPercent(*s.HitRatio), s.Name)
	used, limit := s.Memory, s.MaxMemory
	switch {
	case used != nil && limit != nil && *used >= 0.9**limit:
		line += fmt.Sprintf("; it holds %s of %s: give it more memory", FormatBytes(*used), FormatBytes(*limit))
	case used != nil:
		line += fmt.Sprintf("; it holds %s, so keys expire too early, or the app looks up keys that were never set", FormatBytes(*used))
	}
	return symptoms(line + ".")
}
