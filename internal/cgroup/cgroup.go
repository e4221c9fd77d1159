// Package cgroup reads the limits and the usage of memory and CPU of a process's control
// groups, of version 1, version 2 or both at once.
package cgroup

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// FS reads control groups. The zero value reads /proc and /sys. It is safe for
// concurrent use, and must not be copied after first use.
type FS struct {
	ProcRoot string // where procfs is mounted
	SysRoot  string // where sysfs is mounted; groups lie below its fs/cgroup

	mu     sync.Mutex
	mounts []mount // nil until first read
	read   time.Time
}

// mountsLifetime is the least time between two reads of the mount table. It is read
// again only if a hierarchy was not found.
const mountsLifetime = time.Minute

// Group is the control group of a process in each hierarchy. Groups are equal if their
// keys are.
type Group struct {
	path        string
	memory, cpu hierarchyDir
}

// hierarchyDir is a directory of one hierarchy; the zero value means there is none.
type hierarchyDir struct {
	v2  bool
	top string // where the hierarchy is mounted
	dir string // top, or a directory below it
}

// Path returns the group's path from the root of its hierarchy, as systemd shows it:
// "/system.slice/shop.service". If a process is in different groups of version 1, it is
// the first that is not "/" of the hierarchies unified, systemd, memory and CPU.
func (g Group) Path() string { return g.path }

// Key returns a key that two processes share if and only if they have the same memory
// and CPU groups. It is stable as long as the group exists; "" if neither is mounted.
func (g Group) Key() string {
	if g.memory == g.cpu {
		return g.memory.dir
	}
	return g.memory.dir + "|" + g.cpu.dir
}

// Of returns the groups of a process (/proc/PID/cgroup). The part of a controller that is
// not mounted is empty. [ErrOutside]: its hierarchy is mounted, but the group is not below
// what is mounted, as that of a process outside the exporter's cgroup namespace ("/..").
func (f *FS) Of(pid int) (Group, error) {
	name := filepath.Join(f.proc(), strconv.Itoa(pid), "cgroup")
	b, err := new(file).read(name)
	if err != nil {
		return Group{}, fmt.Errorf("groups of process %d: %w", pid, err)
	}
	m, err := parseMembership(b)
	if err != nil {
		return Group{}, fmt.Errorf("groups of process %d: %w", pid, err)
	}
	g, err := f.groupOf(m)
	if err != nil {
		return Group{}, fmt.Errorf("groups of process %d: %w", pid, err)
	}
	return g, nil
}

// groupOf returns the groups of a membership by the mount table. If a controller is not in
// the table, it reads the table again, at most once per mountsLifetime. A controller that
// is not mounted is no error: its part is empty. [ErrOutside]: as in [FS.Of].
func (f *FS) groupOf(m membership) (Group, error) {
	mounts, err := f.mountTable(false)
	if err != nil {
		return Group{}, err
	}
	g, err := m.group(mounts)
	if errors.Is(err, errNotMounted) {
		// It may have been mounted since.
		if mounts, err = f.mountTable(true); err != nil {
			return Group{}, err
		}
		g, err = m.group(mounts)
	}
	if errors.Is(err, errNotMounted) {
		err = nil
	}
	return g, err
}

// mountTable returns the mounted hierarchies. They are read at the first call, and if again
// is true once per mountsLifetime. An error: they cannot be read now; those that were read
// before are not returned then.
func (f *FS) mountTable(again bool) ([]mount, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mounts != nil && (!again || time.Since(f.read) < mountsLifetime) {
		return f.mounts, nil
	}
	name := filepath.Join(f.proc(), "self/mountinfo")
	b, err := new(file).read(name)
	if err != nil {
		return nil, fmt.Errorf("mounted hierarchies: %w", err)
	}
	all := parseMounts(b)
	f.mounts, f.read = relocate(all, f.sys()), time.Now()
	return f.mounts, nil
}

// proc returns where procfs is mounted.
func (f *FS) proc() string { return orDefault(f.ProcRoot, "/proc") }

// sys returns where sysfs is mounted.
func (f *FS) sys() string { return orDefault(f.SysRoot, "/sys") }

// orDefault returns s as a clean path, or otherwise if s is empty.
func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return filepath.Clean(s)
}

// Unit returns the systemd unit of a group's path, the innermost service or scope:
// "shop.service"; "" without one. Units of logins and containers (user@1000.service,
// session-3.scope, docker-ID.scope) are ignored because they do not name an app.
func Unit(cgroupPath string) string {
	unit := ""
	for part := range strings.SplitSeq(cgroupPath, "/") {
		if isAppUnit(part) {
			unit = part
		}
	}
	return unit
}

// isAppUnit reports whether a part of a path is a unit that names an app: a service, except
// of a user (user@…), or a scope, except of a login, a terminal, a container or init.
func isAppUnit(part string) bool {
	if name, ok := strings.CutSuffix(part, ".service"); ok {
		return name != "" && !strings.HasPrefix(name, "user@")
	}
	name, ok := strings.CutSuffix(part, ".scope")
	if !ok || name == "" || name == "init" || strings.HasPrefix(name, "session-") || strings.HasPrefix(name, "vte-spawn-") {
		return false
	}
	return !isContainerID(name[strings.LastIndexByte(name, '-')+1:])
}

// isContainerID reports whether s looks like a container's id: 32 or more hexadecimal
// digits in small letters.
func isContainerID(s string) bool {
	return len(s) >= 32 && strings.Trim(s, "0123456789abcdef") == ""
}
