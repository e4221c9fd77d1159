package collectors

import "time"

// window holds the readings of a counter over the last windowSpan, for the status
// page. In Prometheus, increase() over the counter is the same.
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

// add adds a reading to the window. It ignores one that is less than windowStep after the
// last.
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

// growth returns by how much v exceeds the reading of five minutes ago, or the oldest one
// if that is newer; at least 0, also if v went back. false: there is no earlier reading of
// that time.
func (w *window) growth(now time.Time, v float64) (float64, bool) {
	for i := range w.n {
		if now.Sub(w.times[i]) <= windowSpan+windowStep {
			return max(0, v-w.values[i]), now.After(w.times[i])
		}
	}
	return 0, false
}
