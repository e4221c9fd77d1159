package web

import (
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	// Points is how many moments the history holds: 30 minutes, one each 5 s.
	Points = 360
	// BytesPerSeries is what one series of the history holds in memory, in
	// bytes, apart from its name.
	BytesPerSeries = Points * 4
	// MaxSeries is how many series the history holds at most.
	MaxSeries = 512

	step         = 5 * time.Second
	chartedSlots = 32 // an app with more workers has only its sum charted
)

// seriesKey names one series; app is empty for the host's own.
type seriesKey struct{ app, what, slot string }

type series struct {
	values  [Points]float32
	touched uint64 // the count of moments when it last got a number
}

// History keeps the numbers of the last 30 minutes for the charts of the
// page, in a ring of 360 moments. A series takes 1,440 bytes (360 float32);
// there are never more than 512 of them, 737 kB in all: what comes later is
// counted and left out. A series without a number for 30 minutes is
// forgotten. The methods may be called from several goroutines at once.
type History struct {
	mu      sync.RWMutex
	times   [Points]int64 // unix seconds, ascending in the ring's order
	count   uint64        // moments ever recorded
	series  map[seriesKey]*series
	workers map[string]float64 // how many workers an app has, of the moment being recorded
	refused map[seriesKey]struct{}
	errors  map[string]*errorCount // by app
}

// NewHistory returns an empty history.
func NewHistory() *History {
	return &History{
		series:  make(map[seriesKey]*series),
		workers: make(map[string]float64),
		refused: make(map[seriesKey]struct{}),
		errors:  make(map[string]*errorCount),
	}
}

// Record adds what one gather read at t. What the readings do not hold is a
// gap. A second call within one second is dropped; a clock that was set back
// begins the history anew, since its axis must ascend.
func (h *History) Record(t time.Time, r *model.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := t.Unix()
	if h.count > 0 {
		last := h.times[(h.count-1)%Points]
		switch {
		case now == last:
			return
		case now < last:
			clear(h.series)
			clear(h.errors)
			h.count = 0
		case now-last > int64(5*step/2/time.Second):
			h.advance(last + int64(step/time.Second)) // nothing known in between: no line may bridge it
		}
	}
	h.advance(now)
	clear(h.workers)
	clear(h.refused)
	h.recordApps(r)
	h.recordErrors(r, now)
	h.recordWorkers(r)
	h.recordHost(r)
}

// advance opens one moment in which nothing is known yet.
func (h *History) advance(unix int64) {
	pos := h.count % Points
	h.times[pos] = unix
	h.count++
	gap := float32(math.NaN())
	for k, s := range h.series {
		if h.count-s.touched >= Points {
			delete(h.series, k)
			continue
		}
		s.values[pos] = gap
	}
}

func (h *History) recordApps(r *model.State) {
	for _, x := range r.All("resp_app_workers") {
		switch state := label(x, 1); state {
		case "busy", "idle", "stuck", "booting":
			h.set(seriesKey{label(x, 0), state, ""}, x.Value)
			h.workers[label(x, 0)] += x.Value
		}
	}
	for _, x := range r.All("page.http_rate") {
		h.set(seriesKey{label(x, 0), "requests", ""}, x.Value)
	}
	for _, x := range r.All("page.http_latency_seconds") {
		if p := percentile(label(x, 1)); p != "" {
			h.set(seriesKey{label(x, 0), p, ""}, x.Value)
		}
	}
	h.recordQueues(r)
	for i := range r.Pools {
		p := &r.Pools[i]
		h.add(seriesKey{p.App, "leaked", ""}, p.Leaked)
		h.add(seriesKey{p.App, "pool", ""}, p.InUse+p.InTransaction+p.Leaked)
		if p.Capacity != nil {
			h.add(seriesKey{p.App, "capacity", ""}, *p.Capacity)
		}
	}
	for _, x := range r.All("resp_app_cpu_usage_ratio") {
		h.set(seriesKey{label(x, 0), "cpu", ""}, x.Value)
	}
	for _, x := range r.All("resp_app_memory_bytes") {
		h.memory(seriesKey{label(x, 0), "memory", ""}, label(x, 1), "rss", x.Value)
	}
}

