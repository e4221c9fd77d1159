package collectors_test

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Each judged app has every cause, and at most one of them is 1.
func TestBottleneck(t *testing.T) {
	golden(t, collectors.NewBottleneck(func() collectors.Bottlenecks {
		return collectors.Bottlenecks{Apps: []model.Bottleneck{{App: "blog"}, {App: "shop", Cause: model.CauseDBLock}}, LeftOut: 3}
	}))
}

// Before the first judgement no app is published.
func TestBottleneckBeforeTheFirstLook(t *testing.T) {
	s, err := collectors.NewBottleneck(func() collectors.Bottlenecks { return collectors.Bottlenecks{} }).Collect(t.Context())
	if err != nil || len(s.Metrics) != 1 {
		t.Errorf("got %d metrics and %v, want the counter of what is left out", len(s.Metrics), err)
	}
}
