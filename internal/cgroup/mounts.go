package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// ErrOutside is the error if a process is in a group that cannot be read: outside the
// exporter's cgroup namespace, or not below a mounted hierarchy.
var ErrOutside = errors.New("the control group is outside the mounted hierarchy")

var (
	errNotMounted = errors.New("the control group hierarchy is not mounted")
	errMalformed  = errors.New("malformed line")
)

// maxMounts is the maximum number of hierarchies of a mount table.
const maxMounts = 256

// mount is one mounted hierarchy.
type mount struct {
	v2          bool
	controllers []string // of version 1
	root        string   // the group that is mounted at dir
	dir         string
}

// parseMounts returns the control group mounts of /proc/PID/mountinfo, the first 256. Malformed
// lines are skipped.
func parseMounts(b []byte) []mount {
	var out []mount
	for line := range bytes.Lines(b) {
		left, right, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), " - ")
		if !ok || len(out) == maxMounts {
			continue
		}
		f, end := strings.Fields(left), strings.Fields(right)
		if len(f) < 6 || len(end) < 3 {
			continue
		}
		m := mount{root: unescape(f[3]), dir: unescape(f[4])}
		switch end[0] {
		case "cgroup2":
			m.v2 = true
		case "cgroup":
			m.controllers = strings.Split(end[2], ",")
		default:
			continue
		}
		out = append(out, m)
	}
	return out
}

// unescape returns a path without mountinfo's octal escapes of space, tab, newline and
// backslash.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// relocate returns the mounts with their paths as this process sees them; it does not check
// that they exist. Those below sys come first. If sys is "/sys", all others follow as they
// are; else those below /sys follow, moved below sys, and any other is left out.
func relocate(all []mount, sys string) []mount {
	out := make([]mount, 0, len(all))
	for _, m := range all {
		if isBelow(m.dir, sys) {
			out = append(out, m)
		}
	}
	for _, m := range all {
		switch {
		case isBelow(m.dir, sys):
		case sys == "/sys":
			out = append(out, m)
		case isBelow(m.dir, "/sys"):
			m.dir = filepath.Join(sys, strings.TrimPrefix(m.dir, "/sys"))
			out = append(out, m)
		}
	}
	return out
}

// isBelow reports whether dir is top or a directory below it.
func isBelow(dir, top string) bool {
	return dir == top || strings.HasPrefix(dir, strings.TrimSuffix(top, "/")+"/")
}

// membership is a process's /proc/PID/cgroup: the path in each hierarchy, "" if it is
// not in that.
type membership struct {
	unified, systemd, memory, cpu string
}

// parseMembership returns the paths in /proc/PID/cgroup, whose lines are
// hierarchy-ID:controllers:path, of version 2 and of memory, cpu and systemd of version 1.
// errMalformed: a line has another form, or there is no line of these.
func parseMembership(b []byte) (membership, error) {
	var m membership
	for line := range bytes.Lines(b) {
		f := strings.SplitN(strings.TrimSuffix(string(line), "\n"), ":", 3)
		if len(f) != 3 || !strings.HasPrefix(f[2], "/") {
			return membership{}, fmt.Errorf("%w: %q", errMalformed, line)
		}
		if f[0] == "0" && f[1] == "" {
			m.unified = f[2]
			continue
		}
		for c := range strings.SplitSeq(f[1], ",") {
			switch c {
			case "memory":
				m.memory = f[2]
			case "cpu":
				m.cpu = f[2]
			case "name=systemd":
				m.systemd = f[2]
			}
		}
	}
	if m == (membership{}) {
		return m, fmt.Errorf("%w: no control group", errMalformed)
	}
	return m, nil
}

// group returns the directories of a membership. A controller of version 1 takes
// precedence over version 2: the kernel has each controller in one hierarchy only.
// [ErrOutside]: the group is empty. errNotMounted: only the part of that controller is.
func (m membership) group(mounts []mount) (Group, error) {
	var g Group
	for _, p := range []string{m.unified, m.systemd, m.memory, m.cpu} {
		if g.path == "" || g.path == "/" && p != "" {
			g.path = p
		}
	}
	var err1, err2 error
	g.memory, err1 = findDir(mounts, "memory", m.memory, m.unified)
	g.cpu, err2 = findDir(mounts, "cpu", m.cpu, m.unified)
	for _, err := range []error{err1, err2} {
		if errors.Is(err, ErrOutside) {
			return Group{}, err
		}
	}
	return g, errors.Join(err1, err2)
}

// findDir returns the directory of a controller: by the path v1 in version 1, or if that
// is "" by the path unified in version 2. errNotMounted: no hierarchy of that version is
// mounted, or neither path is given. [ErrOutside]: one is mounted, but the path is not
// below it.
func findDir(mounts []mount, controller, v1, unified string) (hierarchyDir, error) {
	path, v2 := v1, false
	if v1 == "" {
		path, v2 = unified, true
	}
	err := fmt.Errorf("%s: %w", controller, errNotMounted)
	if path == "" {
		return hierarchyDir{}, err
	}
	for _, m := range mounts {
		if m.v2 != v2 || !v2 && !slices.Contains(m.controllers, controller) {
			continue
		}
		rest, ok := relativeTo(path, m.root)
		if ok {
			return hierarchyDir{v2: v2, top: m.dir, dir: filepath.Join(m.dir, rest)}, nil
		}
		err = fmt.Errorf("%s: %s below %s: %w", controller, path, m.root, ErrOutside)
	}
	return hierarchyDir{}, err
}

// relativeTo returns the rest of path below the mounted root. ok is false if path is not
// below it, or leads out of it by "..". Both are relative to the exporter's cgroup
// namespace and may begin with "/..".
func relativeTo(path, root string) (rest string, ok bool) {
	if !isBelow(path, root) {
		return "", false
	}
	rest = strings.TrimPrefix(path, strings.TrimSuffix(root, "/"))
	for part := range strings.SplitSeq(rest, "/") {
		if part == ".." {
			return "", false
		}
	}
	return rest, true
}
