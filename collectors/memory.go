package collectors

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/pss"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

var (
	appMemoryFamily    = gauge("app_memory_bytes", "Memory of the whole app: pss, uss and swap are sums over its processes; rss counts pages that its processes share only once, if the kernel reports them. Sampled in the background, see app_memory_sample_age_seconds.", "app", "kind")
	appMemLimitFamily  = gauge("app_memory_limit_bytes", "Memory limit of the app: that of its control group, or the host's memory.", "app")
	appMemUseFamily    = gauge("app_memory_usage_ratio", "Used share (0 to 1) of the app's memory limit: the working set of its control group if that is limited, else the app's pss divided by the host's memory.", "app")
	appMemAgeFamily    = gauge("app_memory_sample_age_seconds", "Age of the oldest sample in app_memory_bytes.", "app")
	workerMemoryFamily = gauge("worker_memory_bytes", "Memory of one worker; rss is read at each scrape, pss and uss are sampled in the background.", "app", "worker", "kind")
)

// Memory is the collector "memory": the memory of apps and workers, and its limits.
type Memory struct {
	apps   Apps
	limits *Limits
	total  func() (uint64, error)
	now    func() time.Time
}

// NewMemory returns the collector "memory". total returns the host's memory in bytes.
func NewMemory(apps Apps, limits *Limits, total func() (uint64, error)) *Memory {
	return &Memory{apps: apps, limits: limits, total: total, now: time.Now}
}

// Name implements [Collector].
func (*Memory) Name() string { return "memory" }

// Descs implements [Collector].
func (*Memory) Descs() []*prometheus.Desc {
	return descs(appMemoryFamily, appMemLimitFamily, appMemUseFamily, appMemAgeFamily, workerMemoryFamily)
}

// Collect implements [Collector]. An app that is down is left out. The error has a lack
// for each app whose pss and uss cannot be read. If the processes or the host's memory
// cannot be read, the sample is empty.
func (c *Memory) Collect(ctx context.Context) (Sample, error) {
	snap, err := c.apps.Snapshot(ctx)
	if err != nil {
		return Sample{}, err
	}
	total, err := c.total()
	if err != nil {
		return Sample{}, fmt.Errorf("the host's memory: %w", err)
	}
	var s Sample
	var lacks []error
	for i := range snap.Apps {
		a := &snap.Apps[i]
		if !a.Up {
			continue
		}
		c.app(&s, a, c.limits.statsOf(a, snap.Time), float64(total))
		if a.MemoryErr != nil {
			lacks = append(lacks, memoryLack(a))
		}
	}
	return s, errors.Join(lacks...)
}

// memoryLack returns the lack of an app whose pss and uss cannot be read: [Unsupported] if
// a process is too large for it, else [Permission].
func memoryLack(a *discovery.App) error {
	if errors.Is(a.MemoryErr, pss.ErrTooLarge) {
		return lackOfApp(a.Name, Unsupported, "pss and uss of "+a.Name+": "+a.MemoryErr.Error(), "")
	}
	return lackOfApp(a.Name, Permission, "pss and uss of "+a.Name+" need its uid or CAP_SYS_PTRACE", RemedyProcesses)
}

// app adds the series and the state of one app. Resident sizes are not summed,
// because forked processes share most of their pages.
func (c *Memory) app(s *Sample, a *discovery.App, st cgroup.Stats, total float64) {
	out := model.AppMemory{App: a.Name}
	sum, complete := sumOf(a.Processes)
	switch {
	case complete:
		s.set(&out.RSS, appMemoryFamily, float64(sum.RSS), a.Name, "rss")
		s.set(&out.PSS, appMemoryFamily, float64(sum.PSS), a.Name, "pss")
		s.set(&out.USS, appMemoryFamily, float64(sum.USS), a.Name, "uss")
		s.set(&out.Swap, appMemoryFamily, float64(sum.Swap), a.Name, "swap")
		s.add(appMemAgeFamily, max(0, c.now().Sub(oldestSample(a.Processes)).Seconds()), a.Name)
	case len(a.Processes) == 1:
		s.set(&out.RSS, appMemoryFamily, float64(a.Processes[0].RSS), a.Name, "rss")
	}
	use, limit, known := memoryUse(a, st, total)
	s.set(&out.Limit, appMemLimitFamily, limit, a.Name)
	if known && limit > 0 {
		s.set(&out.Usage, appMemUseFamily, use/limit, a.Name)
	}
	out.Workers = make([]model.WorkerMemory, len(a.Workers))
	for i := range a.Workers {
		out.Workers[i] = workerMemory(s, a.Name, &a.Workers[i])
	}
	s.State.Memory = append(s.State.Memory, out)
}

