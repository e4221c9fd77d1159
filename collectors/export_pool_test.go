package collectors

import "time"

// SetPoolNow stops the clock of a Pool.
func SetPoolNow(p *Pool, t time.Time) { p.now = func() time.Time { return t } }
