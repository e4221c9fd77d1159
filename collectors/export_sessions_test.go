package collectors

import "time"

// SetSessionsNow stops the clock of a collector.
func SetSessionsNow(c *Sessions, now time.Time) { c.now = func() time.Time { return now } }
