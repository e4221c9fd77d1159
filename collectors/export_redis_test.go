package collectors

import "time"

// Lookups is the recent past of a server's hits and misses.
type Lookups struct{ l lookups }

// Ratio takes a reading and gives the share of hits since the first one in the window.
func (l *Lookups) Ratio(now time.Time, hits, misses float64) (float64, bool) {
	return l.l.addReading(now, hits, misses)
}
