package procfs

import (
	"slices"
	"strings"
)

// Getenv returns one variable of the environment that a program was started with, in the
// first 64 KiB of /proc/PID/environ; "" if it is not set there or cannot be read. Nothing
// else of the file is kept.
func (r *FS) Getenv(pid int, name string) string {
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

// Cgroups returns the paths of the control groups of a process (/proc/PID/cgroup), as
// [ParseCgroups] does; nil too if they cannot be read.
func (r *FS) Cgroups(pid int) []string {
	b, err := r.Read(pid, "cgroup")
	if err != nil {
		return nil
	}
	return ParseCgroups(b)
}

// ParseCgroups returns the paths in /proc/PID/cgroup, in its order, each once, without the
// root "/"; nil if there are no others. A line is "hierarchy:controllers:path".
func ParseCgroups(b []byte) []string {
	var paths []string
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 && f[2] != "/" && !slices.Contains(paths, f[2]) {
			paths = append(paths, f[2])
		}
	}
	return paths
}
