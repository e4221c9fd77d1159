package collectors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/procfs"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

var (
	hostMemoryUsage = gauge("host_memory_usage_ratio", "Used share (0 to 1) of the host's memory: 1 - MemAvailable/MemTotal.")
	hostCPUUsage    = gauge("host_cpu_usage_ratio", "Busy share (0 to 1) of the host's CPU time over the last minute; iowait counts as idle, steal counts as busy.")
)

const (
	// cpuWindow is the time over which the CPU usage is averaged.
	cpuWindow = time.Minute
	// cpuStep is the least time between two readings that are compared: closer ones
	// differ by a few ticks of 10 ms only.
	cpuStep = time.Second
	// maxCPUReadings is enough for one reading per step, and one before the window.
	maxCPUReadings = int(cpuWindow/cpuStep) + 2
)

// Host is the collector "host": the memory and CPU usage of the whole host, from
// /proc/meminfo and /proc/stat.
type Host struct {
	proc string

	mu   sync.Mutex
	past []cpuReading // oldest first, at most maxCPUReadings
}

// cpuReading is the first line of /proc/stat at one time, in clock ticks.
type cpuReading struct {
	at          time.Time
	busy, total uint64
}

// NewHost returns the collector "host" for the procfs mounted at procRoot.
func NewHost(procRoot string) *Host { return &Host{proc: procRoot} }

// Name implements [Collector].
func (h *Host) Name() string { return "host" }

// Descs implements [Collector].
func (h *Host) Descs() []*prometheus.Desc { return descs(hostMemoryUsage, hostCPUUsage) }

// Collect implements [Collector]. The CPU usage is missing until there are two
// readings a second apart.
func (h *Host) Collect(context.Context) (Sample, error) {
	var s Sample
	return s, errors.Join(h.memory(&s), h.cpu(&s))
}

// memory adds to s the used share of the host's memory, from 0 to 1, and to the state its
// size in bytes. An [Unavailable] with reason [Unsupported]: the kernel does not report
// MemAvailable, or no total.
func (h *Host) memory(s *Sample) error {
	proc, err := procfs.NewFS(h.proc)
	if err != nil {
		return fileError("the host's memory", err)
	}
	m, err := proc.Meminfo()
	if err != nil {
		return fileError("the host's memory", err)
	}
	if m.MemTotal == nil || m.MemAvailable == nil || *m.MemTotal == 0 {
		return &Unavailable{Reason: Unsupported, Detail: "the host's memory: this kernel does not report MemAvailable"}
	}
	s.State.Host.Total = model.Known(float64(*m.MemTotal) * 1024)
	s.set(&s.State.Host.Memory, hostMemoryUsage, 1-float64(*m.MemAvailable)/float64(*m.MemTotal))
	return nil
}

// cpu adds the CPU usage of the host to s, from 0 to 1; nothing, and no error, as long as
// [Host.usage] returns false, such as before there are two readings a second apart.
func (h *Host) cpu(s *Sample) error {
	f, err := os.Open(filepath.Join(h.proc, "stat"))
	if err != nil {
		return fileError("the host's CPU", err)
	}
	defer func() { _ = f.Close() }()
	// The first line is the sum of all CPUs; the rest grows with CPUs and interrupts.
	var buf [512]byte
	n, err := io.ReadFull(f, buf[:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fileError("the host's CPU", err)
	}
	now, err := parseCPULine(buf[:n])
	if err != nil {
		return fmt.Errorf("the host's CPU: %w", err)
	}
	now.at = time.Now()
	if v, ok := h.usage(now); ok {
		s.set(&s.State.Host.CPU, hostCPUUsage, v)
	}
	return nil
}

// usage stores the reading now and returns the CPU usage, from 0 to 1, since the reading
// of a minute ago, or the oldest one if that is newer; false if there is none, or
// [cpuReading.since] returns false for it.
func (h *Host) usage(now cpuReading) (ratio float64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	// Of the readings older than the window only the youngest is of use.
	for len(h.past) > 1 && now.at.Sub(h.past[1].at) >= cpuWindow {
		h.past = append(h.past[:0], h.past[1:]...)
	}
	if len(h.past) > 0 {
		ratio, ok = now.since(h.past[0])
	}
	if n := len(h.past); n == 0 || now.at.Sub(h.past[n-1].at) >= cpuStep {
		if n == maxCPUReadings {
			h.past = append(h.past[:0], h.past[1:]...)
		}
		h.past = append(h.past, now)
	}
	return ratio, ok
}

// since returns which part of the CPU time between two readings was busy, from 0 to 1;
// false if they are less than a second apart, the total did not grow or the busy time went
// back (as when a CPU is removed).
func (r cpuReading) since(old cpuReading) (float64, bool) {
	if r.at.Sub(old.at) < cpuStep || r.total <= old.total || r.busy < old.busy {
		return 0, false
	}
	return min(float64(r.busy-old.busy)/float64(r.total-old.total), 1), true
}

// parseCPULine returns the busy and total CPU time, in clock ticks, of the line "cpu user
// nice system idle iowait irq softirq steal …" in /proc/stat, without a time of reading.
// Idle and iowait are not busy; guest time is in user and nice. An error: the first line is
// another one, has no end, fewer than four fields, or one of its first eight is no number.
func parseCPULine(b []byte) (cpuReading, error) {
	line, _, complete := bytes.Cut(b, []byte("\n"))
	rest, found := bytes.CutPrefix(line, []byte("cpu "))
	if !complete || !found {
		return cpuReading{}, fmt.Errorf("/proc/stat: unexpected first line %q", line[:min(len(line), 32)])
	}
	var r cpuReading
	n := 0
	for field := range bytes.FieldsSeq(rest) {
		if n == 8 {
			break
		}
		v, err := strconv.ParseUint(string(field), 10, 63)
		if err != nil {
			return cpuReading{}, fmt.Errorf("/proc/stat: %w", err)
		}
		r.total += v
		if n != 3 && n != 4 { // idle, iowait
			r.busy += v
		}
		n++
	}
	if n < 4 {
		return cpuReading{}, fmt.Errorf("/proc/stat: %d CPU fields, too few", n)
	}
	return r, nil
}

// fileError returns an error of reading one of the kernel's files: as an [Unavailable] if
// the file is missing or may not be read, else wrapped with what.
func fileError(what string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return &Unavailable{Reason: Permission, Detail: what + ": " + err.Error()}
	case errors.Is(err, fs.ErrNotExist):
		return &Unavailable{Reason: NotFound, Detail: what + ": " + err.Error()}
	default:
		return fmt.Errorf("%s: %w", what, err)
	}
}
