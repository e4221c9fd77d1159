package health_test

import (
	"slices"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/golden"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
)

// used returns the facts of four workers of shop, of 50 MB each, that are in use that
// much at 25 requests per second.
func used(use float64, more ...modeltest.Fact) []modeltest.Fact {
	out := slices.Concat(appOf("shop", 0, "busy", "busy", "busy", "idle"), []modeltest.Fact{
		fact("resp_app_utilization_ratio", use, "shop"), fact("resp_app_saturation_requests_per_second", 25/use, "shop"), fact("page.http_rate", 25, "shop"),
		fact("page.worker", 0.2, "shop", "0", "4710", "busy", ""), fact("page.worker", 0.2, "shop", "1", "4711", "busy", ""), fact("page.worker", 0.2, "shop", "2", "4712", "busy", ""),
	})
	for _, slot := range []string{"0", "1", "2", "3"} {
		out = append(out, fact("resp_worker_memory_bytes", 50e6, "shop", slot, "pss"))
	}
	return append(out, more...)
}

// memory returns the use of a limit of the app.
func memory(use, limit float64) []modeltest.Fact {
	return []modeltest.Fact{fact("resp_app_memory_usage_ratio", use, "shop"), fact("resp_app_memory_limit_bytes", limit, "shop")}
}

// threaded sets the number of request threads of each worker of shop.
func threaded(s *model.State, n int) {
	for i := range s.Workers[0].Workers {
		s.Workers[0].Workers[i].Threads = make([]model.Thread, n)
	}
}

// The advice says how much is used, where that ends, and what is needed; a fault that
// explains it, or an app that has room, has none.
func TestCapacity(t *testing.T) {
	room := memory(0.2, 1e9)
	cores := fact("page.worker_cpu_ratio", 0.9, "shop", "0")
	var text []byte
	for _, c := range []struct {
		name   string
		facts  []modeltest.Fact
		change func(*health.Input)
		none   bool
	}{
		{name: "memory allows it", facts: used(0.92, room...)},
		{name: "memory is not known", facts: used(0.92)},
		{name: "memory allows one", facts: used(0.92, memory(0.7, 600e6)...)},
		{name: "memory allows none", facts: used(0.92, memory(0.79, 600e6)...)},
		{name: "the host has no memory", facts: used(0.92, append(room, fact("resp_host_memory_usage_ratio", 0.79), fact("page.host_memory_bytes", 2e9))...)},
		{name: "the CPU is used up", facts: used(0.92, append(room, fact("resp_app_cpu_usage_ratio", 0.85, "shop"))...)},
		{name: "the CPU of the host is used up", facts: used(0.99, append(room, fact("resp_host_cpu_usage_ratio", 0.97))...)},
		{name: "threads that wait", facts: used(0.92, room...), change: func(in *health.Input) { threaded(in.State, 4) }},
		{name: "threads that compute", facts: used(0.92, append(room, cores)...), change: func(in *health.Input) { threaded(in.State, 4) }},
		{name: "a few requests", facts: append(used(1, room...), fact("page.http_rate", 0.333, "shop"), fact("resp_app_saturation_requests_per_second", 0.36, "shop"))},
		{name: "too few requests", facts: append(used(1, room...), fact("page.http_rate", 0.1, "shop"), fact("resp_app_saturation_requests_per_second", 0.1, "shop")), none: true},
		{name: "the cause is no fault", facts: used(0.92, room...), change: func(in *health.Input) {
			in.State.Bottlenecks = []model.Bottleneck{{App: "shop", Cause: model.CauseWorkers}}
		}},
		{name: "it has room", facts: used(0.8, room...), none: true},
		{name: "a stuck worker", facts: append(used(0.92, room...), fact("page.worker", 20, "shop", "3", "4713", "stuck", ""), fact("resp_app_workers", 1, "shop", "stuck")), none: true},
		{name: "a chain", facts: used(0.92, room...), change: func(in *health.Input) { in.State.Chains = []model.Chain{lockChain()} }, none: true},
		{name: "a cause", facts: used(0.92, room...), change: func(in *health.Input) {
			in.State.Bottlenecks = []model.Bottleneck{{App: "shop", Cause: model.CauseDBSlow}}
		}, none: true},
		{name: "a server that is down", facts: used(0.92, append(room, fact("resp_up", 0, "mysql:main"), fact("resp_worker_connections", 1, "shop", "0", "mysql:main"))...), change: func(in *health.Input) {
			in.MySQL = []string{"main"}
		}, none: true},
		{name: "an exhausted pool", facts: used(0.92, append(room, fact("resp_pool_utilization_ratio", 0.95, "shop", "main"))...), none: true},
		{name: "muted", facts: used(0.92, room...), change: func(in *health.Input) { in.Muted = func(string) []string { return []string{"workers"} } }, none: true},
		{name: "not known at what rate", facts: slices.DeleteFunc(used(0.92, room...), func(f modeltest.Fact) bool { return f.Name == "page.http_rate" }), none: true},
		{name: "an event loop", facts: slices.DeleteFunc(used(0.92, room...), func(f modeltest.Fact) bool { return f.Name == "resp_app_saturation_requests_per_second" }), none: true},
	} {
		in := health.Input{At: noon, Limits: config.Default().Thresholds, Interval: interval, State: modeltest.State(c.facts)}
		if c.change != nil {
			c.change(&in)
		}
		j, _ := health.Evaluate(in, health.State{})
		var lines []string
		for _, a := range j.Advice() {
			if a.Cause == "shop/capacity" {
				lines = append(lines, a.Text)
			}
		}
		if want := map[bool]int{false: 1}[c.none]; len(lines) != want {
			t.Errorf("%s: %d lines about capacity, want %d: %q", c.name, len(lines), want, j.Recommendations())
			continue
		}
		if len(lines) == 1 {
			text = append(text, c.name+": "+lines[0]+"\n"...)
			if got := j.Of("shop").Recommendations; !slices.Contains(got, lines[0]) {
				t.Errorf("%s: the app has %q", c.name, got)
			}
		}
	}
	golden.Check(t, "capacity.golden", text, *updateGolden)
}
