package collectors

import (
	"context"
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/health"
)

var healthFamily = gauge("health_status", "Level of each component at the last evaluation: 0 healthy, 1 warning, 2 critical; component overall is the worst. An empty app stands for the host and the stores.", "app", "component")

// Health is the collector "health": the levels of the last evaluation. It does not
// evaluate, because the scrape interval would then change the hysteresis.
type Health struct{ last func() health.Evaluation }

// NewHealth returns the collector "health". last returns the last evaluation, or a zero
// one before the first.
func NewHealth(last func() health.Evaluation) *Health { return &Health{last: last} }

// Name implements [Collector].
func (*Health) Name() string { return "health" }

// Descs implements [Collector].
func (*Health) Descs() []*prometheus.Desc { return descs(healthFamily) }

// Collect implements [Collector]. Before the first evaluation the sample is empty; an
// app, or the host, without components has no metrics. The error is nil.
func (c *Health) Collect(context.Context) (Sample, error) {
	var s Sample
	j := c.last()
	if j.At.IsZero() {
		return s, nil
	}
	for _, st := range append([]health.Status{j.Host}, j.Apps...) {
		if len(st.Components) == 0 {
			continue
		}
		for _, component := range slices.Sorted(maps.Keys(st.Components)) {
			s.add(healthFamily, float64(st.Components[component]), st.App, component)
		}
		s.add(healthFamily, float64(st.Overall), st.App, "overall")
	}
	return s, nil
}
