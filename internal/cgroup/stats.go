package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Stats is the limits and the usage of a group. A nil field is not known, or not
// limited.
type Stats struct {
	// MemoryLimit is the smallest limit in bytes of the group and its ancestors
	// (memory.max; memory.limit_in_bytes and hierarchical_memory_limit). It may
	// be more than the host has.
	MemoryLimit *uint64
	// MemoryCurrent and MemoryInactiveFile are the bytes in use, and those of them
	// that are inactive file cache. They are of the group with the effective limit, so
	// that they can be compared with it; without a limit, of the group itself.
	MemoryCurrent      *uint64
	MemoryInactiveFile *uint64
	// CPULimit is the smallest quota in cores of the group and its ancestors
	// (cpu.max; cpu.cfs_quota_us).
	CPULimit *float64
	// ThrottledSeconds and NrThrottled are how long and in how many periods the group
	// with the effective quota was throttled; without a quota, the group itself
	// (cpu.stat). Both versions add the times of all CPUs.
	ThrottledSeconds *float64
	NrThrottled      *uint64
	// OOMKills is the number of processes of the group that the kernel killed because it
	// was out of memory (memory.events, memory.oom_control).
	OOMKills *uint64
}

// WorkingSet returns the memory in bytes without inactive file cache, which the kernel can
// reclaim: MemoryCurrent minus MemoryInactiveFile, not below 0. It is the working set of
// kubelet and cAdvisor. ok is false if one of the two is not known.
func (s Stats) WorkingSet() (bytes uint64, ok bool) {
	if s.MemoryCurrent == nil || s.MemoryInactiveFile == nil {
		return 0, false
	}
	// The two are read one after the other, so the second may be larger.
	return *s.MemoryCurrent - min(*s.MemoryCurrent, *s.MemoryInactiveFile), true
}

// Read returns the limits and the usage of a group. A field that its controllers do not
// have is nil without an error; one that could not be read is nil, and the error has its
// path. If the group does not exist any more, the error is fs.ErrNotExist.
func (f *FS) Read(g Group) (Stats, error) {
	r := reader{}
	var s Stats
	if g.memory.dir != "" && r.exists(g.memory.dir) {
		r.readMemory(g.memory, &s)
	}
	if g.cpu.dir != "" && (g.cpu.dir == g.memory.dir || r.exists(g.cpu.dir)) {
		r.readCPU(g.cpu, &s)
	}
	if r.err != nil {
		return s, fmt.Errorf("group %s: %w", g.path, r.err)
	}
	return s, nil
}

// reader reads several files and joins their errors.
type reader struct {
	file file
	err  error
}

// addError joins an error to those of the earlier reads.
func (r *reader) addError(err error) { r.err = errors.Join(r.err, err) }

// readFile returns the content of one file of a group. nil: there is none, or the read
// failed, which is then in r.err.
func (r *reader) readFile(dir, name string) []byte {
	b, err := r.file.read(dir + "/" + name)
	switch {
	case err == nil && b != nil:
		return b
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		r.addError(err)
	}
	return nil
}

// readMemory sets the limit, the usage and the counters of memory in s. What cannot be
// read stays nil, with the error in r.err.
func (r *reader) readMemory(p hierarchyDir, s *Stats) {
	names := memoryNames{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "memory.oom_control"}
	if p.v2 {
		names = memoryNames{"memory.max", "memory.current", "inactive_file", "memory.events"}
	}
	if b := r.readFile(p.dir, names.events); b != nil {
		s.OOMKills = pointerIf(field(b, "oom_kill"))
	}
	at := r.effectiveDir(p, func(dir string) (float64, bool) {
		b := r.readFile(dir, names.limit)
		if b == nil {
			return 0, false
		}
		n, ok, err := parseMemoryLimit(b)
		if err != nil {
			r.addError(fmt.Errorf("%s/%s: %w", dir, names.limit, err))
		}
		if ok && (s.MemoryLimit == nil || n <= *s.MemoryLimit) {
			s.MemoryLimit = &n
		}
		return float64(n), ok
	})
	if !p.v2 {
		r.applyHierarchicalLimit(p, s)
	}
	if b := r.readFile(at, names.current); b != nil {
		n, err := parseNumber(b)
		if err != nil {
			r.addError(fmt.Errorf("%s/%s: %w", at, names.current, err))
		}
		s.MemoryCurrent = pointerIf(n, err == nil)
	}
	if b := r.readFile(at, "memory.stat"); b != nil {
		s.MemoryInactiveFile = pointerIf(field(b, names.inactive))
	}
}

