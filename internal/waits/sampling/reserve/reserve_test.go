package reserve

import (
	"testing"
	"time"
)

// The stack of a request is kept once a second, from a second after its begin.
func TestTurn(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		busy, looked, kept time.Duration // before now; 0: never
		want               bool
	}{
		"idle":                      {0, 2 * time.Second, 2 * time.Second, false},
		"a short request":           {Period - 1, 0, 0, false},
		"a long request":            {Period, 0, 0, true},
		"seen":                      {time.Minute, Period - 1, 0, false},
		"seen long ago":             {time.Minute, Period, 0, true},
		"tried":                     {time.Minute, Period, Period - 1, false},
		"tried long ago":            {time.Minute, 0, Period, true},
		"seen in an earlier, short": {Period - 1, time.Minute, 0, false},
	} {
		before := func(d time.Duration) time.Time {
			if d == 0 {
				return time.Time{}
			}
			return now.Add(-d)
		}
		x := Turn{Busy: before(c.busy), Kept: before(c.kept)}
		if got := x.Has(before(c.looked), now); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
