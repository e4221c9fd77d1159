package rig

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPU returns the CPU time that all threads of process pid have used so far, user and
// system, from the process's CPU clock. That clock counts nanoseconds, where
// /proc/PID/stat counts ticks of 10 ms.
func CPU(pid int) (time.Duration, error) {
	if pid <= 0 || pid > math.MaxInt32>>3 {
		return 0, fmt.Errorf("CPU clock of process %d: no such pid", pid)
	}
	// The clock's number is made of the pid's complement and the kind of clock;
	// see clock_getcpuclockid(3). Kind 2 is the scheduler's own count.
	clock := int32(^pid)<<3 | 2
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// CPUOf returns the sum of the CPU times of some processes. An error: one of them has ended.
func CPUOf(pids []int) (sum time.Duration, err error) {
	for _, pid := range pids {
		d, err := CPU(pid)
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

// Memory returns the resident set of process pid and its highest so far, in
// bytes, from VmRSS and VmHWM of /proc/PID/status.
func Memory(pid int) (rss, highest int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("memory: %w", err)
	}
	for line := range bytes.Lines(b) {
		f := strings.Fields(string(line))
		if len(f) != 3 {
			continue
		}
		kib, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			continue
		}
		switch f[0] {
		case "VmRSS:":
			rss = kib << 10
		case "VmHWM:":
			highest = kib << 10
		}
	}
	if rss == 0 {
		return 0, 0, fmt.Errorf("memory of process %d: no VmRSS", pid)
	}
	return rss, highest, nil
}

// Pin binds the calling goroutine to one CPU until it calls the returned function.
func Pin(cpu int) (unpin func(), err error) {
	runtime.LockOSThread()
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("CPUs of this thread: %w", err)
	}
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("bind to CPU %d: %w", cpu, err)
	}
	return func() {
		_ = unix.SchedSetaffinity(0, &before)
		runtime.UnlockOSThread()
	}, nil
}

// Machine returns a description of the machine in one line, with its current load.
func Machine() string {
	return fmt.Sprintf("%s, %d CPUs, Linux %s, load %s, %s", model(), runtime.NumCPU(), release(), load(), runtime.Version())
}

// load returns the load of the machine over 1, 5 and 15 minutes, or "unknown".
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	f := strings.Fields(string(b))
	return strings.Join(f[:min(3, len(f))], " ")
}

// release returns the release of the kernel, or "unknown".
func release() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}

// model returns the model of the CPU, or "unknown CPU".
func model() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown CPU"
}