// recordQueues keeps the fullest queue of each app.
func (h *History) recordQueues(r *model.State) {
	done := make(map[string]bool)
	for _, x := range r.All("resp_listener_queue_length") {
		app := label(x, 0)
		if done[app] {
			continue
		}
		done[app] = true
		q := health.Fullest(health.Queues(r, app))
		if q == nil {
			continue
		}
		h.set(seriesKey{app, "queue", ""}, *q.Length)
		if q.Limit != nil {
			h.set(seriesKey{app, "limit", ""}, *q.Limit)
		}
	}
}

// recordWorkers keeps what each worker holds: its proportional share, or its
// resident size on a host where shares cannot be read. A worker whose share is
// only not read yet has none: a fall from one to the other would look like
// memory given back.
func (h *History) recordWorkers(r *model.State) {
	kind := "pss"
	if v, ok := r.Get("resp_collector_available", "memory", "ok"); !ok || v != 1 {
		kind = "rss"
	}
	for _, x := range r.All("resp_worker_memory_bytes") {
		if len(x.Labels) < 3 || h.workers[x.Labels[0]] > chartedSlots {
			continue
		}
		if slot, err := strconv.Atoi(x.Labels[1]); err != nil || slot >= chartedSlots {
			continue
		}
		h.memory(seriesKey{x.Labels[0], "memory", x.Labels[1]}, x.Labels[2], kind, x.Value)
	}
}

// memory keeps the proportional share, else what is of the other kind.
func (h *History) memory(k seriesKey, kind, other string, v float64) {
	if kind == "pss" || kind == other && math.IsNaN(h.now(k)) {
		h.set(k, v)
	}
}

func (h *History) recordHost(r *model.State) {
	for _, x := range r.All("resp_host_cpu_usage_ratio") {
		h.set(seriesKey{"", "cpu", ""}, x.Value)
	}
	for _, x := range r.All("resp_host_memory_usage_ratio") {
		h.set(seriesKey{"", "memory", ""}, x.Value)
	}
}

func (h *History) add(k seriesKey, v float64) {
	if old := h.now(k); !math.IsNaN(old) {
		v += old
	}
	h.set(k, v)
}

// now returns what k holds in the moment being recorded.
func (h *History) now(k seriesKey) float64 {
	s := h.series[k]
	if s == nil {
		return math.NaN()
	}
	return float64(s.values[(h.count-1)%Points])
}

func (h *History) set(k seriesKey, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	s := h.series[k]
	if s == nil {
		if len(h.series) >= MaxSeries {
			if len(h.refused) < MaxSeries {
				h.refused[k] = struct{}{}
			}
			return
		}
		s = &series{}
		for i := range s.values {
			s.values[i] = float32(math.NaN())
		}
		h.series[k] = s
	}
	s.values[(h.count-1)%Points] = float32(v)
	s.touched = h.count
}

// Size returns how many series are held, and how many of the last moment
// found no room (counted up to 512).
func (h *History) Size() (held, refused int) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.series), len(h.refused)
}

// trend returns how fast a worker's memory changed over the last 5 minutes, in
// bytes per second: the mean of the later half less that of the earlier, over
// the time between them. It takes 4 minutes of numbers to say anything: a worker
// that has just started grows, and nobody should look at that.
func (h *History) trend(app, slot string) (float64, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	s := h.series[seriesKey{app, "memory", slot}]
	if s == nil || h.count == 0 {
		return 0, false
	}
	const window, least = 60, 48
	n := min(h.count, window)
	var v, at [2]float64
	var seen [2]int
	for i := h.count - n; i < h.count; i++ {
		x := float64(s.values[i%Points])
		if math.IsNaN(x) {
			continue
		}
		half := 0
		if i >= h.count-n/2 {
			half = 1
		}
		v[half] += x
		at[half] += float64(h.times[i%Points] - h.times[(h.count-1)%Points])
		seen[half]++
	}
	if seen[0] < least/2 || seen[1] < least/2 {
		return 0, false
	}
	a, b := float64(seen[0]), float64(seen[1])
	return (v[1]/b - v[0]/a) / (at[1]/b - at[0]/a), true
}

func percentile(quantile string) string {
	q, err := strconv.ParseFloat(quantile, 64)
	if err != nil {
		return ""
	}
	switch q {
	case 0.5:
		return "p50"
	case 0.95:
		return "p95"
	case 0.99:
		return "p99"
	}
	return ""
}

// label returns a label's value, or nothing where the reading has fewer.
func label(x model.Reading, i int) string {
	if i >= len(x.Labels) {
		return ""
	}
	return x.Labels[i]
}
