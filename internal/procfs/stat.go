package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrShape is wrapped by every parser here when a file is not what proc(5) says.
var ErrShape = errors.New("unexpected form")

// Stat is what we use of /proc/PID/stat (proc_pid_stat(5)). Times are in clock
// ticks of 1/100 s, start counts from the boot, rss is in pages.
type Stat struct {
	PPID         int
	TTY          uint64 // its controlling terminal; 0: none
	UTime, STime uint64
	Threads      int
	Start        uint64
	RSS          uint64
	State        byte
	Kernel       bool // it is a thread of the kernel
}

// kernelThread is PF_KTHREAD of linux/sched.h. A process id of 2, or a parent of
// that number, is no proof: in a PID namespace any process may have it.
const kernelThread = 0x00200000

// cutComm returns the command's name in /proc/PID/stat and what is behind it. The
// name may hold blanks and brackets, so it ends at the last one.
func cutComm(b []byte) (name, rest []byte, ok bool) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open || end+4 > len(b) {
		return nil, nil, false
	}
	return b[open+1 : end], b[end+1:], true
}

// ParseStat reads /proc/PID/stat.
func ParseStat(b []byte) (Stat, error) {
	_, rest, ok := cutComm(b)
	if !ok {
		return Stat{}, fmt.Errorf("stat: %w", ErrShape)
	}
	s := Stat{State: rest[1]}
	rest = rest[2:]
	for field := 4; field <= 24; field++ {
		rest = bytes.TrimLeft(rest, " ")
		n := bytes.IndexAny(rest, " \n")
		if n < 0 {
			n = len(rest)
		}
		if n == 0 {
			return Stat{}, fmt.Errorf("stat: field %d: %w", field, ErrShape)
		}
		if !s.set(field, rest[:n]) {
			return Stat{}, fmt.Errorf("stat: field %d: %w", field, ErrShape)
		}
		rest = rest[n:]
	}
	return s, nil
}

func (s *Stat) set(field int, b []byte) bool {
	switch field {
	case 4, 7, 9, 14, 15, 20, 22, 24:
	default:
		return true
	}
	v, ok := parseDecimal(b)
	switch field {
	case 4:
		s.PPID = int(v)
	case 7:
		s.TTY = v
	case 9:
		s.Kernel = v&kernelThread != 0
	case 14:
		s.UTime = v
	case 15:
		s.STime = v
	case 20:
		s.Threads = int(v)
	case 22:
		s.Start = v
	case 24:
		s.RSS = v
	}
	return ok
}

// parseDecimal reads a decimal number without a sign; a leading minus counts as 0,
// for the kernel prints some of these fields as signed.
func parseDecimal(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	if b[0] == '-' {
		return 0, len(b) > 1
	}
	var v uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	return v, true
}

// ParseCmdline splits /proc/PID/cmdline. A process that set its title leaves
// one string, often padded with blanks or zeros.
func ParseCmdline(b []byte) []string {
	s := strings.TrimRight(string(b), "\x00 ")
	if s == "" {
		return nil
	}
	return strings.Split(s, "\x00")
}

// ParseMaxFiles reads the soft limit "Max open files" of /proc/PID/limits;
// unlimited returns 0.
func ParseMaxFiles(b []byte) (uint64, error) {
	for line := range bytes.Lines(b) {
		rest, ok := bytes.CutPrefix(line, []byte("Max open files"))
		if !ok {
			continue
		}
		f := bytes.Fields(rest)
		if len(f) == 0 {
			break
		}
		if string(f[0]) == "unlimited" {
			return 0, nil
		}
		if v, ok := parseDecimal(f[0]); ok {
			return v, nil
		}
		break
	}
	return 0, fmt.Errorf("limits: %w", ErrShape)
}

// ParseSocketLink reads the inode of "socket:[123]".
func ParseSocketLink(link string) (uint64, bool) {
	s, ok := strings.CutPrefix(link, "socket:[")
	if !ok {
		return 0, false
	}
	s, ok = strings.CutSuffix(s, "]")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}
