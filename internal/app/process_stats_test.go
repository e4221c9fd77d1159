package app

import (
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	promcollectors "github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// The metrics of the exporter's own process have the names of client_golang's
// collector, and nearly the same values.
func TestSelf(t *testing.T) {
	s, err := newProcessStats()
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := values(t, s), values(t, promcollectors.NewProcessCollector(promcollectors.ProcessCollectorOpts{}))
	if len(ours) != 6 {
		t.Errorf("%d metrics: %v", len(ours), ours)
	}
	for name, v := range ours {
		want, ok := theirs[name]
		slack := 0.0
		if name == "process_cpu_seconds_total" {
			slack = 1 // counted in ticks, and the two looks are not one
		}
		if !ok || v < want*0.5-slack || v > want*2+1 {
			t.Errorf("%s is %v, client_golang says %v (%v)", name, v, want, ok)
		}
	}
	if start := ours["process_start_time_seconds"]; start > float64(time.Now().Unix()+2) || start < float64(time.Now().Add(-time.Hour).Unix()) {
		t.Errorf("start time %v of process %d", start, os.Getpid())
	}
}

func values(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Fatalf("%v %v", problems, err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]float64)
	for _, f := range families {
		m := f.GetMetric()[0]
		out[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	return out
}
