package watch

import (
	"cmp"
	"slices"
)

// Suspect is a worker that is suspected of a leak.
type Suspect struct {
	App       string
	Slot, PID int
	Ticks     uint64  // when the process started, since the boot
	Slope     float64 // bytes a second
}

// Suspects returns the workers suspected of a leak, those that leak fastest first; nil if
// there is none.
func (w *Watcher) Suspects() (out []Suspect) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, x := range w.workers {
		if x.found.Leak {
			out = append(out, Suspect{k.app, k.slot, x.found.PID, x.ticks, x.found.Slope})
		}
	}
	slices.SortFunc(out, func(a, b Suspect) int {
		return cmp.Or(cmp.Compare(b.Slope, a.Slope), cmp.Compare(a.App, b.App), cmp.Compare(a.Slot, b.Slot))
	})
	return out
}

// Process returns s without its slope, which changes, to compare processes.
func (s Suspect) Process() Suspect {
	s.Slope = 0
	return s
}
