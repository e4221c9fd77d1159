package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
)

// ErrShape means that the content of a file is not as proc(5) describes it. Each
// parser wraps it.
var ErrShape = errors.New("unexpected form")

// Stat is the used fields of /proc/PID/stat (proc_pid_stat(5)). Times are in clock
// ticks of 1/100 s; Start counts from the boot, RSS is in pages.
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

// PageSize returns the size of a memory page in bytes, the unit of Stat.RSS.
func PageSize() uint64 { return uint64(os.Getpagesize()) }

// kernelThread is PF_KTHREAD of linux/sched.h. A process id of 2, or a parent of
// that number, is no proof: in a PID namespace any process may have it.
const kernelThread = 0x00200000

// cutComm returns the command's name in /proc/PID/stat and the rest, from the blank
// behind its bracket on; ok is false if there is no name, or less than three bytes
// follow. The name may contain blanks and brackets, so it ends at the last bracket.
func cutComm(b []byte) (name, rest []byte, ok bool) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open || end+4 > len(b) {
		return nil, nil, false
	}
	return b[open+1 : end], b[end+1:], true
}

// ParseStat returns the used fields of /proc/PID/stat. [ErrShape]: a field is missing or
// no number.
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

// set sets a field of /proc/PID/stat by its number; false if the text is no valid number.
// A field that [Stat] does not have is ignored: true.
func (s *Stat) set(field int, b []byte) bool {
	switch field {
	case 4, 7, 9, 14, 15, 20, 22, 24:
	default:
		return true
	}
	v, ok := parseDecimal(b)
	switch field {
	case 4:
		s.PPID, ok = int(v), ok && v <= math.MaxInt32
	case 7:
		s.TTY = v
	case 9:
		s.Kernel = v&kernelThread != 0
	case 14:
		s.UTime = v
	case 15:
		s.STime = v
	case 20:
		s.Threads, ok = int(v), ok && v <= math.MaxInt32
	case 22:
		s.Start = v
	case 24:
		s.RSS = v
	}
	return ok
}

// parseDecimal returns a decimal number of at most 19 digits; 0 for what begins with "-",
// as the kernel prints some of these fields signed; ok is false for anything else.
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

// ParseCmdline returns the arguments in /proc/PID/cmdline; nil if it is empty. Of
// a process that set its title it is one string, without the blanks and zeros that
// pad it.
func ParseCmdline(b []byte) []string {
	s := strings.TrimRight(string(b), "\x00 ")
	if s == "" {
		return nil
	}
	return strings.Split(s, "\x00")
}

// ParseMaxFiles returns the soft limit "Max open files" in /proc/PID/limits; 0 for
// "unlimited". [ErrShape]: there is no such line, or it has no number.
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

// ParseSocketLink returns the inode in a link target of /proc/PID/fd,
// "socket:[123]"; ok is false for a descriptor that is no socket.
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
