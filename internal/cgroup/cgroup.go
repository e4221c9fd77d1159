// Package cgroup reads what a process's control groups allow it and what they
// use: memory and CPU, of version 1, version 2 or both side by side.
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

// FS is where the kernel's files are. The zero value means /proc and /sys. It
// may be used by several goroutines and must not be copied after first use.
type FS struct {
	ProcRoot string // where procfs is mounted
	SysRoot  string // where sysfs is mounted; groups lie below its fs/cgroup

	mu     sync.Mutex
	mounts []mount // nil until first read
	read   time.Time
}

// remountAfter is how long a hierarchy that was not found stays unfound before
// the mount table is read again.
const mountsLifetime = time.Minute

// Group is one place in the hierarchies. Groups are equal when their keys are.
type Group struct {
	path        string
	memory, cpu hierarchyDir
}

// place is a directory of one hierarchy; the zero value means there is none.
type hierarchyDir struct {
	v2  bool
	top string // where the hierarchy is mounted
	dir string // top, or a directory below it
}

// Path is the group's path as people and systemd know it, from the root of its
// hierarchy: "/system.slice/shop.service". Where a process is in different
// groups of version 1, it is the first that is not "/", of the unified
// hierarchy, systemd's, memory's and CPU's.
func (g Group) Path() string { return g.path }

// Key is the same for two processes exactly if they share both their memory
// and their CPU group. It is stable as long as the group lives.
func (g Group) Key() string {
	if g.memory == g.cpu {
		return g.memory.dir
	}
	return g.memory.dir + "|" + g.cpu.dir
}

// Of finds the groups of a process (/proc/PID/cgroup). A controller that is
// not mounted leaves its part of the group empty. A process outside our own
// cgroup namespace, whose path begins with "/..", gives [ErrOutside] unless its
// group is mounted here nevertheless.
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

func (f *FS) groupOf(m membership) (Group, error) {
	mounts, err := f.mountTable(false)
	if err != nil {
		return Group{}, err
	}
	g, err := m.group(mounts)
	if errors.Is(err, errNotMounted) {
		// Perhaps it was mounted since.
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

// table returns the mounted hierarchies, which are read once and again at most
// each remountAfter.
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

func (f *FS) proc() string { return orDefault(f.ProcRoot, "/proc") }

func (f *FS) sys() string { return orDefault(f.SysRoot, "/sys") }

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return filepath.Clean(s)
}

// Unit returns the systemd unit that a group's path lies in, the innermost
// service or scope: "shop.service"; "" if there is none. Units that name who
// logged in or which container runs (user@1000.service, session-3.scope,
// docker-ID.scope) do not name an app and do not count.
func Unit(cgroupPath string) string {
	unit := ""
	for part := range strings.SplitSeq(cgroupPath, "/") {
		if isAppUnit(part) {
			unit = part
		}
	}
	return unit
}

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

// isID reports whether s looks like a container's id.
func isContainerID(s string) bool {
	return len(s) >= 32 && strings.Trim(s, "0123456789abcdef") == ""
}
