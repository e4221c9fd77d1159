package web

import (
	"math"
	"slices"
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
	h.recordMemory(r)
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
		if q := health.Fullest(s.Listeners[i].Listeners); q != nil {
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

// recordMemory keeps what each app and each worker holds: its proportional share,
// or its resident size on a host where shares cannot be read. A worker whose share
// is only not read yet has none: a fall from one to the other would look like
// memory given back.
func (h *History) recordMemory(s *model.State) {
	shares := slices.Contains(s.Collectors, model.Collector{Name: "memory", Reason: "ok"})
	for i := range s.Memory {
		m := &s.Memory[i]
		h.known(seriesKey{m.App, "memory", ""}, health.AppMemory(s, m.App))
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

func (h *History) recordHost(s *model.State) {
	h.known(seriesKey{"", "cpu", ""}, s.Host.CPU)
	h.known(seriesKey{"", "memory", ""}, s.Host.Memory)
}

// known sets what is known.
func (h *History) known(k seriesKey, v *float64) {
	if v != nil {
		h.set(k, *v)
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
