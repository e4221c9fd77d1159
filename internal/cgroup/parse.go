package cgroup

import (
	"bytes"
	"fmt"
	"strconv"
)

// noLimitV1 is the value from which on version 1 means no limit: it writes the largest
// number of whole pages, which depends on the page size.
const noLimitV1 = 1 << 62

// parseNumber returns the one unsigned number that a file has. errMalformed: the file has
// anything else.
func parseNumber(b []byte) (uint64, error) {
	n, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %q", errMalformed, truncate(b))
	}
	return n, nil
}

// parseMemoryLimit returns the limit in bytes of memory.max or memory.limit_in_bytes. ok
// is false and err nil if there is no limit: "max", or a number from noLimitV1 on.
func parseMemoryLimit(b []byte) (limit uint64, ok bool, err error) {
	if string(bytes.TrimSpace(b)) == "max" {
		return 0, false, nil
	}
	n, err := parseNumber(b)
	if err != nil || n >= noLimitV1 {
		return 0, false, err
	}
	return n, true, nil
}

// parseCPUMax returns the limit in cores of version 2's cpu.max, "200000 100000" or
// "max 100000"; ok is false for no limit.
func parseCPUMax(b []byte) (cores float64, ok bool, err error) {
	f := bytes.Fields(b)
	if len(f) != 2 {
		return 0, false, fmt.Errorf("%w: %q", errMalformed, truncate(b))
	}
	if string(f[0]) == "max" {
		return 0, false, nil
	}
	return parseQuota(f[0], f[1])
}

// parseQuota returns the limit in cores of a quota per period, both in microseconds; ok
// is false for no limit, which in version 1 is a negative quota. errMalformed: one is no
// number, or is 0.
func parseQuota(quota, period []byte) (cores float64, ok bool, err error) {
	q, err := strconv.ParseInt(string(bytes.TrimSpace(quota)), 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("%w: quota %q", errMalformed, truncate(quota))
	}
	if q < 0 {
		return 0, false, nil
	}
	p, err := parseNumber(period)
	if err != nil || p == 0 || q == 0 {
		return 0, false, fmt.Errorf("%w: quota %q of %q", errMalformed, truncate(quota), truncate(period))
	}
	return float64(q) / float64(p), true, nil
}

// field returns the number in the line "name number" of a flat keyed file such as
// memory.stat; ok is false if there is no such line or its value is no number.
func field(b []byte, name string) (n uint64, ok bool) {
	for len(b) > 0 {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte("\n"))
		if len(line) > len(name)+1 && line[len(name)] == ' ' && string(line[:len(name)]) == name {
			n, err := strconv.ParseUint(string(line[len(name)+1:]), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// truncate returns at most 64 bytes of b, for the text of an error.
func truncate(b []byte) []byte { return b[:min(len(b), 64)] }
