package memory

import "time"

// SetWatchLimit sets how long a read may take.
func SetWatchLimit(w *Watchdog, d time.Duration) { w.limit = d }

// Hung returns how many functions were given up whose read has not returned yet.
func Hung(w *Watchdog) int { return int(w.hung.Load()) }
