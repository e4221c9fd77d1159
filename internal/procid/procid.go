// Package procid proves that a process is what it is taken for, from what the
// kernel reports about it: its start time, its users and groups, its executable
// and the files that it holds. Nothing that a process may choose for itself
// (title, command line, environment, pid file) is a proof.
//
// Who is about to signal a process opens a pidfd first and reads the proof
// after that, so that number, start time and proof are about one process.
package procid

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

// Errors that say why a process is not believed. They are wrapped with what was
// read.
var (
	// ErrGone means that the process has ended, is a zombie, or that another one
	// has its number.
	ErrGone = errors.New("the process has ended or its pid was reused")
	// ErrUsers means that its users or groups disagree, with each other or with
	// those of the process that it belongs to.
	ErrUsers = errors.New("its users or groups differ")
	// ErrExecutable means that it runs another executable than expected.
	ErrExecutable = errors.New("it runs a different executable than expected")
	// ErrParent means that it is no child of the process that it belongs to.
	ErrParent = errors.New("it is not a child of its master")
	// ErrNoProof means that it does not hold what only a worker holds.
	ErrNoProof = errors.New("there is no proof that it is a worker")
	// ErrTooMany means that there is more to read than the bound allows.
	ErrTooMany = errors.New("its data is too large to read")
	errShape   = errors.New("unexpected content")
)

const (
	maxFile        = 64 << 10 // bytes of one file under /proc
	maxDescriptors = 65536    // of one process
)

// File names a file by what the kernel knows it by. A path may lead elsewhere
// by now; these numbers do not.
type File struct{ Dev, Ino uint64 }

// Process is what the kernel reports of one process at one moment.
type Process struct {
	PID, Parent int
	Start       uint64 // clock ticks of 1/100 s from the boot to its start
	State       byte   // as ps(1) shows it
	Exe         File   // what it executes
	ExePath     string // the path of Exe when it was started, for people
	Credentials
}

// Same reports whether both are one process, by pid and start; false for zero processes.
func (p Process) Same(q Process) bool { return p.PID == q.PID && p.Start == q.Start && p.PID != 0 }

// Read returns what identifies a process, its users and its executable. Pid and start are
// read before and after the rest, so that all is of one process. ErrGone: it has ended,
// also if it is a zombie, or its parent changed meanwhile. ErrUsers: it changed its users
// meanwhile. It needs the right to read /proc/PID/exe: that of the same user, or
// CAP_SYS_PTRACE.
func Read(root string, pid int) (Process, error) {
	p, err := readStat(root, pid)
	if err != nil {
		return Process{}, err
	}
	before, err := readCredentials(root, pid)
	if err != nil {
		return Process{}, err
	}
	exe := path(root, pid, "exe")
	st, err := procfs.StatLink(exe)
	if err != nil {
		return Process{}, ended(&os.PathError{Op: "stat", Path: exe, Err: err})
	}
	p.Exe = File{unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino}
	if p.ExePath, err = os.Readlink(exe); err != nil {
		return Process{}, ended(procfs.OrEnded(err, exe))
	}
	// An executable with a set-user-ID bit may have begun meanwhile.
	if p.Credentials, err = readCredentials(root, pid); err != nil {
		return Process{}, err
	}
	now, err := readStat(root, pid)
	switch {
	case err != nil:
		return Process{}, err
	case !now.Same(p) || now.Parent != p.Parent:
		return Process{}, fmt.Errorf("process %d: %w", pid, ErrGone)
	case !p.Equal(before):
		return Process{}, fmt.Errorf("process %d changed its users while it was read: %w", pid, ErrUsers)
	}
	return p, nil
}

// readStat returns a process with what its stat file says, without its users and its
// executable. ErrGone: it has ended, also if it is a zombie.
func readStat(root string, pid int) (Process, error) {
	if pid <= 0 {
		return Process{}, fmt.Errorf("process %d: %w", pid, ErrGone)
	}
	b, err := read(path(root, pid, "stat"))
	if err != nil {
		return Process{}, err
	}
	st, err := procfs.ParseStat(b)
	if err != nil {
		return Process{}, fmt.Errorf("process %d: stat: %w", pid, err)
	}
	p := Process{PID: pid, Parent: st.PPID, Start: st.Start, State: st.State}
	if p.State == 'Z' || p.State == 'X' {
		return Process{}, fmt.Errorf("process %d: %w", pid, ErrGone)
	}
	return p, nil
}

// readCredentials returns the credentials in a process's status file; ErrGone if the process
// has ended.
func readCredentials(root string, pid int) (Credentials, error) {
	b, err := read(path(root, pid, "status"))
	if err != nil {
		return Credentials{}, err
	}
	c, err := parseStatus(b)
	if err != nil {
		return Credentials{}, fmt.Errorf("process %d: status: %w", pid, err)
	}
	return c, nil
}

// path returns the path of a file of a process.
func path(root string, pid int, name string) string {
	return root + "/" + strconv.Itoa(pid) + "/" + name
}

// read returns the content of a file under /proc. ErrTooMany: it has more than 64 KiB.
// ErrGone: the process has ended.
func read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, ended(err)
	}
	defer f.Close()
	b, err := safefile.ReadAll(f, maxFile)
	if errors.Is(err, safefile.ErrTooLarge) {
		return nil, fmt.Errorf("%s: %w", name, ErrTooMany)
	}
	return b, ended(err)
}

// ended returns err with ErrGone around it if it is ENOENT or ESRCH, as when the process
// has ended, else err as it is.
func ended(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("%w (%w)", ErrGone, err)
	}
	return err
}
