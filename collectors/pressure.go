package collectors

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/procfs"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

var pressureWaiting = counter("pressure_waiting_seconds_total",
	"Time during which some or all (full) runnable tasks of the host waited for the resource. The kernel reports 0 for cpu/full.",
	"resource", "kind")

// Pressure is the collector "pressure": how long tasks waited for CPU, memory and I/O,
// from /proc/pressure (PSI).
type Pressure struct{ proc string }

// NewPressure returns the collector "pressure" for the procfs mounted at procRoot.
func NewPressure(procRoot string) *Pressure { return &Pressure{proc: procRoot} }

// Name implements [Collector].
func (p *Pressure) Name() string { return "pressure" }

// Descs implements [Collector].
func (p *Pressure) Descs() []*prometheus.Desc { return descs(pressureWaiting) }

// Collect implements [Collector]. The share of the last minute that tasks waited is in the
// state only. A resource that cannot be read is missing, and a lack in the error.
func (p *Pressure) Collect(context.Context) (Sample, error) {
	var s Sample
	proc, err := procfs.NewFS(p.proc)
	if err != nil {
		return s, fileError("pressure", err)
	}
	var failed, off error
	var none []string
	for _, resource := range []string{"cpu", "memory", "io"} {
		psi, err := proc.PSIStatsForResource(resource)
		switch {
		case isPSIMissing(err):
			none, off = append(none, resource), err
			continue
		case err != nil:
			failed = errors.Join(failed, pressureError(resource, err))
			continue
		}
		s.pressure(psi.Some, resource, "some")
		s.pressure(psi.Full, resource, "full")
	}
	if off != nil {
		off = pressureError(strings.Join(none, ", "), off)
	}
	return s, errors.Join(failed, off)
}

// pressure adds the metric and the state of one line of a pressure file; nothing for nil.
func (s *Sample) pressure(l *procfs.PSILine, resource, kind string) {
	if l == nil {
		return
	}
	s.add(pressureWaiting, float64(l.Total)/1e6, resource, kind) // the kernel counts microseconds
	// Averages are in percent.
	s.State.Pressures = append(s.State.Pressures, model.Pressure{Resource: resource, Kind: kind, Ratio: l.Avg60 / 100, Latest: l.Avg10 / 100})
}

// isPSIMissing reports whether an error is that of a file that does not exist, or
// EOPNOTSUPP: what a kernel without PSI, or with psi=0, returns.
func isPSIMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EOPNOTSUPP)
}

// pressureError returns an error of reading pressure: an [Unavailable] with reason
// [Unsupported] and the remedy if [isPSIMissing] returns true, else as [fileError] does.
func pressureError(resources string, err error) error {
	if !isPSIMissing(err) {
		return fileError("pressure of "+resources, err)
	}
	return &Unavailable{
		Reason: Unsupported, Detail: "pressure of " + resources + " needs a kernel with PSI enabled (boot parameter psi=1)",
		Remedy: "psi=1 on the kernel's command line: GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub and a restart",
	}
}
