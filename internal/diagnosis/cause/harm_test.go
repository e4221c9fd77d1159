package cause_test

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Requests that are slow or fail are harm until those since the look before show that they
// no longer do, not until the last one of the fault is forgotten; a few requests show
// nothing. What is usual afterwards is what it was before.
func TestEndOfHarm(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		each float64 // requests in a look
		bad  model.AppRequests
		lag  int // looks with harm after the last bad request
	}{
		"slow requests":        {40, model.AppRequests{Seconds: new(200.0), Errors: new(0.0)}, 0},
		"errors":               {40, model.AppRequests{Seconds: new(4.0), Errors: new(30.0)}, 0},
		"few slow requests":    {4, model.AppRequests{Seconds: new(40.0), Errors: new(0.0)}, 3},
		"few requests, errors": {3, model.AppRequests{Seconds: new(0.3), Errors: new(3.0)}, 3},
		"one error of many":    {10, model.AppRequests{Seconds: new(1.0), Errors: new(1.0)}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 4)
			var sum struct{ n, seconds, errors float64 }
			look := func(bad bool) bool {
				seconds, errors := 0.1*c.each, 0.0
				if bad {
					seconds, errors = *c.bad.Seconds, *c.bad.Errors
				}
				sum.n, sum.seconds, sum.errors = sum.n+c.each, sum.seconds+seconds, sum.errors+errors
				s.Requests = []model.AppRequests{{App: "shop", Total: new(sum.n), Errors: new(sum.errors), Timed: new(sum.n), Seconds: new(sum.seconds)}}
				s.spend(map[string]float64{"cpu": 0.05, "mysql": 0.1})
				b := s.look()
				return b.Harm.Latency != nil || b.Harm.Errors != nil
			}
			for range 2 {
				for i := range 20 {
					if look(false) && i >= 4 {
						t.Fatalf("look %d is harm", i)
					}
				}
				for i := range 8 {
					if harm := look(true); !harm && i >= 3 {
						t.Fatalf("look %d of the fault is no harm", i)
					}
				}
				lag := 0
				for look(false) {
					lag++
				}
				if lag != c.lag {
					t.Errorf("%d looks with harm after the end, want %d", lag, c.lag)
				}
			}
		})
	}
}
