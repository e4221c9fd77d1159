package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Stats is what a group may use and does. A nil field is not known, or not
// limited.
type Stats struct {
	// MemoryLimit is the smallest limit in bytes of the group and all above it
	// (memory.max; memory.limit_in_bytes and hierarchical_memory_limit). It may
	// be more than the host has.
	MemoryLimit *uint64
	// MemoryCurrent and MemoryInactiveFile are bytes in use, and those of them
	// that are file cache not used lately, of the group whose limit binds, so
	// that they can be compared with it; without a limit, of the group itself.
	MemoryCurrent      *uint64
	MemoryInactiveFile *uint64
	// CPULimit is the smallest quota in cores of the group and all above it
	// (cpu.max; cpu.cfs_quota_us).
	CPULimit *float64
	// ThrottledSeconds and NrThrottled count how long and in how many periods
	// the group whose quota binds had used it up; without a quota, the group
	// itself (cpu.stat). Version 2 and 1 both add the times of all its CPUs.
	ThrottledSeconds *float64
	NrThrottled      *uint64
	// OOMKills counts processes of the group that the kernel killed for want of
	// memory (memory.events, memory.oom_control).
	OOMKills *uint64
}

// WorkingSet is the memory in bytes that cannot be had back by dropping cold
// file cache: current less inactive file, at the level whose limit binds. It
// is what kubelet and cAdvisor call the working set.
func (s Stats) WorkingSet() (bytes uint64, ok bool) {
	if s.MemoryCurrent == nil || s.MemoryInactiveFile == nil {
		return 0, false
	}
	// The two are read one after the other, so one may outrun the other.
	return *s.MemoryCurrent - min(*s.MemoryCurrent, *s.MemoryInactiveFile), true
}

// Read reads a group's numbers. What its controllers do not have is nil and no
// error; what could not be read is nil and in the error, with its path. If the
// group is gone the error is fs.ErrNotExist.
func (f *FS) Read(g Group) (Stats, error) {
	r := reader{}
	var s Stats
	if g.memory.dir != "" && r.exists(g.memory.dir) {
		r.memory(g.memory, &s)
	}
	if g.cpu.dir != "" && (g.cpu.dir == g.memory.dir || r.exists(g.cpu.dir)) {
		r.cpu(g.cpu, &s)
	}
	if r.err != nil {
		return s, fmt.Errorf("group %s: %w", g.path, r.err)
	}
	return s, nil
}

// reader gathers the errors of several small reads.
type reader struct {
	file file
	err  error
}

func (r *reader) fail(err error) { r.err = errors.Join(r.err, err) }

// get reads one file of a group; nil means it has none, or it failed.
func (r *reader) get(dir, name string) []byte {
	b, err := r.file.read(dir + "/" + name)
	switch {
	case err == nil && b != nil:
		return b
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		r.fail(err)
	}
	return nil
}

// memory fills the memory part. Version 1 and 2 differ in names only.
func (r *reader) memory(p place, s *Stats) {
	names := memoryNames{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "memory.oom_control"}
	if p.v2 {
		names = memoryNames{"memory.max", "memory.current", "inactive_file", "memory.events"}
	}
	if b := r.get(p.dir, names.events); b != nil {
		s.OOMKills = known(field(b, "oom_kill"))
	}
	at := r.bind(p, func(dir string) (float64, bool) {
		b := r.get(dir, names.limit)
		if b == nil {
			return 0, false
		}
		n, ok, err := parseMemoryLimit(b)
		if err != nil {
			r.fail(fmt.Errorf("%s/%s: %w", dir, names.limit, err))
		}
		if ok && (s.MemoryLimit == nil || n <= *s.MemoryLimit) {
			s.MemoryLimit = &n
		}
		return float64(n), ok
	})
	if !p.v2 {
		r.hiddenLimit(p, s)
	}
	if b := r.get(at, names.current); b != nil {
		n, err := parseNumber(b)
		if err != nil {
			r.fail(fmt.Errorf("%s/%s: %w", at, names.current, err))
		}
		s.MemoryCurrent = known(n, err == nil)
	}
	if b := r.get(at, "memory.stat"); b != nil {
		s.MemoryInactiveFile = known(field(b, names.inactive))
	}
}

type memoryNames struct{ limit, current, inactive, events string }

// hiddenLimit takes version 1's own count of all limits above, which also sees
// those above what is mounted here.
func (r *reader) hiddenLimit(p place, s *Stats) {
	b := r.get(p.dir, "memory.stat")
	n, ok := field(b, "hierarchical_memory_limit")
	if ok && n < noLimitV1 && (s.MemoryLimit == nil || n < *s.MemoryLimit) {
		s.MemoryLimit = &n
	}
}

// cpu fills the CPU part.
func (r *reader) cpu(p place, s *Stats) {
	at := r.bind(p, func(dir string) (float64, bool) {
		cores, ok, err := r.quota(p.v2, dir)
		if err != nil {
			r.fail(fmt.Errorf("%s/cpu quota: %w", dir, err))
		}
		if ok && (s.CPULimit == nil || cores <= *s.CPULimit) {
			s.CPULimit = &cores
		}
		return cores, ok
	})
	b := r.get(at, "cpu.stat")
	s.NrThrottled = known(field(b, "nr_throttled"))
	name, unit := "throttled_time", 1e-9
	if p.v2 {
		name, unit = "throttled_usec", 1e-6
	}
	if n, ok := field(b, name); ok {
		seconds := float64(n) * unit
		s.ThrottledSeconds = &seconds
	}
}

func (r *reader) quota(v2 bool, dir string) (cores float64, ok bool, err error) {
	if v2 {
		if b := r.get(dir, "cpu.max"); b != nil {
			return parseCPUMax(b)
		}
		return 0, false, nil
	}
	b := r.get(dir, "cpu.cfs_quota_us")
	if b == nil {
		return 0, false, nil
	}
	quota := string(b)
	b = r.get(dir, "cpu.cfs_period_us")
	if b == nil {
		return 0, false, nil
	}
	return parseQuota([]byte(quota), b)
}

// bind walks from the group to the top and gives the directory with the
// smallest limit; the outer one of two equals, for it holds more. Without any
// it is the group itself.
func (r *reader) bind(p place, limit func(dir string) (float64, bool)) string {
	at, least := p.dir, 0.0
	found := false
	for dir := p.dir; below(dir, p.top); dir = filepath.Dir(dir) {
		if v, ok := limit(dir); ok && (!found || v <= least) {
			at, least, found = dir, v, true
		}
		if dir == p.top {
			break
		}
	}
	return at
}

// known makes a pointer of what is ok.
func known(n uint64, ok bool) *uint64 {
	if !ok {
		return nil
	}
	return &n
}

// exists reports whether a group's directory is there, and keeps the error if
// it is not: without it every file would merely look absent.
func (r *reader) exists(dir string) bool {
	if err := unix.Access(dir, unix.X_OK); err != nil {
		r.fail(&os.PathError{Op: "access", Path: dir, Err: err})
		return false
	}
	return true
}
