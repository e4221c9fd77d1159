package collectors

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

var (
	thresholdFamily    = gauge("threshold", "Configured warning and critical thresholds of each resource. Rules about hosts and servers compare with them.", "resource", "severity")
	appThresholdFamily = gauge("app_threshold", "Warning and critical thresholds in force for an app: its own, else the common ones. Absent where one is off or its component is muted. Rules about apps compare with them.", "app", "resource", "severity")
	reloadOKFamily     = gauge("config_last_reload_successful", "Whether the last load of the configuration succeeded (1).")
	reloadTimeFamily   = gauge("config_last_reload_success_timestamp_seconds", "Unix time of the last successful load of the configuration.")
)

// Thresholds holds the configuration in force and the result of the last reload, for
// the collector "config".
type Thresholds struct {
	config atomic.Pointer[config.Config]
	failed atomic.Bool
	loaded atomic.Int64 // Unix milliseconds
}

// NewThresholds returns the Thresholds of a configuration that was loaded at now.
func NewThresholds(c *config.Config, now time.Time) *Thresholds {
	t := &Thresholds{}
	t.Apply(c, now)
	return t
}

// Apply sets the configuration that was loaded at now; the last reload counts as
// successful.
func (t *Thresholds) Apply(c *config.Config, now time.Time) {
	t.config.Store(c)
	t.loaded.Store(now.UnixMilli())
	t.failed.Store(false)
}

// Fail records that the last reload has failed; the thresholds stay as they are.
func (t *Thresholds) Fail() { t.failed.Store(true) }

// Config is the collector "config": the thresholds in force, for all and for each app,
// and the result of the last reload.
type Config struct {
	thresholds *Thresholds
	apps       Apps
	requests   *Requests
	last       atomic.Pointer[thresholdsRead]
}

// thresholdsRead is what the collector last returned, and what that depends on.
type thresholdsRead struct {
	config *config.Config
	loaded int64 // as in Thresholds
	names  []string
	sample Sample // without the result of the last reload
}

// NewConfig returns the collector "config". requests names the apps that only report
// requests; it may be nil.
func NewConfig(t *Thresholds, apps Apps, requests *Requests) *Config {
	return &Config{thresholds: t, apps: apps, requests: requests}
}

// Name implements [Collector].
func (*Config) Name() string { return "config" }

// Descs implements [Collector].
func (*Config) Descs() []*prometheus.Desc {
	return descs(thresholdFamily, appThresholdFamily, reloadOKFamily, reloadTimeFamily)
}

// Collect implements [Collector]: the thresholds, and the result and time of the last
// reload. Where the processes cannot be read, which is a lack of other collectors, only
// configured apps and those that report requests have thresholds. The error is nil.
func (c *Config) Collect(ctx context.Context) (Sample, error) {
	cfg := c.thresholds.config.Load()
	s := c.inForce(cfg, c.names(ctx, cfg))
	ok := 1.0
	if c.thresholds.failed.Load() {
		ok = 0
	}
	s.add(reloadOKFamily, ok)
	s.add(reloadTimeFamily, float64(c.thresholds.loaded.Load())/1000)
	return s, nil
}

// inForce returns the thresholds in force. Without another configuration and without
// another app they are those of the scrape before; appending to its slices copies them.
func (c *Config) inForce(cfg *config.Config, names []string) Sample {
	loaded := c.thresholds.loaded.Load()
	if last := c.last.Load(); last != nil && last.config == cfg && last.loaded == loaded && slices.Equal(last.names, names) {
		return last.sample
	}
	var s Sample
	cfg.Thresholds.Each(func(resource string, l config.Limit) {
		s.add(thresholdFamily, l.Warning, resource, "warning")
		s.add(thresholdFamily, l.Critical, resource, "critical")
		s.State.Thresholds = append(s.State.Thresholds, model.Threshold{Resource: resource, Warning: l.Warning, Critical: l.Critical})
	})
	s.grow(16 * len(names))
	for _, app := range names {
		addAppThresholds(&s, cfg, app)
	}
	// Whoever appends to a clipped slice gets a copy.
	s.Metrics = slices.Clip(s.Metrics)
	s.State.Thresholds, s.State.AppThresholds = slices.Clip(s.State.Thresholds), slices.Clip(s.State.AppThresholds)
	c.last.Store(&thresholdsRead{cfg, loaded, names, s})
	return s
}

// names returns the apps that have thresholds, sorted, each once: those that report
// requests, configured ones and, if the processes can be read, all that were discovered.
func (c *Config) names(ctx context.Context, cfg *config.Config) []string {
	names := c.requests.Names()
	for i := range cfg.Apps {
		names = append(names, cfg.Apps[i].Name)
	}
	if snap, err := c.apps.Snapshot(ctx); err == nil {
		for i := range snap.Apps {
			names = append(names, snap.Apps[i].Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// addAppThresholds adds the thresholds in force for an app. One that is off has no
// series.
func addAppThresholds(s *Sample, cfg *config.Config, app string) {
	cfg.LimitsOf(app).EachOfApps(func(resource, _ string, l config.Limit) {
		t := model.AppThreshold{App: app, Resource: resource}
		if !config.IsOff(l.Warning) {
			s.set(&t.Warning, appThresholdFamily, l.Warning, app, resource, "warning")
		}
		if !config.IsOff(l.Critical) {
			s.set(&t.Critical, appThresholdFamily, l.Critical, app, resource, "critical")
		}
		if t.Warning != nil || t.Critical != nil {
			s.State.AppThresholds = append(s.State.AppThresholds, t)
		}
	})
}
