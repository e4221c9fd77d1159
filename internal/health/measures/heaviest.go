package measures

import "github.com/resp-exporter/resp-exporter/internal/model"

// Largest returns the slot and the bytes of the worker with the largest PSS or, if no PSS
// is known, the largest RSS; "" and 0 if neither is known.
func Largest(m *model.AppMemory) (slot string, bytes float64) {
	for i := range m.Workers {
		if x := &m.Workers[i]; x.Sampled && x.PSS > bytes {
			slot, bytes = x.Slot, x.PSS
		}
	}
	if slot != "" {
		return slot, bytes
	}
	for i := range m.Workers {
		if x := &m.Workers[i]; x.RSS > bytes {
			slot, bytes = x.Slot, x.RSS
		}
	}
	return slot, bytes
}

// Busiest returns the slot of the worker that uses most CPU, and how many cores that is;
// "" and 0 if none is known to use any.
func Busiest(a *model.App) (slot string, cores float64) {
	for i := range a.Workers {
		if x := &a.Workers[i]; x.CPU != nil && *x.CPU > cores {
			slot, cores = x.Slot, *x.CPU
		}
	}
	return slot, cores
}
