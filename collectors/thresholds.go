package collectors

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

var (
	thresholdFamily  = gauge("threshold", "Configured warning and critical thresholds of each resource; the shipped alerting rules use them.", "resource", "severity")
	reloadOKFamily   = gauge("config_last_reload_successful", "Whether the last load of the configuration succeeded (1).")
	reloadTimeFamily = gauge("config_last_reload_success_timestamp_seconds", "Unix time of the last successful load of the configuration.")
)

// Thresholds is the collector "config": the thresholds in force and the result of the
// last reload.
type Thresholds struct {
	limits atomic.Pointer[config.Thresholds]
	failed atomic.Bool
	loaded atomic.Int64 // Unix milliseconds
}

// NewThresholds returns the collector "config".
func NewThresholds(t config.Thresholds, now time.Time) *Thresholds {
	c := &Thresholds{}
	c.Apply(t, now)
	return c
}

// Apply sets the thresholds after a successful reload at now.
func (c *Thresholds) Apply(t config.Thresholds, now time.Time) {
	c.limits.Store(&t)
	c.loaded.Store(now.UnixMilli())
	c.failed.Store(false)
}

// Fail records a failed reload; the thresholds stay.
func (c *Thresholds) Fail() { c.failed.Store(true) }

// Name implements [Collector].
func (*Thresholds) Name() string { return "config" }

// Descs implements [Collector].
func (*Thresholds) Descs() []*prometheus.Desc {
	return descs(thresholdFamily, reloadOKFamily, reloadTimeFamily)
}

// Collect implements [Collector].
func (c *Thresholds) Collect(context.Context) (Sample, error) {
	var s Sample
	c.limits.Load().Each(func(resource string, l config.Limit) {
		s.add(thresholdFamily, l.Warning, resource, "warning")
		s.add(thresholdFamily, l.Critical, resource, "critical")
		s.State.Thresholds = append(s.State.Thresholds, model.Threshold{Resource: resource, Warning: l.Warning, Critical: l.Critical})
	})
	ok := 1.0
	if c.failed.Load() {
		ok = 0
	}
	s.add(reloadOKFamily, ok)
	s.add(reloadTimeFamily, float64(c.loaded.Load())/1000)
	return s, nil
}
