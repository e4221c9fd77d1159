package workerends

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/procid"
	"github.com/resp-exporter/resp-exporter/internal/retry"
)

const (
	// reapLimit is how long the parent of an ended process may take to wait for it, until
	// then the kernel does not report the status at its pidfd.
	reapLimit = 5 * time.Second
	reapPause = 10 * time.Millisecond
)

// errNamespace means that the pids under /proc are not those of the exporter's own PID
// namespace, so that pidfd_open(2) would open another process.
var errNamespace = errors.New("/proc is of another PID namespace")

// errChanged means that the process has ended or was replaced.
var errChanged = errors.New("the process has ended or was replaced")

// handle is an open pidfd, and which process it is of.
type handle struct {
	root     string
	id       procid.Identity
	f        *os.File
	readable bool               // the exit code of its zombie is in /proc/PID/stat
	ending   func(at time.Time) // is called at its end, before its status is known; nil: nothing is
}

// open returns a pidfd of the process with this pid that began at that time, to the second.
// errChanged: that process has ended, or was replaced; errNamespace: root is the /proc of
// another PID namespace.
func open(root string, pid int, began time.Time) (*handle, error) {
	self, err := os.Readlink(root + "/self")
	if err != nil {
		return nil, err
	}
	if self != strconv.Itoa(os.Getpid()) {
		return nil, errNamespace
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that the runtime's poller waits for it
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	h := &handle{root: root, f: os.NewFile(uintptr(fd), "pidfd")}
	if err := h.identify(pid, began); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// identify reads the process and checks that it is the one that began at that time, to the
// second, now that its pid cannot be reused unnoticed; errChanged if it is not, or is a
// zombie.
func (h *handle) identify(pid int, began time.Time) (err error) {
	if h.id, err = procid.Identify(h.root, pid); err != nil {
		return err
	}
	start, err := h.id.StartTime()
	if err != nil {
		return err
	}
	if d := start.Sub(began); h.id.State == 'Z' || d < -time.Second || d > time.Second {
		return errChanged
	}
	// Where the kernel shows the stack, it also shows the exit code; otherwise both are 0.
	b, err := procfs.New(h.root).Read(pid, "stat")
	if err != nil {
		return err
	}
	stack, ok := statField(b, 28)
	h.readable = ok && stack != 0
	return nil
}

func (h *handle) close() { _ = h.f.Close() }

// wait returns how and when the process ended, once it has; the status may not be known.
// ended is false if the handle is closed first.
func (h *handle) wait(ctx context.Context) (s Status, at time.Time, ended bool) {
	raw, err := h.f.SyscallConn()
	if err != nil {
		return s, at, false
	}
	err = raw.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		return err == nil && n > 0
	})
	if err != nil {
		return s, at, false
	}
	at = time.Now()
	zombie := h.zombieStatus() // at once: its parent waits for it soon
	if h.ending != nil {
		h.ending(at)
	}
	for time.Since(at) < reapLimit {
		status, reported, err := h.info(raw)
		if reported {
			return status, at, true
		}
		if err != nil || !retry.Sleep(ctx, reapPause) {
			break
		}
	}
	return zombie, at, true
}

// info returns the exit status that the kernel keeps for a pidfd after the parent has
// waited for the process (PIDFD_GET_INFO of linux/pidfd.h, Linux 6.15 or newer). reported
// is false before that; an error means that this kernel does not report it.
func (h *handle) info(raw syscall.RawConn) (s Status, reported bool, err error) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if failed := raw.Control(func(fd uintptr) { err = unix.IoctlPidfdInfo(int(fd), &info) }); failed != nil {
		err = failed
	}
	switch {
	case errors.Is(err, unix.ESRCH): // Linux before 6.15: it is gone, and nothing is kept of it
		return s, false, err
	case err != nil:
		return s, false, os.NewSyscallError("ioctl", err)
	case info.Mask&unix.PIDFD_INFO_EXIT == 0:
		return s, false, nil
	}
	return statusOf(uint32(info.Exit_code)), true, nil
}

// zombieStatus returns the exit status from /proc/PID/stat as long as the parent has not
// waited for the process; one that is not Known if it is too late, or may not be read.
func (h *handle) zombieStatus() Status {
	if !h.readable {
		return Status{}
	}
	b, err := procfs.New(h.root).Read(h.id.PID, "stat")
	if err != nil {
		return Status{}
	}
	st, err := procfs.ParseStat(b)
	code, ok := statField(b, 52)
	if err != nil || !ok || st.Start != h.id.Start || st.State != 'Z' {
		return Status{}
	}
	return statusOf(uint32(code))
}

// statField returns the number in a field of a stat file, as proc_pid_stat(5) counts
// fields; false if it has no such number. The second field, the command's name, may
// contain blanks and brackets.
func statField(b []byte, field int) (uint64, bool) {
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return 0, false
	}
	fields := bytes.Fields(b[i+1:])
	if field < 3 || field-3 >= len(fields) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(fields[field-3]), 10, 64)
	return n, err == nil
}
