package collectors

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis/cause"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

var bottleneckFamily = gauge("bottleneck", "Whether the cause explains most of the time that the workers of an app lose now, while its users are harmed: 1 for one cause at most, 0 for the others. Judged every 5 seconds.", "app", "cause")

// Bottlenecks is the last judgement of each app.
type Bottlenecks struct {
	Apps    []model.Bottleneck
	LeftOut uint64 // judgements that were left out because there were too many apps
}

// Bottleneck is the collector "bottleneck": what holds up each app. It does not judge,
// because the scrape interval would then change the hysteresis.
type Bottleneck struct{ last func() Bottlenecks }

// NewBottleneck returns the collector "bottleneck". last returns the last judgement of
// all apps.
func NewBottleneck(last func() Bottlenecks) *Bottleneck { return &Bottleneck{last: last} }

// Name implements [Collector].
func (*Bottleneck) Name() string { return "bottleneck" }

// Descs implements [Collector].
func (*Bottleneck) Descs() []*prometheus.Desc { return descs(bottleneckFamily, seriesDropped) }

// Collect implements [Collector]: 1 for the cause of each app that was judged, 0 for each
// other cause; all are 0 while none is confirmed. The error is nil.
func (c *Bottleneck) Collect(context.Context) (Sample, error) {
	var s Sample
	l := c.last()
	all := cause.All()
	s.grow(len(l.Apps)*len(all) + 1)
	for i := range l.Apps {
		for _, of := range all {
			v := 0.0
			if l.Apps[i].Cause == of {
				v = 1
			}
			s.add(bottleneckFamily, v, l.Apps[i].App, string(of))
		}
	}
	s.add(seriesDropped, float64(l.LeftOut), bottleneckFamily.name)
	return s, nil
}
