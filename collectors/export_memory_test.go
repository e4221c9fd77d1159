package collectors

import "time"

// SetNow stops the clock of a Memory.
func SetNow(m *Memory, t time.Time) { m.now = func() time.Time { return t } }
