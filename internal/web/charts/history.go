// Package charts keeps the numbers of the last 30 minutes for the charts of the page.
package charts

import (
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	// Points is how many points in time the history holds: 30 minutes, one each 5 s.
	Points = 360
	// BytesPerSeries is the memory of one series of the history in bytes, without
	// its name.
	BytesPerSeries = Points * 4
	// MaxSeries is the maximum number of series that the history holds.
	MaxSeries = 512

	step         = 5 * time.Second
	chartedSlots = 32 // of an app with more workers only the sum is charted
)

// History keeps the numbers of the last 30 minutes for the charts of the page, in a
// ring of 360 points. A series takes 1,440 bytes (360 float32). There are at most
// 512 series, 737 kB in all; further ones are counted and left out. A series without
// a number for 30 minutes is removed. All methods are safe for concurrent use.
type History struct {
	mu      sync.RWMutex
	times   [Points]int64 // Unix seconds, ascending in the order of the ring
	count   uint64        // points ever recorded
	series  map[seriesKey]*series
	workers map[string]float64 // workers by app, of the point being recorded
	refused map[seriesKey]struct{}
	errors  map[string]*errorCount // by app
}

// New returns a History without points.
func New() *History {
	return &History{
		series:  make(map[seriesKey]*series),
		workers: make(map[string]float64),
		refused: make(map[seriesKey]struct{}),
		errors:  make(map[string]*errorCount),
	}
}

// Record adds a point at t: what the state of a gather shows. What is not known is a gap.
// It ignores a second call within one second. After a clock that was set back it starts
// empty, as times must ascend.
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
			h.advance(last + int64(step/time.Second)) // a gap, so that no line bridges the pause
		}
	}
	h.advance(now)
	clear(h.workers)
	clear(h.refused)
	h.recordApps(r)
	h.recordErrors(r, now)
	h.recordMemory(r)
	h.recordHost(r)
}

// advance begins a point at a Unix time, in which all series are gaps.
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

// recordApps stores the current values of all apps.
func (h *History) recordApps(s *model.State) {
	for i := range s.Workers {
		w := &s.Workers[i]
		if w.Counts == nil {
			continue
		}
		for _, state := range [...]string{"busy", "idle", "stuck", "booting"} {
			h.set(seriesKey{w.App, state, ""}, health.CountIn(w.Counts, state))
			h.workers[w.App] += health.CountIn(w.Counts, state)
		}
	}
	for i := range s.Requests {
		r := &s.Requests[i]
		h.known(seriesKey{r.App, "requests", ""}, r.Rate)
		h.known(seriesKey{r.App, "p50", ""}, r.P50)
		h.known(seriesKey{r.App, "p95", ""}, r.P95)
		h.known(seriesKey{r.App, "p99", ""}, r.P99)
	}
	for i := range s.Listeners {
		if q := measures.Fullest(s.Listeners[i].Listeners); q != nil {
			h.known(seriesKey{s.Listeners[i].App, "queue", ""}, q.Length)
			h.known(seriesKey{s.Listeners[i].App, "limit", ""}, q.Limit)
		}
	}
	for i := range s.Pools {
		p := &s.Pools[i]
		h.add(seriesKey{p.App, "leaked", ""}, p.Leaked)
		h.add(seriesKey{p.App, "pool", ""}, p.InUse+p.InTransaction+p.Leaked)
		if p.Capacity != nil {
			h.add(seriesKey{p.App, "capacity", ""}, *p.Capacity)
		}
	}
	for i := range s.Apps {
		h.known(seriesKey{s.Apps[i].Name, "cpu", ""}, s.Apps[i].CPU)
	}
}

// recordMemory sets the memory of each app and worker in the current point: PSS, or RSS
// on a host where PSS cannot be read. It skips a worker whose PSS is not sampled yet: the
// step from RSS to PSS would look like freed memory.
func (h *History) recordMemory(s *model.State) {
	shares := slices.Contains(s.Collectors, model.Collector{Name: "memory", Reason: "ok"})
	for i := range s.Memory {
		m := &s.Memory[i]
		h.known(seriesKey{m.App, "memory", ""}, measures.AppMemory(s, m.App))
		if h.workers[m.App] > chartedSlots {
			continue
		}
		for j := range m.Workers {
			w := &m.Workers[j]
			if slot, err := strconv.Atoi(w.Slot); err != nil || slot >= chartedSlots {
				continue
			}
			if w.Sampled {
				h.set(seriesKey{m.App, "memory", w.Slot}, w.PSS)
			} else if !shares {
				h.set(seriesKey{m.App, "memory", w.Slot}, w.RSS)
			}
		}
	}
}

// recordHost stores the current values of the host.
func (h *History) recordHost(s *model.State) {
	h.known(seriesKey{"", "cpu", ""}, s.Host.CPU)
	h.known(seriesKey{"", "memory", ""}, s.Host.Memory)
}

// Size returns how many series are held, and how many had no room at the last point; at
// most MaxSeries of these are counted.
func (h *History) Size() (held, refused int) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.series), len(h.refused)
}

// Trend returns by how many bytes per second a worker's memory grew over the last 5
// minutes, by the means of both halves; negative if it shrank. false: of a half it is known
// for less than 2 minutes, and a worker that has just started grows.
func (h *History) Trend(app, slot string) (float64, bool) {
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

// LastRequest returns about when a request of an app was last reported: a minute before
// the newest point whose rate, the mean of a minute, is not 0. false: none was in the
// last 30 minutes.
func (h *History) LastRequest(app string) (time.Time, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	s := h.series[seriesKey{app, "requests", ""}]
	if s == nil {
		return time.Time{}, false
	}
	for i := h.count; i > h.count-min(h.count, Points); i-- {
		if pos := (i - 1) % Points; s.values[pos] > 0 {
			return time.Unix(h.times[pos], 0).Add(-time.Minute).UTC(), true
		}
	}
	return time.Time{}, false
}
