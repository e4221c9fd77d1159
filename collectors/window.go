package collectors

import "time"

// window keeps the last few minutes of a growing number, for the page; a
// query on the counter tells the same to Prometheus.
type window struct {
	times  [windowPoints]time.Time
	values [windowPoints]float64
	n      int // points held
}

const (
	windowPoints = 76 // five minutes at one point in four seconds, and the one before
	windowStep   = 4 * time.Second
	windowSpan   = 5 * time.Minute
)

// add takes a reading; one that comes sooner than windowStep is not kept.
func (w *window) add(now time.Time, v float64) {
	if w.n > 0 && now.Sub(w.times[w.n-1]) < windowStep {
		return
	}
	if w.n == windowPoints {
		copy(w.times[:], w.times[1:])
		copy(w.values[:], w.values[1:])
		w.n--
	}
	w.times[w.n], w.values[w.n] = now, v
	w.n++
}

// growth is by how much v is more than five minutes ago, or than at the first
// reading if that is less long ago; false without an earlier reading.
func (w *window) growth(now time.Time, v float64) (float64, bool) {
	for i := range w.n {
		if now.Sub(w.times[i]) <= windowSpan+windowStep {
			return max(0, v-w.values[i]), now.After(w.times[i])
		}
	}
	return 0, false
}
