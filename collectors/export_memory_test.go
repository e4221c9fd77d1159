package collectors

import "time"

// SetNow sets the clock of a Memory to a fixed time.
func SetNow(m *Memory, t time.Time) { m.now = func() time.Time { return t } }
