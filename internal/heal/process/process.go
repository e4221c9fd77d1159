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

// Open opens the process of an identity, or returns [ErrChanged]. The descriptor is opened
// first and the process compared after it, so that a reused pid does no harm.
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

// CheckSignalable returns an error unless a pid under root may be signalled: it is neither
// init nor the exporter, and of the exporter's PID namespace.
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

// Check returns [ErrChanged] unless start and parent are those of the identity.
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

// Signal sends a signal to the process that is held.
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

// WaitEnded waits until the process has ended, at most for limit. It reports false when it
// has not, or when ctx ends first.
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

// Info returns a process as it is in a plan, for people and for [IdentityFrom].
func Info(id procid.Identity) map[string]string {
	return map[string]string{"pid": strconv.Itoa(id.PID), "start": strconv.FormatUint(id.Start, 10), "planned": strconv.FormatInt(time.Now().Unix(), 10)}
}

// IdentityOf returns the text of a process for [action.Victim.Identity].
func IdentityOf(id procid.Identity) string { return fmt.Sprintf("%d:%d", id.PID, id.Start) }

// IdentityFrom returns the process in the text of [Info], with names that begin with
// prefix. An interrupted run finds its processes by it.
func IdentityFrom(info map[string]string, prefix string) (procid.Identity, bool) {
	pid, err := strconv.Atoi(info[prefix+"pid"])
	if err != nil || pid <= 1 {
		return procid.Identity{}, false
	}
	start, err := strconv.ParseUint(info[prefix+"start"], 10, 64)
	return procid.Identity{PID: pid, Start: start}, err == nil
}

// PlannedAt returns when the plan with this information was made.
func PlannedAt(info map[string]string) time.Time {
	n, err := strconv.ParseInt(info["planned"], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(n, 0)
}

// WithoutPath returns an error of a file without its path.
func WithoutPath(err error) error {
	if path, ok := errors.AsType[*os.PathError](err); ok {
		return path.Err
	}
	return err
}