// memoryNames is the names of files and fields in one version.
type memoryNames struct{ limit, current, inactive, events string }

// applyHierarchicalLimit sets MemoryLimit to version 1's minimum of the limits of all
// ancestors if that is smaller: it includes ancestors that are not mounted here.
func (r *reader) applyHierarchicalLimit(p hierarchyDir, s *Stats) {
	b := r.readFile(p.dir, "memory.stat")
	n, ok := field(b, "hierarchical_memory_limit")
	if ok && n < noLimitV1 && (s.MemoryLimit == nil || n < *s.MemoryLimit) {
		s.MemoryLimit = &n
	}
}

// readCPU sets the limit and the counters of the CPU in s. What cannot be read stays nil,
// with the error in r.err.
func (r *reader) readCPU(p hierarchyDir, s *Stats) {
	at := r.effectiveDir(p, func(dir string) (float64, bool) {
		cores, ok, err := r.readQuota(p.v2, dir)
		if err != nil {
			r.addError(fmt.Errorf("%s/cpu quota: %w", dir, err))
		}
		if ok && (s.CPULimit == nil || cores <= *s.CPULimit) {
			s.CPULimit = &cores
		}
		return cores, ok
	})
	b := r.readFile(at, "cpu.stat")
	s.NrThrottled = pointerIf(field(b, "nr_throttled"))
	name, unit := "throttled_time", 1e-9
	if p.v2 {
		name, unit = "throttled_usec", 1e-6
	}
	if n, ok := field(b, name); ok {
		seconds := float64(n) * unit
		s.ThrottledSeconds = &seconds
	}
}

// readQuota returns the limit in cores that one directory sets. ok is false and err nil
// if it sets none, has no such file, or that cannot be read, which is in r.err.
func (r *reader) readQuota(v2 bool, dir string) (cores float64, ok bool, err error) {
	if v2 {
		if b := r.readFile(dir, "cpu.max"); b != nil {
			return parseCPUMax(b)
		}
		return 0, false, nil
	}
	b := r.readFile(dir, "cpu.cfs_quota_us")
	if b == nil {
		return 0, false, nil
	}
	quota := string(b)
	b = r.readFile(dir, "cpu.cfs_period_us")
	if b == nil {
		return 0, false, nil
	}
	return parseQuota([]byte(quota), b)
}

// effectiveDir returns the directory with the smallest limit of the group and its
// ancestors; of two equal limits the outer one, which applies to more processes; without
// a limit the group itself.
func (r *reader) effectiveDir(p hierarchyDir, limit func(dir string) (float64, bool)) string {
	at, least := p.dir, 0.0
	found := false
	for dir := p.dir; isBelow(dir, p.top); dir = filepath.Dir(dir) {
		if v, ok := limit(dir); ok && (!found || v <= least) {
			at, least, found = dir, v, true
		}
		if dir == p.top {
			break
		}
	}
	return at
}

// pointerIf returns a pointer to n if ok is true, else nil.
func pointerIf(n uint64, ok bool) *uint64 {
	if !ok {
		return nil
	}
	return &n
}

// exists reports whether a group's directory exists and may be entered. If not, the error is
// in r.err: without the directory, every file would only seem to be absent.
func (r *reader) exists(dir string) bool {
	if err := unix.Access(dir, unix.X_OK); err != nil {
		r.addError(&os.PathError{Op: "access", Path: dir, Err: err})
		return false
	}
	return true
}

// OOMKills returns [Stats.OOMKills] of a group, without reading the rest; false: it is not
// known.
func (f *FS) OOMKills(g Group) (uint64, bool) {
	if g.memory.dir == "" {
		return 0, false
	}
	name := "memory.oom_control"
	if g.memory.v2 {
		name = "memory.events"
	}
	r := reader{}
	return field(r.readFile(g.memory.dir, name), "oom_kill")
}
