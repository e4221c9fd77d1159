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
func rises(v float64, l config.Limit) (level, calm Level) {
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
func falls(v float64, l config.Limit) (level, calm Level) {
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
func (c *court) appNames() []string {
	names := slices.Clone(c.Apps)
	for i := range c.State.Apps {
		names = append(names, c.State.Apps[i].Name)
	}
	for i := range c.State.Workers {
		if w := &c.State.Workers[i]; w.Counts != nil {
			names = append(names, w.App)
		}
	}
	if why := c.lack("process"); why != "" {
		for k := range c.before.held {
			if k.app != "" {
				names = append(names, k.app)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// lack says why a collector has not given all it should; empty where it has,
// where there is none, and where it was switched off.
func (c *court) lack(collector string) string {
	reason := c.reason(collector)
	if reason == "" || reason == "ok" || reason == "disabled" {
		return ""
	}
	return cmp.Or(Missing(c.State, collector), reason)
}

// reason returns how the last read of a collector ended; "" where there was none.
func (c *court) reason(collector string) string {
	i := slices.IndexFunc(c.State.Collectors, func(x model.Collector) bool { return x.Name == collector })
	if i < 0 {
		return ""
	}
	return c.State.Collectors[i].Reason
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
func (c *court) lackOf(kind, name string) *model.Lack {
	i := slices.IndexFunc(c.State.Lacks, func(l model.Lack) bool {
		return l.Collector == kind && l.Of == kind+":"+name && !l.Optional
	})
	if i < 0 {
		return nil
	}
	return &c.State.Lacks[i]
}

// cannotRead adds a warning for what should be known and is not: a failure
// always is one, a missing permission only where the configuration names the
// app. What simply is not there is not judged.
func (c *court) cannotRead(app, component, collector, what string) {
	reasons := []string{"failed", "timeout"}
	if app == "" || slices.Contains(c.Apps, app) {
		reasons = append(reasons, "permission")
	}
	if !slices.Contains(reasons, c.reason(collector)) {
		return
	}
	why := c.lack(collector)
	c.add(rule{
		key: key{app: app, name: component}, component: component, level: Warning, calm: Warning,
		summary: what + " cannot be read: " + why,
	})
}

func (c *court) judgeApp(app string) {
	down := rule{key: key{app: app, name: "app_down"}, component: "workers"}
	workers := c.crew(app)
	switch {
	case workers.process == nil && workers.total == 0:
		if why := c.lack("process"); why != "" {
			down.level, down.summary = Warning, app+" cannot be looked at: "+why
			down.calm = down.level
			c.add(down)
		}
		return
	case workers.process != nil && !workers.process.Up:
		down.level, down.calm, down.summary, down.advice = Critical, Critical, app+" is down: no process of it was found", adviseDown(app)
		c.add(down)
		c.judgeTasks(app) // they go on without it
		c.judgeSessions(app)
		return
	}
	c.add(down)
	c.judgeWorkers(workers)
	c.judgeQueue(workers, &c.rules[len(c.rules)-1])
	c.judgeRequests(workers)
	c.judgeUse(workers)
	c.judgePools(workers)
	c.judgeTasks(app)
	c.judgeSessions(app)
}

// judgeRequests judges what the app's server reports, if it does.
func (c *court) judgeRequests(w *crew) {
	if w.requests == nil {
		return
	}
	if v := w.requests.ErrorRatio; v != nil {
		r := rule{key: key{app: w.app, name: "error_rate"}, component: "requests", advice: adviseErrors(w.requests)}
		r.level, r.calm = rises(*v, c.Limits.ErrorRate)
		r.summary = FormatPercent(*v) + " of the requests to " + w.app + " fail with 5xx"
		c.add(r)
	}
	if v := w.requests.Mean; v != nil {
		r := rule{key: key{app: w.app, name: "response_time"}, component: "requests", advice: later(func() adviser { return c.adviseSlow(w, *v) })}
		r.level, r.calm = rises(*v, c.Limits.ResponseTime)
		r.summary = w.app + " takes " + FormatSeconds(*v) + " a request on average"
		c.add(r)
	}
}

// judgeUse judges the memory and the CPU that the app takes of what it may.
func (c *court) judgeUse(w *crew) {
	if w.memory != nil && w.memory.Usage != nil {
		r := rule{key: key{app: w.app, name: "memory"}, component: "memory", advice: w.adviseMemory()}
		r.level, r.calm = rises(*w.memory.Usage, c.Limits.Memory)
		r.summary = w.app + " uses " + FormatPercent(*w.memory.Usage) + " of its memory"
		c.add(r)
	} else {
		c.cannotRead(w.app, "memory", "memory", "the memory of "+w.app)
	}
	if w.process != nil && w.process.CPU != nil {
		r := rule{key: key{app: w.app, name: "cpu"}, component: "cpu", advice: w.adviseCPU()}
		r.level, r.calm = rises(*w.process.CPU, c.Limits.CPU)
		r.summary = w.app + " uses " + FormatPercent(*w.process.CPU) + " of its CPU"
		c.add(r)
	}
}

// judgeHost judges what all apps share.
func (c *court) judgeHost() {
	disks := slices.Clone(c.State.Disks)
	slices.SortFunc(disks, func(a, b model.Disk) int { return strings.Compare(a.Mountpoint, b.Mountpoint) })
	for _, d := range disks {
		c.host("disk", d.Mountpoint, d.Usage, c.Limits.Disk, "disk "+d.Mountpoint+" is",
			fmt.Sprintf("Disk %s is %s full: free space there before writes to it fail.", d.Mountpoint, FormatPercent(d.Usage)))
	}
	if len(disks) == 0 {
		c.cannotRead("", "disk", "disk", "how full the disks are")
	}
	for _, h := range []struct {
		name, word, advice string
		usage              *float64
		limit              config.Limit
	}{
		{"memory", "memory", c.adviseHostMemory(), c.State.Host.Memory, c.Limits.Memory},
		{"cpu", "CPU", c.adviseHostCPU(), c.State.Host.CPU, c.Limits.CPU},
	} {
		if v := h.usage; v != nil {
			c.host(h.name, "", *v, h.limit, "the host's "+h.word+" is", fmt.Sprintf("The host's %s is at %s%s.", h.word, FormatPercent(*v), h.advice))
		} else if h.name == "memory" {
			c.cannotRead("", "memory", "host", "the host's memory")
		}
	}
}

func (c *court) host(name, of string, v float64, l config.Limit, what, advice string) {
	r := rule{key: key{name: name, of: of}, component: name, summary: what + " at " + FormatPercent(v), advice: says(advice)}
	r.level, r.calm = rises(v, l)
	c.add(r)
}
