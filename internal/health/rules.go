package health

import (
	"fmt"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// appNames returns the apps to evaluate: configured, seen and, where processes
// could not be read, those that were unhealthy before.
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

func (e *evaluator) evaluateApp(app string) {
	down := rule{Subject: Subject{App: app, Rule: "app_down"}, component: "workers"}
	workers := e.appWorkers(app)
	switch {
	case workers.process == nil && workers.total == 0:
		if why := e.lack("process"); why != "" {
			down.level, down.summary = Warning, app+" cannot be read: "+why
			down.release = down.level
			e.add(down)
		}
		return
	case workers.process != nil && !workers.process.Up:
		down.level, down.release, down.summary, down.advice = Critical, Critical, app+" is down: no process was found", adviseDown(app)
		e.add(down)
		e.evaluateTasks(app) // task workers and sessions do not depend on it
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

// evaluateRequests evaluates the error rate and the response time, where reported.
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
		r.summary = w.app + " takes " + FormatSeconds(*v) + " per request on average"
		e.add(r)
	}
}

// evaluateUse evaluates the memory and CPU usage of an app.
func (e *evaluator) evaluateUse(w *appWorkers) {
	if w.memory != nil && w.memory.Usage != nil {
		r := rule{Subject: Subject{App: w.app, Rule: "memory"}, component: "memory", advice: w.adviseMemory()}
		r.level, r.release = rises(*w.memory.Usage, e.Limits.Memory)
		r.summary = w.app + " uses " + FormatPercent(*w.memory.Usage) + " of its memory"
		e.evaluateLeak(w, &r)
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

// evaluateHost evaluates disks, memory and CPU of the host.
func (e *evaluator) evaluateHost() {
	disks := slices.Clone(e.State.Disks)
	slices.SortFunc(disks, func(a, b model.Disk) int { return strings.Compare(a.Mountpoint, b.Mountpoint) })
	for _, d := range disks {
		e.host("disk", d.Mountpoint, d.Usage, e.Limits.Disk, "disk "+d.Mountpoint+" is",
			fmt.Sprintf("Disk %s is %s full: free space before writes to it fail.", d.Mountpoint, FormatPercent(d.Usage)))
	}
	if len(disks) == 0 {
		e.cannotRead("", "disk", "disk", "the disk usage")
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
