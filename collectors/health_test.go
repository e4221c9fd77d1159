package collectors_test

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
)

func TestHealth(t *testing.T) {
	r := func(name string, v float64, labels ...string) modeltest.Fact {
		return modeltest.Fact{Name: name, Labels: labels, Value: v}
	}
	j, _ := health.Evaluate(health.Input{
		At: time.Unix(1e9, 0), Limits: config.Default().Thresholds, Interval: time.Second, MySQL: []string{"main"},
		State: modeltest.State([]modeltest.Fact{
			r("resp_up", 1, "app:shop"), r("resp_up", 0, "app:blog"), r("resp_up", 0, "mysql:main"),
			r("resp_app_cpu_usage_ratio", 0.85, "shop"), r("resp_disk_usage_ratio", 0.2, "/"),
		}),
	}, health.State{})
	golden(t, collectors.NewHealth(func() health.Evaluation { return j }))
}

// Before the first evaluation no health is published.
func TestHealthBeforeTheFirstLook(t *testing.T) {
	s, err := collectors.NewHealth(func() health.Evaluation { return health.Evaluation{} }).Collect(t.Context())
	if err != nil || len(s.Metrics) != 0 {
		t.Errorf("got %d metrics and %v, want none", len(s.Metrics), err)
	}
}