// memoryUse returns how much memory an app uses and its limit, in bytes. The limit is that
// of its control group if it is below total, the host's memory, else total. The use is the
// working set of a limited group if that is known, else the pss of the app's processes, or
// the resident size of its only process until that is sampled. known is false if the use
// is not known.
func memoryUse(a *discovery.App, st cgroup.Stats, total float64) (use, limit float64, known bool) {
	sum, complete := sumOf(a.Processes)
	switch {
	case complete:
		use, known = float64(sum.PSS), true
	case len(a.Processes) == 1:
		use, known = float64(a.Processes[0].RSS), true
	}
	limit = total
	if st.MemoryLimit != nil && float64(*st.MemoryLimit) < total {
		limit = float64(*st.MemoryLimit)
		if ws, ok := st.WorkingSet(); ok {
			use, known = float64(ws), true
		}
	}
	return use, limit, known
}

// left returns how many bytes of memory an app may still use, by [memoryUse], at least 0;
// false if the use or the limit is not known.
func (c *Memory) left(a *discovery.App, now time.Time) (float64, bool) {
	total, err := c.total()
	if err != nil {
		return 0, false
	}
	use, limit, known := memoryUse(a, c.limits.statsOf(a, now), float64(total))
	return max(0, limit-use), known && limit > 0
}

// workerMemory adds the series of one worker's memory and returns its state, in bytes;
// pss, uss and swap are 0 until the worker is sampled, and have no series.
func workerMemory(s *Sample, app string, w *discovery.Worker) model.WorkerMemory {
	out := model.WorkerMemory{Slot: strconv.Itoa(w.Slot), RSS: float64(w.RSS), Sampled: !w.Taken.IsZero()}
	s.add(workerMemoryFamily, out.RSS, app, out.Slot, "rss")
	if out.Sampled {
		out.PSS, out.USS, out.Swap = float64(w.Memory.PSS), float64(w.Memory.USS), float64(w.Memory.Swap)
		s.add(workerMemoryFamily, out.PSS, app, out.Slot, "pss")
		s.add(workerMemoryFamily, out.USS, app, out.Slot, "uss")
		s.add(workerMemoryFamily, out.Swap, app, out.Slot, "swap")
	}
	return out
}

// sumOf returns the memory of all processes together, in bytes. complete is false, and the
// sum zero, if one has not been sampled yet or there is none. The resident size is the
// private pages of all plus the most shared pages that one has.
func sumOf(ps []discovery.Process) (sum procfs.Memory, complete bool) {
	var shared uint64
	for i := range ps {
		m := &ps[i].Memory
		if ps[i].Taken.IsZero() {
			return procfs.Memory{}, false
		}
		sum.PSS += m.PSS
		sum.USS += m.USS
		sum.Swap += m.Swap
		shared = max(shared, m.RSS-min(m.RSS, m.USS))
	}
	sum.RSS = sum.USS + shared
	return sum, len(ps) > 0
}

// oldestSample returns when the oldest memory sample of some processes was taken; the
// zero time if one has none yet. There must be a process.
func oldestSample(ps []discovery.Process) time.Time {
	t := ps[0].Taken
	for i := range ps {
		if ps[i].Taken.Before(t) {
			t = ps[i].Taken
		}
	}
	return t
}
