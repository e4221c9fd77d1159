package procfs

import (
	"slices"
	"strings"
)

// Variable returns one variable of the environment a program was started
// with, or "". Nothing else of /proc/PID/environ is kept.
func (r *FS) Variable(pid int, name string) string {
	b, err := r.Read(pid, "environ")
	if err != nil {
		return ""
	}
	for kv := range strings.SplitSeq(string(b), "\x00") {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// Groups returns the paths of /proc/PID/cgroup; none if it cannot be read.
func (r *FS) Groups(pid int) []string {
	b, err := r.Read(pid, "cgroup")
	if err != nil {
		return nil
	}
	return ParseGroups(b)
}

// ParseGroups returns the paths in /proc/PID/cgroup, "hierarchy:controllers:path".
func ParseGroups(b []byte) []string {
	var paths []string
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 && f[2] != "/" && !slices.Contains(paths, f[2]) {
			paths = append(paths, f[2])
		}
	}
	return paths
}
