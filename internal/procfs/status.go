package procfs

import (
	"bytes"
	"fmt"
	"strconv"
)

// Status is the memory in /proc/PID/status (proc_pid_status(5)), in bytes. It is counted
// as pages are mapped, so that reading it walks none.
type Status struct {
	RSS  uint64 // VmRSS
	Anon uint64 // RssAnon
	Swap uint64 // VmSwap
}

// ParseStatus returns the memory in /proc/PID/status, in bytes; swap is 0 if the file does
// not have it. A file without VmRSS or RssAnon, as a process that ends has, is [ErrShape].
func ParseStatus(b []byte) (Status, error) {
	var s Status
	found := 0
	for line := range bytes.Lines(b) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		var to *uint64
		switch string(name) {
		case "VmRSS":
			to = &s.RSS
			found++
		case "RssAnon":
			to = &s.Anon
			found++
		case "VmSwap":
			to = &s.Swap
		default:
			continue
		}
		number, unit, _ := bytes.Cut(bytes.TrimSpace(value), []byte(" "))
		n, err := strconv.ParseUint(string(number), 10, 50)
		if err != nil || string(unit) != "kB" {
			return Status{}, fmt.Errorf("status: %w: %q", ErrShape, line)
		}
		*to = n * 1024
	}
	if found != 2 {
		return Status{}, fmt.Errorf("status: %w: no memory", ErrShape)
	}
	return s, nil
}
