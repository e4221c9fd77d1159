package health

import (
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/health/capacity"
	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// adviseCapacity adds a hint about an app whose workers are nearly always in use, also
// while it is healthy, unless its workers are muted.
func (e *evaluator) adviseCapacity(app string) {
	if a := e.capacityAdvice(e.appWorkers(app)); a.line != "" && !slices.Contains(e.muted(app), "workers") {
		e.hints = append(e.hints, given{a, Subject{App: app, Rule: "capacity"}})
	}
}

// capacityAdvice returns advice about an app that is nearly always in use; without a line
// if it has room, its use or requests are not known, or a fault explains the use.
func (e *evaluator) capacityAdvice(w *appWorkers) advice {
	line := capacity.Advice(capacity.Input{State: e.State, App: w.app, Workers: w.total, Limits: e.limits(w.app), Host: e.Limits})
	if line == "" || e.isHeldUp(w) {
		return advice{}
	}
	return advice{rankSymptom, w.app + "/capacity", line}
}

// isHeldUp reports whether a fault explains why the workers of an app are in use: some are stuck, ended unready
// or wait for something that holds them up, or its pool, error rate or a server that it uses is unhealthy.
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
