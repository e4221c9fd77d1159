package scaleworkers

import (
	"errors"

	"github.com/prometheus/procfs"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/workers"
)

// room is memory that a worker would be taken from, in bytes.
type room struct {
	of          string
	total, free float64
}

// fits returns a refusal if a worker as large as the largest would leave less memory free
// than min_free, of the host or of the app's control group, or if that is not known; zero:
// it fits.
func (r *Action) fits(app *discovery.App) action.Refusal {
	size := largest(app)
	if size <= 0 {
		return action.Refuse(action.CodeMemoryUnknown, "the memory of the workers is not known")
	}
	rooms, err := r.rooms(app.PID)
	if err != nil {
		return action.Refuse(action.CodeMemoryUnknown, "it is not known whether the memory is enough for one worker more: %s", err)
	}
	for _, x := range rooms {
		if left := x.free - size; left < r.c.MinFree*x.total {
			return action.Refuse(action.CodeMemory, "a worker of %.0f MiB would leave %.0f of %.0f MiB of %s free, minimum %.0f %%", size/(1<<20), max(0, left)/(1<<20), x.total/(1<<20), x.of, r.c.MinFree*100)
		}
	}
	return action.Refusal{}
}

// largest returns the memory of the largest worker in bytes, 0 if it is not known. It is
// without what the worker shares with the others, if that is known of all.
func largest(app *discovery.App) (size float64) {
	for _, w := range app.Workers {
		if w.Taken.IsZero() || w.Memory.PSS == 0 {
			size = 0
			for _, w := range app.Workers {
				size = max(size, float64(w.RSS))
			}
			return size
		}
		size = max(size, workers.Share(w))
	}
	return size
}

// rooms returns the total and the free memory of the host, and then of the control group of a
// process if that has a limit below the host's memory, in bytes; the host's alone if no control
// groups are read. An error: one is not known.
func (r *Action) rooms(pid int) ([]room, error) {
	proc, err := procfs.NewFS(r.d.ProcRoot)
	if err != nil {
		return nil, err
	}
	m, err := proc.Meminfo()
	if err != nil {
		return nil, err
	}
	if m.MemTotal == nil || m.MemAvailable == nil {
		return nil, errors.New("the kernel does not report the host's memory")
	}
	host := room{"the host's memory", float64(*m.MemTotal) * 1024, float64(*m.MemAvailable) * 1024}
	if r.d.Groups == nil {
		return []room{host}, nil
	}
	group, err := r.d.Groups.Of(pid)
	if err != nil {
		return nil, err
	}
	s, err := r.d.Groups.Read(group)
	if err != nil {
		return nil, err
	}
	if s.MemoryLimit == nil || float64(*s.MemoryLimit) >= host.total {
		return []room{host}, nil
	}
	used, ok := s.WorkingSet()
	if !ok {
		return nil, errors.New("the use of its control group is not reported")
	}
	limit := float64(*s.MemoryLimit)
	return []room{host, {"the memory of its control group", limit, max(0, limit-float64(used))}}, nil
}
