// Package modeltest writes typed state for tests as a list of numbers, each under
// the name of the metric that carries it. Names that begin with "page." have no
// metric.
package modeltest

import (
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Fact is one number.
type Fact struct {
	Name   string
	Labels []string // values, in the order of the metric's label names
	Value  float64
}

// State returns the state that a gather of these numbers would have. It panics
// on a name that is in no state.
func State(facts []Fact) *model.State {
	s, unknown := From(facts)
	if len(unknown) > 0 {
		panic("modeltest: unknown " + unknown[0])
	}
	return s
}

// From returns the state that a gather of these numbers would have, and the names of those
// that are in no state, in order; nil if there are none.
func From(facts []Fact) (s *model.State, unknown []string) {
	b := &builder{}
	for _, f := range facts {
		b.fact = f
		group, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(f.Name, "resp_"), "page."), "_")
		before := b.State
		if set := b.groups()[group]; set == nil || !set() {
			unknown, b.State = append(unknown, f.Name), before // without an entry for it
		}
	}
	b.finish()
	return &b.State, unknown
}

// groups returns the functions that handle facts, by the word of the fact's name that says
// what it is about.
func (b *builder) groups() map[string]func() bool {
	return map[string]func() bool{
		"up": b.up, "app": b.app, "worker": b.worker, "workers": b.worker, "http": b.http, "listener": b.listener, "leak": b.leak, "listen": b.listener,
		"pool": b.pool, "lock": b.lock, "mysql": b.mysql, "redis": b.redis, "task": b.task, "session": b.session, "sessions": b.session,
		"host": b.host, "disk": b.host, "pressure": b.host, "threshold": b.host, "collector": b.collector, "unavailable": b.collector, "note": b.collector,
	}
}

// up sets whether an app or a store is up. It returns true.
func (b *builder) up() bool {
	kind, name, _ := strings.Cut(b.at(0), ":")
	up := b.fact.Value == 1
	switch kind {
	case "app":
		b.appNamed(name).Up = up
	case "mysql":
		b.mysqlServer(name).Up = up
	case "redis":
		b.redisServer(name).Up = up
	}
	return true
}

// host sets what a fact says about the host. false: the fact is not known.
func (b *builder) host() bool {
	switch b.fact.Name {
	case "resp_disk_usage_ratio":
		if b.v() != nil {
			b.Disks = append(b.Disks, model.Disk{Mountpoint: b.at(0), Usage: b.fact.Value})
		}
	case "page.pressure_ratio":
		b.Pressures = append(b.Pressures, model.Pressure{Resource: b.at(0), Kind: b.at(1), Ratio: b.fact.Value})
	case "page.pressure_latest":
		b.Pressures[len(b.Pressures)-1].Latest = b.fact.Value
	case "resp_threshold":
		t := entry(&b.Thresholds, func(t *model.Threshold) bool { return t.Resource == b.at(0) }, model.Threshold{Resource: b.at(0)})
		if b.at(1) == "warning" {
			t.Warning = b.fact.Value
		} else {
			t.Critical = b.fact.Value
		}
	default:
		return b.set(map[string]**float64{"resp_host_memory_usage_ratio": &b.Host.Memory, "resp_host_cpu_usage_ratio": &b.Host.CPU, "page.host_memory_bytes": &b.Host.Total})
	}
	return true
}

// collector sets what a collector lacks. A detail that begins with the name of a
// server is about that server.
func (b *builder) collector() bool {
	switch b.fact.Name {
	case "resp_collector_available":
		b.collectorNamed()
	case "page.unavailable":
		b.collectorNamed()
		l := model.Lack{Collector: b.at(0), Reason: model.Reason(b.at(1)), Detail: b.at(2)}
		if rest, ok := strings.CutPrefix(l.Detail, l.Collector+" "); ok {
			name, short, _ := strings.Cut(rest, " ")
			l.Of, l.Short = l.Collector+":"+strings.TrimSuffix(name, ":"), short
		}
		b.Lacks = append(b.Lacks, l)
	case "page.note":
		b.Lacks = append(b.Lacks, model.Lack{Collector: b.at(0), Of: b.at(1), Reason: model.Reason(b.at(2)), Detail: b.at(3), Optional: true})
	default:
		return false
	}
	return true
}

// collectorNamed sets the reason of a collector.
func (b *builder) collectorNamed() {
	entry(&b.Collectors, func(c *model.Collector) bool { return c.Name == b.at(0) }, model.Collector{Name: b.at(0)}).Reason = model.Reason(b.at(1))
}

// finish fills in what follows from the rest.
func (b *builder) finish() {
	for i := range b.Listeners {
		for j := range b.Listeners[i].Listeners {
			l := &b.Listeners[i].Listeners[j]
			if l.Length != nil && l.Limit != nil && *l.Limit > 0 {
				ratio := *l.Length / *l.Limit
				if l.Fullness != nil {
					ratio = max(ratio, *l.Fullness)
				}
				l.Fullness = &ratio
			}
		}
	}
	slices.SortStableFunc(b.Queries, func(x, y model.Query) int { return int(y.Seconds - x.Seconds) })
}
