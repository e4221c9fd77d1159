package procfs

import (
	"bytes"
	"fmt"
	"math"
	"time"
)

// Syscall is the system call that a thread is in, from
// /proc/PID/task/TID/syscall.
type Syscall struct {
	Running bool // on a CPU or ready to be: the file has no call
	NR      int  // number of the system call; -1: blocked outside of one
	Args    [6]uint64
}

// ParseSyscall returns the call in /proc/PID/task/TID/syscall: "running", "-1 0xSP 0xPC"
// or "NR 0xA 0xB 0xC 0xD 0xE 0xF 0xSP 0xPC". NR is −1 for the first two. Any other form is
// an [ErrShape].
func ParseSyscall(b []byte) (Syscall, error) {
	var f [9][]byte
	n := 0
	for rest := b; ; n++ {
		rest = bytes.TrimLeft(rest, " \n")
		if len(rest) == 0 {
			break
		}
		if n == len(f) {
			return Syscall{}, errSyscall
		}
		end := bytes.IndexAny(rest, " \n")
		if end < 0 {
			end = len(rest)
		}
		f[n], rest = rest[:end], rest[end:]
	}
	switch {
	case n == 1 && string(f[0]) == "running":
		return Syscall{Running: true, NR: -1}, nil
	case n >= 3 && string(f[0]) == "-1":
		return Syscall{NR: -1}, nil
	case n != len(f):
		return Syscall{}, errSyscall
	}
	nr, ok := parseDecimal(f[0])
	if !ok || f[0][0] == '-' || nr > math.MaxInt32 {
		return Syscall{}, errSyscall
	}
	c := Syscall{NR: int(nr)}
	for i := range c.Args {
		if c.Args[i], ok = parseHex(f[i+1]); !ok {
			return Syscall{}, errSyscall
		}
	}
	return c, nil
}

// errSyscall is the error of ParseSyscall.
var errSyscall = fmt.Errorf("syscall: %w", ErrShape)

// parseHex returns a number such as "0x7f" or "7f", of at most 16 digits; ok is false for
// anything else.
func parseHex(b []byte) (v uint64, ok bool) {
	b = bytes.TrimPrefix(b, []byte("0x"))
	if len(b) == 0 || len(b) > 16 {
		return 0, false
	}
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		case c >= 'A' && c <= 'F':
			v = v<<4 | uint64(c-'A'+10)
		default:
			return 0, false
		}
	}
	return v, true
}

// ParseEpollFDs returns the descriptors in an epoll set: the lines "tfd:" of
// /proc/PID/fdinfo/N; none for another file.
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

// SchedTimes is the totals of one thread since it began, from
// /proc/PID/task/TID/schedstat.
type SchedTimes struct {
	Run    time.Duration // on a CPU
	Delay  time.Duration // ready to run without one; the kernel adds it when the thread is put on a CPU
	Slices uint64        // how often it was put on a CPU
}

// ParseSchedTimes returns the totals in /proc/PID/task/TID/schedstat: how long the thread
// ran and waited to run, and how often it ran. Any other form is an [ErrShape].
func ParseSchedTimes(b []byte) (SchedTimes, error) {
	var v [3]uint64
	for i := range v {
		b = bytes.TrimLeft(b, " \n")
		end := bytes.IndexAny(b, " \n")
		if end < 0 {
			end = len(b)
		}
		var ok bool
		if v[i], ok = parseDecimal(b[:end]); !ok {
			return SchedTimes{}, errSchedstat
		}
		b = b[end:]
	}
	if len(bytes.TrimSpace(b)) > 0 {
		return SchedTimes{}, errSchedstat
	}
	return SchedTimes{Run: time.Duration(v[0]), Delay: time.Duration(v[1]), Slices: v[2]}, nil
}

// errSchedstat is the error of ParseSchedTimes.
var errSchedstat = fmt.Errorf("schedstat: %w", ErrShape)
