package collectors

import "time"

// SetSessionsNow sets the clock of a collector to a fixed time.
func SetSessionsNow(c *Sessions, now time.Time) { c.now = func() time.Time { return now } }
