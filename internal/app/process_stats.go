package app

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/procfs"
)

// processStats publishes what the exporter's own process uses, under the names
// that every Go program has. client_golang's own collector publishes the same
// and the host's network counters, and parses three more files for it at each
// scrape, which is a tenth of the cost of a scrape.
type processStats struct {
	cpu, resident, virtual, fds, maxFDs, start *prometheus.Desc

	limits  func() (procfs.ProcLimits, error)
	started func() (float64, error)
}

func newProcessStats() (*processStats, error) {
	p, err := procfs.Self()
	if err != nil {
		return nil, err
	}
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc("process_"+name, help, nil, nil) }
	return &processStats{
		cpu:      desc("cpu_seconds_total", "Total user and system CPU time spent in seconds."),
		resident: desc("resident_memory_bytes", "Resident memory size in bytes."),
		virtual:  desc("virtual_memory_bytes", "Virtual memory size in bytes."),
		fds:      desc("open_fds", "Number of open file descriptors."),
		maxFDs:   desc("max_fds", "Maximum number of open file descriptors."),
		start:    desc("start_time_seconds", "Start time of the process since unix epoch in seconds."),
		limits:   sync.OnceValues(p.Limits),
		started: sync.OnceValues(func() (float64, error) {
			st, err := p.Stat()
			if err != nil {
				return 0, err
			}
			return st.StartTime()
		}),
	}, nil
}

// Describe implements [prometheus.Collector].
func (s *processStats) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.cpu, s.resident, s.virtual, s.fds, s.maxFDs, s.start} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector]. What cannot be read is left out.
func (s *processStats) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	p, err := procfs.Self()
	if err != nil {
		return
	}
	if st, err := p.Stat(); err == nil {
		ch <- prometheus.MustNewConstMetric(s.cpu, prometheus.CounterValue, st.CPUTime())
		gauge(s.resident, float64(st.ResidentMemory()))
		gauge(s.virtual, float64(st.VirtualMemory()))
	}
	if n, err := p.FileDescriptorsLen(); err == nil {
		gauge(s.fds, float64(n))
	}
	if l, err := s.limits(); err == nil {
		gauge(s.maxFDs, float64(l.OpenFiles))
	}
	if t, err := s.started(); err == nil {
		gauge(s.start, t)
	}
}
