package parts

import (
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// LeakJSON is whether a worker leaks memory.
type LeakJSON struct {
	Suspected  bool     `json:"suspected"`
	Slope      *float64 `json:"slope_bytes_per_second"` // null: it is not suspected
	Confidence *float64 `json:"confidence"`             // a ratio
	PerRequest *float64 `json:"bytes_per_request"`      // null: requests are not reported
	ToLimit    *float64 `json:"seconds_to_limit"`
	// Views are those in which the app loses memory beyond doubt, the worst first.
	Views []leakViewJSON `json:"views"`
}

type leakViewJSON struct {
	View       string  `json:"view"`
	Growth     float64 `json:"growth_bytes_per_second"` // of all workers
	Error      float64 `json:"standard_error_bytes_per_second"`
	PerRequest float64 `json:"bytes_per_request"`
}

// LeakStatus returns whether the worker in a slot leaks memory, for the JSON; nil: it is
// not judged.
func LeakStatus(s *model.State, app, slot string) *LeakJSON {
	for i := range s.MemoryLeaks {
		l := &s.MemoryLeaks[i]
		if l.App != app || l.Slot != slot {
			continue
		}
		out := &LeakJSON{Suspected: l.Suspected, Slope: l.Slope, Confidence: l.Confidence, PerRequest: l.PerRequest, ToLimit: l.ToLimit, Views: []leakViewJSON{}}
		for i := range s.LeakViews {
			if v := &s.LeakViews[i]; l.Suspected && v.App == app {
				out.Views = append(out.Views, leakViewJSON{v.View, v.Growth, v.Error, v.PerRequest})
			}
		}
		return out
	}
	return nil
}
