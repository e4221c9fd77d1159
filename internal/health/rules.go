package health

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// rises judges v against limits that it must stay below; calm is by limits
// that are the margin lower.
func rises(v float64, l config.Limit) (level, release Level) {
	at := func(share float64) Level {
		switch {
		case v >= l.Critical*share:
			return Critical
		case v >= l.Warning*share:
			return Warning
		default:
			return Healthy
		}
	}
	return at(1), at(1 - margin)
}

// falls judges v against limits that it must stay above.
func falls(v float64, l config.Limit) (level, release Level) {
	at := func(share float64) Level {
		switch {
		case v < l.Critical*share:
			return Critical
		case v < l.Warning*share:
			return Warning
		default:
			return Healthy
		}
	}
	return at(1), at(1 + margin)
}

// appNames lists the apps to judge: those of the configuration and those that
// were seen. Where the processes could not be read at all, an app that was not
// well before is not forgotten for it.
func (e *evaluator) appNames() []string {
	names := slices.Clone(e.Apps)
	for i := range e.State.Apps {
		names = append(names, e.State.Apps[i].Name)
	}
	for i := range e.State.Workers {
		if w := &e.State.Workers[i]; w.Counts != nil {
			names = append(names, w.App)
		}
	}
	if why := e.lack("process"); why != "" {
		for k := range e.before.rules {
			if k.App != "" {
				names = append(names, k.App)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// lack says why a collector has not given all it should; empty where it has,
// where there is none, and where it was switched off.
func (e *evaluator) lack(collector string) string {
	reason := e.reason(collector)
	if reason == "" || reason == "ok" || reason == "disabled" {
		return ""
	}
	return cmp.Or(Missing(e.State, collector), reason)
}

// reason returns how the last read of a collector ended; "" where there was none.
func (e *evaluator) reason(collector string) string {
	i := slices.IndexFunc(e.State.Collectors, func(x model.Collector) bool { return x.Name == collector })
	if i < 0 {
		return ""
	}
	return e.State.Collectors[i].Reason
}

// maxMissing bounds the sentences about one collector: as many as there are
// servers of one kind.
const maxMissing = 20

// Missing returns the sentences of all that a collector cannot read, each once; ""
// where nothing is said.
func Missing(s *model.State, collector string) string {
	var list []string
	more := 0
	for i := range s.Lacks {
		l := &s.Lacks[i]
		switch {
		case l.Collector != collector || l.Optional || l.Detail == "" || slices.Contains(list, l.Detail):
		case len(list) < maxMissing:
			list = append(list, l.Detail)
		default:
			more++
		}
	}
	if more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(list, "; ")
}

// lackOf returns what a server's collector cannot read of that one server; nil:
// it says nothing of it.
func (e *evaluator) lackOf(kind, name string) *model.Lack {
	i := slices.IndexFunc(e.State.Lacks, func(l model.Lack) bool {
		return l.Collector == kind && l.Of == kind+":"+name && !l.Optional
	})
	if i < 0 {
		return nil
	}
	return &e.State.Lacks[i]
}

// cannotRead adds a warning for what should be known and is not: a failure
// always is one, a missing permission only where the configuration names the
// app. What simply is not there is not judged.
func (e *evaluator) cannotRead(app, component, collector, what string) {
	reasons := []string{"failed", "timeout"}
	if app == "" || slices.Contains(e.Apps, app) {
		reasons = append(reasons, "permission")
	}
	if !slices.Contains(reasons, e.reason(collector)) {
		return
	}
	why := e.lack(collector)
	e.add(rule{
		Subject: Subject{App: app, Rule: component}, component: component, level: Warning, release: Warning,
		summary: what + " cannot be read: " + why,
	})
}

func (e *evaluator) evaluateApp(app string) {
	down := rule{Subject: Subject{App: app, Rule: "app_down"}, component: "workers"}
	workers := e.appWorkers(app)
	switch {
	case workers.process == nil && workers.total == 0:
		if why := e.lack("process"); why != "" {
			down.level, down.summary = Warning, app+" cannot be looked at: "+why
			down.release = down.level
			e.add(down)
		}
		return
	case workers.process != nil && !workers.process.Up:
		down.level, down.release, down.summary, down.advice = Critical, Critical, app+" is down: no process of it was found", adviseDown(app)
		e.add(down)
		e.evaluateTasks(app) // they go on without it
		e.evaluateSessions(app)
		return
	}
	e.add(down)
	e.evaluateWorkers(workers)
	e.evaluateQueue(workers, &e.rules[len(e.rules)-1])
	e.evaluateRequests(workers)
	e.evaluateUse(workers)
	e.evaluatePools(workers)
	e.evaluateTasks(app)
	e.evaluateSessions(app)
}

// judgeRequests judges what the app's server reports, if it does.
func (e *evaluator) evaluateRequests(w *appWorkers) {
	if w.requests == nil {
		return
	}
	if v := w.requests.ErrorRatio; v != nil {
		r := rule{Subject: Subject{App: w.app, Rule: "error_rate"}, component: "requests", advice: adviseErrors(w.requests)}
		r.level, r.release = rises(*v, e.Limits.ErrorRate)
		r.summary = FormatPercent(*v) + " of the requests to " + w.app + " fail with 5xx"
		e.add(r)
	}
	if v := w.requests.Mean; v != nil {
		r := rule{Subject: Subject{App: w.app, Rule: "response_time"}, component: "requests", advice: deferred(func() adviser { return e.adviseSlow(w, *v) })}
		r.level, r.release = rises(*v, e.Limits.ResponseTime)
		r.summary = w.app + " takes " + FormatSeconds(*v) + " a request on average"
		e.add(r)
	}
}

// judgeUse judges the memory and the CPU that the app takes of what it may.
func (e *evaluator) evaluateUse(w *appWorkers) {
	if w.memory != nil && w.memory.Usage != nil {
		r := rule{Subject: Subject{App: w.app, Rule: "memory"}, component: "memory", advice: w.adviseMemory()}
		r.level, r.release = rises(*w.memory.Usage, e.Limits.Memory)
		r.summary = w.app + " uses " + FormatPercent(*w.memory.Usage) + " of its memory"
		e.add(r)
	} else {
		e.cannotRead(w.app, "memory", "memory", "the memory of "+w.app)
	}
	if w.process != nil && w.process.CPU != nil {
		r := rule{Subject: Subject{App: w.app, Rule: "cpu"}, component: "cpu", advice: w.adviseCPU()}
		r.level, r.release = rises(*w.process.CPU, e.Limits.CPU)
		r.summary = w.app + " uses " + FormatPercent(*w.process.CPU) + " of its CPU"
		e.add(r)
	}
}

// judgeHost judges what all apps share.
func (e *evaluator) evaluateHost() {
	disks := slices.Clone(e.State.Disks)
	slices.SortFunc(disks, func(a, b model.Disk) int { return strings.Compare(a.Mountpoint, b.Mountpoint) })
	for _, d := range disks {
		e.host("disk", d.Mountpoint, d.Usage, e.Limits.Disk, "disk "+d.Mountpoint+" is",
			fmt.Sprintf("Disk %s is %s full: free space there before writes to it fail.", d.Mountpoint, FormatPercent(d.Usage)))
	}
	if len(disks) == 0 {
		e.cannotRead("", "disk", "disk", "how full the disks are")
	}
	for _, h := range []struct {
		name, word, advice string
		usage              *float64
		limit              config.Limit
	}{
		{"memory", "memory", e.adviseHostMemory(), e.State.Host.Memory, e.Limits.Memory},
		{"cpu", "CPU", e.adviseHostCPU(), e.State.Host.CPU, e.Limits.CPU},
	} {
		if v := h.usage; v != nil {
			e.host(h.name, "", *v, h.limit, "the host's "+h.word+" is", fmt.Sprintf("The host's %s is at %s%s.", h.word, FormatPercent(*v), h.advice))
		} else if h.name == "memory" {
			e.cannotRead("", "memory", "host", "the host's memory")
		}
	}
}

func (e *evaluator) host(name, of string, v float64, l config.Limit, what, advice string) {
	r := rule{Subject: Subject{Rule: name, Of: of}, component: name, summary: what + " at " + FormatPercent(v), advice: symptoms(advice)}
	r.level, r.release = rises(v, l)
	e.add(r)
}
