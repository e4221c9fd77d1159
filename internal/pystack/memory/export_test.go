package memory

import "time"

// SetLimit sets how long a read may take.
func SetLimit(g *Guard, d time.Duration) { g.limit = d }
