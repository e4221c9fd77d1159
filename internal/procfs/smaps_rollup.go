package procfs

import (
	"bytes"
	"fmt"
)

// Memory is the memory of a process in bytes, from /proc/PID/smaps_rollup:
// resident, proportional, unique and swapped.
type Memory struct {
	RSS, PSS, USS, Swap uint64
}

// ParseSmaps returns the sums in /proc/PID/smaps_rollup ("Pss: 123 kB"), in bytes. USS is
// what no other process shares: private clean, private dirty and private huge pages. Swap
// is SwapPss where the kernel has it, else Swap. [ErrShape]: there is no Pss, or a value
// in kB is no number.
func ParseSmaps(b []byte) (Memory, error) {
	var m Memory
	var swap, swapPSS uint64
	var hasPSS, hasSwapPSS bool
	for line := range bytes.Lines(b) {
		name, rest, ok := bytes.Cut(line, []byte(":"))
		f := bytes.Fields(rest)
		if !ok || len(f) != 2 || string(f[1]) != "kB" {
			continue
		}
		kb, ok := parseDecimal(f[0])
		if !ok {
			return Memory{}, fmt.Errorf("smaps_rollup: %s: %w", name, ErrShape)
		}
		switch v := kb << 10; string(name) {
		case "Rss":
			m.RSS = v
		case "Pss":
			m.PSS, hasPSS = v, true
		case "Private_Clean", "Private_Dirty", "Private_Hugetlb":
			m.USS += v
		case "Swap":
			swap = v
		case "SwapPss":
			swapPSS, hasSwapPSS = v, true
		}
	}
	if !hasPSS {
		return Memory{}, fmt.Errorf("smaps_rollup: no Pss: %w", ErrShape)
	}
	m.Swap = swap
	if hasSwapPSS {
		m.Swap = swapPSS
	}
	return m, nil
}
