package cause_test

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// On a host on which the app usually waits for a CPU, the collector is named by the CPU
// time that it takes, with the time for which it waited.
func TestCollectorOnBusyHost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		want         model.Cause
		usual, parts map[string]float64
	}{
		"half of the time":               {model.CauseGC, map[string]float64{"cpu": 0.02, "cpu_queue": 0.01, "mysql": 0.05}, map[string]float64{"gc": 0.5, "cpu": 0.05, "cpu_queue": 0.4, "mysql": 0.05}},
		"it waits as usual":              {model.CauseGC, map[string]float64{"cpu": 0.02, "cpu_queue": 0.06, "mysql": 0.05}, map[string]float64{"gc": 0.2, "cpu": 0.02, "cpu_queue": 0.7, "mysql": 0.08}},
		"it waits more than usual":       {model.CauseGC, map[string]float64{"cpu": 0.02, "cpu_queue": 0.02, "mysql": 0.05}, map[string]float64{"gc": 0.35, "cpu": 0.02, "cpu_queue": 0.55, "mysql": 0.05}},
		"the host has no room left":      {model.CauseCPU, map[string]float64{"cpu": 0.02, "cpu_queue": 0.02, "mysql": 0.05}, map[string]float64{"gc": 0.1, "cpu": 0.02, "cpu_queue": 0.85}},
		"a usual part of the work":       {model.CauseWorkers, map[string]float64{"gc": 0.05, "cpu": 0.05, "cpu_queue": 0.03, "mysql": 0.1}, map[string]float64{"gc": 0.23, "cpu": 0.23, "cpu_queue": 0.14, "mysql": 0.4}},
		"work that waits as usual":       {model.CauseCPU, map[string]float64{"cpu": 0.05, "cpu_queue": 0.15, "mysql": 0.05}, map[string]float64{"cpu": 0.22, "cpu_queue": 0.66, "mysql": 0.11}},
		"work that takes turns as usual": {model.CauseGIL, map[string]float64{"cpu": 0.02, "gil": 0.1, "mysql": 0.05}, map[string]float64{"cpu": 0.12, "gil": 0.8, "mysql": 0.08}},
		"work that is held as usual":     {model.CauseCPUThrottled, map[string]float64{"cpu": 0.05, "throttled": 0.15, "mysql": 0.05}, map[string]float64{"cpu": 0.22, "throttled": 0.66, "mysql": 0.11}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 1)
			s.Pressures = []model.Pressure{{Resource: "cpu", Kind: "some", Latest: 0.8}}
			for i := range 14 {
				s.spend(c.usual)
				if b := s.look(); b.Cause != "" {
					t.Fatalf("look %d: %+v", i, b)
				}
			}
			for i := range 8 {
				s.spend(c.parts, waits("cpu", "", 0.3))
				s.queue(40)
				if b := s.look(); b.Cause != c.want && (i >= 3 || b.Cause != "") {
					t.Fatalf("look %d: %+v", i, b)
				}
			}
		})
	}
}
