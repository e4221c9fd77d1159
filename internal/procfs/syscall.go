package procfs

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Syscall is the system call that a thread is in, from
// /proc/PID/task/TID/syscall.
type Syscall struct {
	Running bool // on a CPU or ready to be: the file has no call
	NR      int  // number of the system call; -1: blocked outside of one
	Args    [6]uint64
}

// ParseSyscall returns the call in /proc/PID/task/TID/syscall: "running",
// "-1 0xSP 0xPC" or "NR 0xA 0xB 0xC 0xD 0xE 0xF 0xSP 0xPC".
func ParseSyscall(b []byte) (Syscall, error) {
	f := strings.Fields(string(b))
	if len(f) == 1 && f[0] == "running" {
		return Syscall{Running: true, NR: -1}, nil
	}
	if len(f) < 3 {
		return Syscall{}, fmt.Errorf("syscall: %w", ErrShape)
	}
	nr, err := strconv.Atoi(f[0])
	if err != nil || nr < -1 {
		return Syscall{}, fmt.Errorf("syscall: %w", ErrShape)
	}
	c := Syscall{NR: nr}
	if nr == -1 {
		return c, nil
	}
	if len(f) != 9 {
		return Syscall{}, fmt.Errorf("syscall: %w", ErrShape)
	}
	for i := range c.Args {
		if c.Args[i], err = strconv.ParseUint(strings.TrimPrefix(f[i+1], "0x"), 16, 64); err != nil {
			return Syscall{}, fmt.Errorf("syscall: %w", ErrShape)
		}
	}
	return c, nil
}

// ParseEpollFDs returns the descriptors in an epoll set: the lines "tfd:" of
// /proc/PID/fdinfo/N.
func ParseEpollFDs(b []byte) []int {
	var fds []int
	for line := range bytes.Lines(b) {
		rest, ok := bytes.CutPrefix(line, []byte("tfd:"))
		if !ok {
			continue
		}
		f := bytes.Fields(rest)
		if len(f) == 0 {
			continue
		}
		if n, ok := parseDecimal(f[0]); ok {
			fds = append(fds, int(n))
		}
	}
	return fds
}

// ParseSchedstat returns how long a thread has run or been ready to run, and how
// often it was put on a CPU (/proc/PID/task/TID/schedstat). While the count stays
// the same the thread has not woken up.
func ParseSchedstat(b []byte) (busy time.Duration, slices uint64, err error) {
	f := bytes.Fields(b)
	if len(f) != 3 {
		return 0, 0, fmt.Errorf("schedstat: %w", ErrShape)
	}
	ran, ok1 := parseDecimal(f[0])
	waited, ok2 := parseDecimal(f[1])
	slices, ok3 := parseDecimal(f[2])
	if !ok1 || !ok2 || !ok3 {
		return 0, 0, fmt.Errorf("schedstat: %w", ErrShape)
	}
	return time.Duration(ran) + time.Duration(waited), slices, nil
}
