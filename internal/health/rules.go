package health

import (
	"fmt"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/health/levels"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// appNames returns the apps to evaluate, sorted: configured ones, those that were seen
// and, if processes could not be read, those that were unhealthy before.
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

// evaluateApp adds the rules of one app.
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
	e.evaluateQueue(workers, e.evaluateWorkers(workers))
	e.evaluateRequests(workers)
	e.evaluateUse(workers)
	e.evaluatePools(workers)
	e.evaluateTasks(app)
	e.evaluateSessions(app)
	if e.ownDisk(app) {
		e.evaluateDisks(app, e.limits(app).Disk)
	}
}

// evaluateUse adds the rules about the memory and CPU usage of an app.
func (e *evaluator) evaluateUse(w *appWorkers) {
	if w.memory != nil && w.memory.Usage != nil {
		r := rule{Subject: Subject{App: w.app, Rule: "memory"}, component: "memory", advice: w.adviseMemory()}
		r.level, r.release = levels.Rises(*w.memory.Usage, e.limits(w.app).Memory)
		r.summary = w.app + " uses " + FormatPercent(*w.memory.Usage) + " of its memory"
		e.evaluateLeak(w, &r)
		e.add(r)
	} else {
		e.cannotRead(w.app, "memory", "memory", "the memory of "+w.app)
	}
	if w.process != nil && w.process.CPU != nil {
		r := rule{Subject: Subject{App: w.app, Rule: "cpu"}, component: "cpu", advice: w.adviseCPU()}
		r.level, r.release = levels.Rises(*w.process.CPU, e.limits(w.app).CPU)
		r.summary = w.app + " uses " + FormatPercent(*w.process.CPU) + " of its CPU"
		e.add(r)
	}
}

// evaluateHost adds the rules about disks, memory and CPU of the host.
func (e *evaluator) evaluateHost() {
	e.evaluateDisks("", e.Limits.Disk)
	if len(e.State.Disks) == 0 {
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
			e.host(Subject{Rule: h.name}, *v, h.limit, "the host's "+h.word+" is", fmt.Sprintf("The host's %s is at %s%s.", h.word, FormatPercent(*v), h.advice))
		} else if h.name == "memory" {
			e.cannotRead("", "memory", "host", "the host's memory")
		}
	}
}

// evaluateDisks adds a rule for each disk of the host, for one app or, with "", for the
// host and all apps without limits of their own. The alert of an app is inhibited if that
// of the host is as bad.
func (e *evaluator) evaluateDisks(app string, l config.Limit) {
	disks := slices.Clone(e.State.Disks)
	slices.SortFunc(disks, func(a, b model.Disk) int { return strings.Compare(a.Mountpoint, b.Mountpoint) })
	for _, d := range disks {
		e.host(Subject{app, "disk", d.Mountpoint}, d.Usage, l, "disk "+d.Mountpoint+" is",
			fmt.Sprintf("Disk %s is %s full: free space before writes to it fail.", d.Mountpoint, FormatPercent(d.Usage)))
	}
}

// host adds the rule of a resource of the host, judged by v, a ratio.
func (e *evaluator) host(of Subject, v float64, l config.Limit, what, advice string) {
	r := rule{Subject: of, component: of.Rule, summary: what + " at " + FormatPercent(v), advice: symptoms(advice)}
	r.level, r.release = levels.Rises(v, l)
	if of.App != "" {
		common, _ := levels.Rises(v, e.Limits.Disk)
		if r.inhibited = common >= r.level; !r.inhibited {
			r.summary += ", beyond the limit of " + of.App
		}
	}
	e.add(r)
}
