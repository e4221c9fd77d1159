package memory

import "time"

// SetLimit sets how long a read may take.
func SetLimit(g *Guard, d time.Duration) { g.limit = d }

// SetWatchLimit sets how long a read may take.
func SetWatchLimit(w *Watchdog, d time.Duration) { w.limit = d }
