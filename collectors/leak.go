package collectors

import (
	"context"
	"math"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/leak/views"
	"github.com/resp-exporter/resp-exporter/internal/leak/watch"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

var (
	leakSuspected  = gauge("leak_suspected", "Whether a worker leaks memory (1) or not (0), judged from what its anonymous memory, swap included, never falls below: from 75 minutes of age on, or over the lives of three workers of the slot.", "app", "worker")
	leakSlope      = gauge("leak_slope_bytes_per_second", "Memory that a worker loses, while it is suspected of a leak.", "app", "worker")
	leakConfidence = gauge("leak_confidence_ratio", "Least share (0 to 1) of the growth that lasts, by all models that explain the memory about as well, while a worker is suspected of a leak.", "app", "worker")
	leakPerRequest = gauge("leak_bytes_per_request", "Memory that a worker loses with each request, while it is suspected of a leak and requests are reported; they are taken to be spread evenly over the workers.", "app", "worker")
	leakToLimit    = gauge("leak_seconds_to_limit", "Time until the memory of the app reaches its limit, see app_memory_limit_bytes, at the rate of all its workers that leak.", "app", "worker")
	leakView       = gauge("leak_view_growth_bytes_per_second", "Memory that the workers of an app lose in a view, while one of them is suspected of a leak and it is beyond doubt that the growth comes with the requests of this view.", "app", "view")
)

// LeakVerdicts are what the detectors of memory leaks know of the workers.
type LeakVerdicts interface {
	Of(app string, slot, pid int) (watch.Found, bool)
	Dropped() uint64
	// Views returns the views in which an app loses memory, the worst first.
	Views(app string) []views.Growth
	DroppedViews() uint64
}

// HeapCensuses are what censuses of the heaps of suspected workers have shown.
type HeapCensuses interface {
	Of(app string) (model.HeapCensus, bool)
	Dropped() uint64
}

// Leak is the collector "leak": workers that leak memory.
type Leak struct {
	apps     Apps
	verdicts LeakVerdicts
	heaps    HeapCensuses
	memory   *Memory
}

// NewLeak returns the collector "leak". total returns the host's memory in bytes.
func NewLeak(apps Apps, verdicts LeakVerdicts, heaps HeapCensuses, limits *Limits, total func() (uint64, error)) *Leak {
	return &Leak{apps: apps, verdicts: verdicts, heaps: heaps, memory: NewMemory(apps, limits, total)}
}

// Name implements [Collector].
func (*Leak) Name() string { return "leak" }

// Descs implements [Collector].
func (*Leak) Descs() []*prometheus.Desc {
	return descs(leakSuspected, leakSlope, leakConfidence, leakPerRequest, leakToLimit, leakView, seriesDropped)
}

// Collect implements [Collector]. A worker without a verdict, and an app that is down, has
// no metrics. The error is that of the processes' snapshot; the sample is empty then.
func (c *Leak) Collect(ctx context.Context) (Sample, error) {
	snap, err := c.apps.Snapshot(ctx)
	if err != nil {
		return Sample{}, err
	}
	var s Sample
	for i := range snap.Apps {
		if a := &snap.Apps[i]; a.Up {
			c.app(&s, a, snap)
		}
	}
	s.add(seriesDropped, float64(c.verdicts.Dropped()), "leak")
	s.add(seriesDropped, float64(c.verdicts.DroppedViews()), "leak_view")
	s.add(seriesDropped, float64(c.heaps.Dropped()), "leak_census")
	return s, nil
}

// app adds the leaks of one app's workers to the sample, and the time until its memory is
// full if that is known.
func (c *Leak) app(s *Sample, a *discovery.App, snap *discovery.Snapshot) {
	found := make([]watch.Found, 0, len(a.Workers))
	slope := 0.0
	for i := range a.Workers {
		f, ok := c.verdicts.Of(a.Name, a.Workers[i].Slot, a.Workers[i].PID)
		if !ok {
			continue
		}
		found = append(found, f)
		if f.Leak {
			slope += f.Slope
		}
	}
	left, known := 0.0, false
	if slope > 0 {
		left, known = c.memory.left(a, snap.Time)
		c.heap(s, a.Name)
	}
	for i := range found {
		f := &found[i]
		out := model.MemoryLeak{App: a.Name, Slot: strconv.Itoa(f.Slot), Suspected: f.Leak}
		s.add(leakSuspected, flag(f.Leak), a.Name, out.Slot)
		if f.Leak {
			s.set(&out.Slope, leakSlope, f.Slope, a.Name, out.Slot)
			s.set(&out.Confidence, leakConfidence, f.Confidence, a.Name, out.Slot)
			if !math.IsNaN(f.BytesPerRequest) {
				s.set(&out.PerRequest, leakPerRequest, f.BytesPerRequest, a.Name, out.Slot)
			}
			if known {
				s.set(&out.ToLimit, leakToLimit, left/slope, a.Name, out.Slot)
			}
		}
		s.State.MemoryLeaks = append(s.State.MemoryLeaks, out)
	}
	c.views(s, a.Name)
}

// heap adds to the state the heap census of an app's worker, if there is one.
func (c *Leak) heap(s *Sample, app string) {
	if h, ok := c.heaps.Of(app); ok {
		s.State.Heaps = append(s.State.Heaps, h)
	}
}

// views adds the views in which an app loses memory, if any are known.
func (c *Leak) views(s *Sample, app string) {
	for _, g := range c.verdicts.Views(app) {
		s.add(leakView, g.PerSecond, app, g.View)
		s.State.LeakViews = append(s.State.LeakViews, model.LeakView{
			App: app, View: g.View, Growth: g.PerSecond, Error: g.PerSecond * g.Error / g.PerRequest, PerRequest: g.PerRequest,
		})
	}
}
