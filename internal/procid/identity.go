package procid

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// Identity distinguishes one process from every other that ever has its pid. The
// source is /proc/PID/stat.
type Identity struct {
	PID      int
	Parent   int
	Start    uint64 // clock ticks of 1/100 s from the boot to its start
	State    byte   // as ps(1) shows it: R, S, D, T (stopped), t (traced), Z
	Terminal bool   // it has a controlling terminal
}

// Same reports whether both are one process, by pid and start. The parent may differ: it
// changes when the parent ends. It is false for zero identities.
func (i Identity) Same(j Identity) bool { return i.PID == j.PID && i.Start == j.Start && i.PID != 0 }

// Identify returns the identity of a process, also of a zombie; root is where /proc is
// mounted. If there is no such process the error is [os.ErrNotExist].
func Identify(root string, pid int) (Identity, error) {
	if pid <= 0 {
		return Identity{}, fmt.Errorf("process %d: %w", pid, os.ErrNotExist)
	}
	b, err := procfs.New(root).Read(pid, "stat")
	switch {
	case err != nil && procfs.Gone(err):
		return Identity{}, fmt.Errorf("process %d: %w", pid, os.ErrNotExist)
	case err != nil:
		return Identity{}, err
	}
	st, err := procfs.ParseStat(b)
	if err != nil {
		return Identity{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return Identity{PID: pid, Parent: st.PPID, Start: st.Start, State: st.State, Terminal: st.TTY != 0}, nil
}

// Alive reports whether the process is still there and no zombie; false if it cannot be
// read.
func (i Identity) Alive(root string) bool {
	now, err := Identify(root, i.PID)
	return err == nil && now.Same(i) && now.State != 'Z' && now.State != 'X'
}

// maxForking is of how many threads of a process the children are read.
const maxForking = 1024

// Children returns the pids of the children of a process, zombies too, whichever of its
// threads forked them (/proc/PID/task/TID/children); nil if it has none, they cannot be
// read, or the kernel does not list them. Threads beyond 1,024 are not read.
func Children(root string, pid int) []int {
	r := procfs.New(root)
	threads, err := r.FirstEntries(r.Path(pid, "task"), nil, maxForking)
	if err != nil {
		return nil
	}
	var out []int
	for _, thread := range threads[:min(len(threads), maxForking)] {
		b, err := r.Read(pid, "task/"+strconv.Itoa(thread.N)+"/children")
		if err != nil {
			continue // it ended meanwhile
		}
		for f := range strings.FieldsSeq(string(b)) {
			if n, err := strconv.Atoi(f); err == nil && n > 0 {
				out = append(out, n)
			}
		}
	}
	return out
}

// Launch is how a process was started, as far as the kernel still shows it.
type Launch struct {
	Argv      []string // its command line; a title, where it has set one
	Env       []string // NAME=value as at its start; empty where a title has overwritten it
	Program   string   // the file it runs, without symbolic links
	Dir       string   // its working directory; "" if that was removed
	SameFiles bool     // it sees the files that this process sees: same mount namespace, same root
}

// errCut means that a file under /proc is longer than what is read of it.
var errCut = errors.New("it is too long")

// LaunchOf returns how a process was started: arguments, environment (NAME=value), program
// and directory, which is "" if it is deleted or out of reach, and whether it sees the
// exporter's files. The right to read it is that of the same user, or CAP_SYS_PTRACE.
// errCut: the arguments or the environment have 64 KiB or more.
func LaunchOf(root string, pid int) (Launch, error) {
	r := procfs.New(root)
	var l Launch
	for name, to := range map[string]*[]string{"cmdline": &l.Argv, "environ": &l.Env} {
		b, err := r.Read(pid, name)
		if err == nil && len(b) >= procfs.MaxRead {
			err = fmt.Errorf("%s of process %d: %w", name, pid, errCut)
		}
		if err != nil {
			return Launch{}, err
		}
		*to = procfs.ParseCmdline(b)
	}
	l.Env = variables(l.Env)
	var err error
	if l.Program, err = r.Readlink(pid, "exe"); err != nil {
		return Launch{}, err
	}
	if l.Dir, err = r.Readlink(pid, "cwd"); err != nil {
		return Launch{}, err
	}
	if strings.HasSuffix(l.Dir, " (deleted)") || !filepath.IsAbs(l.Dir) {
		l.Dir = ""
	}
	if l.SameFiles, err = r.SameFiles(pid); err != nil {
		return Launch{}, err
	}
	return l, nil
}

// variables returns those strings of a list that have the form NAME=value.
func variables(list []string) []string {
	var out []string
	for _, v := range list {
		if strings.IndexByte(v, '=') > 0 {
			out = append(out, v)
		}
	}
	return out
}

// InService reports whether a process runs in a service of systemd other than
// user@UID.service, by any part of its control group's path; false if that cannot be read.
func InService(root string, pid int) bool {
	b, err := procfs.New(root).Read(pid, "cgroup")
	if err != nil {
		return false
	}
	for _, g := range procfs.ParseCgroups(b) {
		for part := range strings.SplitSeq(g, "/") {
			if strings.HasSuffix(part, ".service") && !strings.HasPrefix(part, "user@") {
				return true
			}
		}
	}
	return false
}

// StartTime returns when a process began, by the present time of the clock, to 10 ms.
func (i Identity) StartTime() (time.Time, error) {
	boot, err := procfs.BootTime()
	if err != nil {
		return time.Time{}, err
	}
	return boot.Add(time.Duration(i.Start) * (time.Second / procfs.TicksPerSecond)), nil
}
