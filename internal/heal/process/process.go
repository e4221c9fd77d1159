// Package process opens processes by a descriptor (pidfd), so that a signal reaches the
// intended process or none.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// Snapshotter returns the watched apps at this moment; [discovery.Watcher] is one.
type Snapshotter interface {
	Snapshot(ctx context.Context) (*discovery.Snapshot, error)
}

// ErrChanged means that a process is not the planned one.
var ErrChanged = errors.New("the process has ended or was replaced")

// errOtherNamespace means that pids under ProcRoot are those of other processes here.
var errOtherNamespace = errors.New("the exporter cannot signal the processes: they are in another PID namespace")

// Handle is a process held by a descriptor (pidfd_open(2)): a signal reaches it or
// none, even when its pid is reused.
type Handle struct {
	root string
	ID   procid.Identity
	fd   int
}

// Open returns a handle of the process of an identity, which the caller closes.
// [ErrChanged]: it has ended, or is another one. Another error: [CheckSignalable] refuses
// it, or it cannot be read. The descriptor is opened first and the process compared after
// it, so that a reused pid does no harm.
func Open(root string, id procid.Identity) (*Handle, error) {
	if err := CheckSignalable(root, id.PID); err != nil {
		return nil, err
	}
	fd, err := unix.PidfdOpen(id.PID, 0)
	switch {
	case errors.Is(err, unix.ESRCH):
		return nil, ErrChanged
	case err != nil:
		return nil, fmt.Errorf("pidfd_open: %w", err)
	}
	g := &Handle{root: root, ID: id, fd: fd}
	if err := g.Check(); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// CheckSignalable returns an error unless a pid may be signalled: it is neither init nor the
// exporter, and root is the /proc of the exporter's PID namespace. Whether it runs is not checked.
func CheckSignalable(root string, pid int) error {
	if pid <= 1 || pid == os.Getpid() {
		return fmt.Errorf("process %d is never signalled", pid)
	}
	self, err := os.Readlink(root + "/self")
	if err != nil {
		return fmt.Errorf("PID namespace of /proc: %w", err)
	}
	if self != strconv.Itoa(os.Getpid()) {
		return errOtherNamespace
	}
	return nil
}

// Check returns nil if the process still runs, with the start and the parent of the
// identity; [ErrChanged] if it does not, or is a zombie. Another error: it cannot be read.
func (g *Handle) Check() error {
	now, err := procid.Identify(g.root, g.ID.PID)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return ErrChanged
	case err != nil:
		return err
	case !now.Same(g.ID) || now.Parent != g.ID.Parent || now.State == 'Z':
		return ErrChanged
	}
	return nil
}

// MaySignal returns an error unless the kernel lets this process signal that of the handle:
// EPERM if it does not, ESRCH if it has ended. No signal is sent.
func (g *Handle) MaySignal() error { return unix.PidfdSendSignal(g.fd, 0, nil, 0) }

// Signal sends a signal to the process of the handle. [ErrChanged]: it has ended.
func (g *Handle) Signal(s syscall.Signal) error {
	err := unix.PidfdSendSignal(g.fd, s, nil, 0)
	switch {
	case errors.Is(err, unix.ESRCH):
		return ErrChanged
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("no permission to signal process %d: run the exporter as its user, or with CAP_KILL", g.ID.PID)
	case err != nil:
		return fmt.Errorf("signal process %d: %w", g.ID.PID, err)
	}
	return nil
}

// WaitEnded waits until the process has ended, at most for limit, and returns true then.
// false: it has not, ctx ended first, or its descriptor cannot be polled.
func (g *Handle) WaitEnded(ctx context.Context, limit time.Duration) bool {
	end := time.Now().Add(limit)
	for {
		fds := []unix.PollFd{{Fd: int32(g.fd), Events: unix.POLLIN}}
		wait := min(time.Until(end), 200*time.Millisecond)
		n, err := unix.Poll(fds, max(0, int(wait.Milliseconds())))
		switch {
		case err == nil && n > 0:
			return true
		case err != nil && !errors.Is(err, unix.EINTR), ctx.Err() != nil, !time.Now().Before(end):
			return false
		}
	}
}

// Close closes the descriptor.
func (g *Handle) Close() { _ = unix.Close(g.fd) }

// Info returns a process as a plan shows it, with the time now, for people and for
// [IdentityFrom].
func Info(id procid.Identity) map[string]string {
	return map[string]string{"pid": strconv.Itoa(id.PID), "start": strconv.FormatUint(id.Start, 10), "planned": strconv.FormatInt(time.Now().Unix(), 10)}
}

// IdentityOf returns "pid:start" of a process, for [action.Victim.Identity].
func IdentityOf(id procid.Identity) string { return fmt.Sprintf("%d:%d", id.PID, id.Start) }

// IdentityFrom returns the process that [Info] wrote into info, under names that begin with
// prefix. An interrupted run finds its processes by it. false: info has none, a pid below
// 2, or no valid start. Only its PID and start are set.
func IdentityFrom(info map[string]string, prefix string) (procid.Identity, bool) {
	pid, err := strconv.Atoi(info[prefix+"pid"])
	if err != nil || pid <= 1 {
		return procid.Identity{}, false
	}
	start, err := strconv.ParseUint(info[prefix+"start"], 10, 64)
	return procid.Identity{PID: pid, Start: start}, err == nil
}

// PlannedAt returns when the plan with the information of [Info] was made, to the second;
// the zero time if info does not say.
func PlannedAt(info map[string]string) time.Time {
	n, err := strconv.ParseInt(info["planned"], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(n, 0)
}

// WithoutPath returns what is inside an error of a file, without the path; any other
// error unchanged.
func WithoutPath(err error) error {
	if path, ok := errors.AsType[*os.PathError](err); ok {
		return path.Err
	}
	return err
}
