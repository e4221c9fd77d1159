package cause

import (
	"math"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// The collector has its part of the time for which the work waited as usual, of each kind of
// wait once, and never more than that time.
func TestAddCollecting(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spent  map[string]float64
		before float64 // needless work of the collector
		want   float64
	}{
		"none":           {map[string]float64{"cpu": 0.02, "cpu_queue": 0.4, "throttled": 0.3}, 0, 0},
		"most of it":     {map[string]float64{"gc": 0.1, "cpu": 0.02, "cpu_queue": 0.4, "throttled": 0.3}, 0.1, 0.1 + (0.4+0.3)*0.1/0.12},
		"all of it":      {map[string]float64{"gc": 0.1, "cpu_queue": 0.4, "throttled": 0.3}, 0.1, 0.8},
		"more than that": {map[string]float64{"gc": 0.1, "cpu_queue": 0.4, "throttled": 0.3}, 0.2, 0.2 + 0.7},
		"one kind":       {map[string]float64{"gc": 0.1, "cpu": 0.1, "cpu_queue": 0.4}, 0.1, 0.1 + 0.2},
		"less than usual": {
			map[string]float64{"gc": 0.1, "cpu": 0.1, "cpu_queue": 0.2, "throttled": 0.1}, 0.1, 0.1 + 0.1 + 0.05,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &app{usual: usual{looks: 1000, served: 1000, shares: map[string]float64{"cpu_queue": 0.4, "throttled": 0.3}}}
			x, b := &losses{by: make(map[blame]float64)}, blame{cause: model.CauseGC}
			x.add(b, c.before)
			a.addCollecting(&look{spent: c.spent, all: 1}, x)
			if got := x.by[b]; math.Abs(got-c.want) > 1e-9 {
				t.Errorf("%v seconds, want %v", got, c.want)
			}
		})
	}
}
