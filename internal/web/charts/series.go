package charts

import "math"

// seriesKey identifies one series; app is empty for series of the host.
type seriesKey struct{ app, what, slot string }

type series struct {
	values  [Points]float32
	touched uint64 // the value of count when it last got a number
}

// known sets a series in the current point to a number; nil leaves the gap.
func (h *History) known(k seriesKey, v *float64) {
	if v != nil {
		h.set(k, *v)
	}
}

// add adds to the current value of a series, which is 0 if it has none.
func (h *History) add(k seriesKey, v float64) {
	if old := h.now(k); !math.IsNaN(old) {
		v += old
	}
	h.set(k, v)
}

// now returns the number of a series in the current point; NaN if it has none.
func (h *History) now(k seriesKey) float64 {
	s := h.series[k]
	if s == nil {
		return math.NaN()
	}
	return float64(s.values[(h.count-1)%Points])
}

// set sets the current value of a series. NaN, infinity, and new series above MaxSeries are
// not stored.
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
