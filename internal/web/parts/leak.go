package parts

import (
	"slices"

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
	// Census is which of its objects become more; null: they were not counted.
	Census *heapJSON `json:"census"`
}

type leakViewJSON struct {
	View       string  `json:"view"`
	Growth     float64 `json:"growth_bytes_per_second"` // of all workers
	Error      float64 `json:"standard_error_bytes_per_second"`
	PerRequest float64 `json:"bytes_per_request"`
}

type (
	heapJSON struct {
		Outcome    model.HeapOutcome   `json:"outcome"`  // pending, grows, not_python, steady or unknown
		Reason     *model.HeapReason   `json:"reason"`   // why it is unknown
		Censuses   int                 `json:"censuses"` // so far
		Seconds    float64             `json:"seconds"`  // between the first and the last one
		Objects    float64             `json:"objects"`
		Growth     float64             `json:"growth_bytes"`
		CPU        float64             `json:"cpu_seconds"` // that they took the exporter
		Types      []heapTypeJSON      `json:"types"`       // whose objects become more, and may explain the growth
		Containers []heapContainerJSON `json:"containers"`  // the same, the one that tells most first
	}
	heapTypeJSON struct {
		Name    string  `json:"name"`
		Count   float64 `json:"count"`
		PerHour float64 `json:"per_hour"`
	}
	heapContainerJSON struct {
		Name    string  `json:"name"` // "": its place was not found
		Kind    string  `json:"kind"`
		Of      string  `json:"of"` // type of its newest items
		Items   float64 `json:"items"`
		PerHour float64 `json:"per_hour"`
	}
)

// LeakStatus returns as the JSON has it whether the worker in a slot leaks memory, and if
// so in which views of its app; nil if that is not judged.
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
		out.Census = censusOf(s, app, slot)
		return out
	}
	return nil
}

// censusOf returns the heap census of a worker (app and slot): its outcome, and the types
// and containers that grow, if any. nil: there is none.
func censusOf(s *model.State, app, slot string) *heapJSON {
	i := slices.IndexFunc(s.Heaps, func(h model.HeapCensus) bool { return h.App == app && h.Slot == slot })
	if i < 0 {
		return nil
	}
	h := &s.Heaps[i]
	out := &heapJSON{
		Outcome: h.Outcome, Censuses: h.Censuses, Seconds: h.Seconds, Objects: h.Objects, Growth: h.Growth, CPU: h.CPU,
		Types: []heapTypeJSON{}, Containers: []heapContainerJSON{},
	}
	if h.Reason != "" {
		out.Reason = &h.Reason
	}
	for _, t := range h.Types {
		out.Types = append(out.Types, heapTypeJSON{t.Name, t.Count, t.PerHour})
	}
	for _, c := range h.Containers {
		out.Containers = append(out.Containers, heapContainerJSON{c.Name, c.Kind, c.Of, c.Count, c.PerHour})
	}
	return out
}
