package cleandisk

import "time"

// After makes an action see the files as they are that much later: their times of change
// cannot be set.
func (r *Action) After(d time.Duration) *Action {
	r.now = func() time.Time { return time.Now().Add(d) }
	return r
}
