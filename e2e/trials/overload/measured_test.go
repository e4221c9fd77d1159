package overload

import (
	"testing"
	"time"
)

// TestMeasure checks what counts as served, shed and waited for.
func TestMeasure(t *testing.T) {
	t.Parallel()
	at := func(s, took float64, path string, status int) Request {
		return Request{time.Duration(s * float64(time.Second)), path, status, time.Duration(took * float64(time.Second))}
	}
	m := measure([]Request{
		at(0, 11, "/", 200),    // before, and served in the time
		at(10, 1, "/", 200),    // in it
		at(11, 2, "/", 503),    // shed
		at(12, 30, "/", 0),     // still waited for
		at(13, 8, "/", 200),    // served later
		at(14, 1, health, 503), // no health check may be shed
		at(20, 1, "/", 200),    // after
	}, 10*time.Second, 20*time.Second, 2)
	if m.Requests != 4 || m.Accepted != 3 || m.Served != 0.1 || m.P50 != 8*time.Second || m.P95 != 30*time.Second || m.Longest != m.P95 || m.Unhealthy != 1 || m.ByPath["/"].Ratio() != 0.75 {
		t.Errorf("%+v", m)
	}
	c := Case{Load: 2, Bursts: true}
	if mean := (c.rate(0) + c.rate(period)) / 2; mean < 1.99 || mean > 2.01 || c.rate(0) != c.rate(2*period) {
		t.Errorf("bursts of %g and %g", c.rate(0), c.rate(period))
	}
}
