package collectors

import "time"

// Lookups counts the hits and misses of one server over the last minutes.
type Lookups struct{ l lookups }

// Ratio adds a reading and returns the hit ratio of the window.
func (l *Lookups) Ratio(now time.Time, hits, misses float64) (float64, bool) {
	return l.l.addReading(now, hits, misses)
}
