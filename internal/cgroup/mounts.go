package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// ErrOutside says that a process is in a group that cannot be reached from
// here: outside our cgroup namespace, or not below what is mounted.
var ErrOutside = errors.New("the control group is outside the mounted hierarchy")

var (
	errNotMounted = errors.New("the control group hierarchy is not mounted")
	errLine       = errors.New("malformed line")
)

// maxMounts bounds the hierarchies kept of a mount table.
const maxMounts = 256

// mount is one mounted hierarchy.
type mount struct {
	v2          bool
	controllers []string // of version 1
	root        string   // which group appears at dir
	dir         string
}

// parseMounts keeps the control group mounts of /proc/PID/mountinfo. A line
// that it does not understand is none.
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

// unescape undoes mountinfo's octal escapes of blank, tab, newline and backslash.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// relocate turns mount points into directories that can be opened here. If
// sysfs is elsewhere (the host's, mounted into a container), what our own
// mount table has below that comes first, and what it has below /sys is looked
// for there.
func relocate(all []mount, sys string) []mount {
	out := make([]mount, 0, len(all))
	for _, m := range all {
		if below(m.dir, sys) {
			out = append(out, m)
		}
	}
	for _, m := range all {
		switch {
		case below(m.dir, sys):
		case sys == "/sys":
			out = append(out, m)
		case below(m.dir, "/sys"):
			m.dir = filepath.Join(sys, strings.TrimPrefix(m.dir, "/sys"))
			out = append(out, m)
		}
	}
	return out
}

func below(dir, top string) bool {
	return dir == top || strings.HasPrefix(dir, strings.TrimSuffix(top, "/")+"/")
}

// membership is a process's /proc/PID/cgroup: the path in each hierarchy, ""
// where it is in none.
type membership struct {
	unified, systemd, memory, cpu string
}

// parseMembership reads lines of hierarchy-ID:controllers:path.
func parseMembership(b []byte) (membership, error) {
	var m membership
	for line := range bytes.Lines(b) {
		f := strings.SplitN(strings.TrimSuffix(string(line), "\n"), ":", 3)
		if len(f) != 3 || !strings.HasPrefix(f[2], "/") {
			return membership{}, fmt.Errorf("%w: %q", errLine, line)
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
		return m, fmt.Errorf("%w: no control group", errLine)
	}
	return m, nil
}

// group finds the directories. A controller of version 1 wins over version 2:
// the kernel gives a controller to one hierarchy only.
func (m membership) group(mounts []mount) (Group, error) {
	var g Group
	for _, p := range []string{m.unified, m.systemd, m.memory, m.cpu} {
		if g.path == "" || g.path == "/" && p != "" {
			g.path = p
		}
	}
	var err1, err2 error
	g.memory, err1 = find(mounts, "memory", m.memory, m.unified)
	g.cpu, err2 = find(mounts, "cpu", m.cpu, m.unified)
	for _, err := range []error{err1, err2} {
		if errors.Is(err, ErrOutside) {
			return Group{}, err
		}
	}
	return g, errors.Join(err1, err2)
}

func find(mounts []mount, controller, v1, unified string) (place, error) {
	path, v2 := v1, false
	if v1 == "" {
		path, v2 = unified, true
	}
	err := fmt.Errorf("%s: %w", controller, errNotMounted)
	if path == "" {
		return place{}, err
	}
	for _, m := range mounts {
		if m.v2 != v2 || !v2 && !slices.Contains(m.controllers, controller) {
			continue
		}
		rest, ok := within(path, m.root)
		if ok {
			return place{v2: v2, top: m.dir, dir: filepath.Join(m.dir, rest)}, nil
		}
		err = fmt.Errorf("%s: %s below %s: %w", controller, path, m.root, ErrOutside)
	}
	return place{}, err
}

// within gives path relative to the mounted root. Both are as seen from our
// cgroup namespace and may begin with "/..".
func within(path, root string) (rest string, ok bool) {
	if !below(path, root) {
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
