package conns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

const (
	// taskLook is how long the main thread of a server is watched.
	taskLook = 100 * time.Millisecond
	// takenApart is how much time must be between two requests for their order to be
	// certain: those that a server took in one turn are answered together at its end.
	takenApart = 200 * time.Millisecond
)

// ErrNotServer means that a process does not listen where a server answers.
var ErrNotServer = errors.New("the process does not listen at the server's address")

// ServerProcess is a server on this host whose main thread answers all requests, one
// after the other, as that of Redis does.
type ServerProcess struct {
	Served []sockdiag.Served // its TCP connections
	Unix   int               // its connections over UNIX sockets
	// Works is whether its main thread computes in user mode, or sleeps for a time: it
	// is in a request, and neither stopped, nor in its poll, nor waiting for a disk.
	Works bool
}

// ReadServer returns the connections of the process that answers at an address of this
// host, "IP:port" or the path of a UNIX socket, and whether its main thread works, by
// 0.1 s of watching. [ErrNotServer]: the process pid does not listen there, or it is no such
// address. Reading takes the right to list its descriptors (CAP_SYS_PTRACE).
func ReadServer(ctx context.Context, procRoot string, pid int, at string) (ServerProcess, error) {
	r := procfs.New(procRoot)
	inodes, err := r.SocketInodes(pid)
	if err != nil {
		return ServerProcess{}, err
	}
	c, err := sockdiag.Dial(0)
	if err != nil {
		return ServerProcess{}, err
	}
	defer func() { _ = c.Close() }()
	listeners, err := c.Listeners(ctx)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return ServerProcess{}, err
	}
	listeners = slices.DeleteFunc(listeners, func(l sockdiag.Listener) bool { return !inodes[l.Inode] })
	if !slices.ContainsFunc(listeners, func(l sockdiag.Listener) bool { return answersAt(l, at) }) {
		return ServerProcess{}, ErrNotServer
	}
	var out ServerProcess
	if out.Works, err = works(ctx, r, pid); err != nil {
		return ServerProcess{}, err
	}
	var ports []uint16
	for i := range listeners {
		if l := &listeners[i]; l.Network != sockdiag.Unix {
			ports = append(ports, l.Addr.Port())
		}
	}
	if out.Served, err = c.Served(ctx, ports); err != nil && !errors.Is(err, unix.ENOENT) {
		return ServerProcess{}, err
	}
	out.Served = slices.DeleteFunc(out.Served, func(s sockdiag.Served) bool { return !inodes[s.Inode] })
	local, err := c.UnixAccepted(ctx, func(string) bool { return true })
	for _, a := range local {
		if inodes[a.Inode] {
			out.Unix++
		}
	}
	return out, err
}

// answersAt reports whether a listener answers at a path or an "IP:port" of this host; false
// for an address of another host, and for the name of a host.
func answersAt(l sockdiag.Listener, at string) bool {
	to, err := netip.ParseAddrPort(at)
	if err != nil {
		return l.Network == sockdiag.Unix && l.Path == at && at != ""
	}
	addr := to.Addr().Unmap().WithZone("")
	return listensAt(l, sockdiag.Connection{Remote: netip.AddrPortFrom(addr, to.Port())}) && IsOwnAddress(addr)
}

// works reports whether the main thread of a process computes, in user mode more than in
// the kernel, or sleeps for a time (stat and syscall of /proc/PID/task/PID). False in any
// other system call.
func works(ctx context.Context, r *procfs.FS, pid int) (bool, error) {
	task := "task/" + strconv.Itoa(pid) + "/"
	b, err := r.Read(pid, task+"syscall")
	if err != nil {
		return false, err
	}
	call, err := procfs.ParseSyscall(b)
	if err != nil {
		return false, err
	}
	if !call.Running {
		return call.NR == unix.SYS_NANOSLEEP || call.NR == unix.SYS_CLOCK_NANOSLEEP, nil
	}
	before, err := statOf(r, pid, task)
	if err != nil {
		return false, err
	}
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-time.After(taskLook):
	}
	after, err := statOf(r, pid, task)
	if err != nil {
		return false, err
	}
	user, system := after.UTime-before.UTime, after.STime-before.STime
	return after.State == 'R' && user > system, nil
}

// statOf returns the stat file of a process, or of one of its tasks: task is "" or
// "task/N/".
func statOf(r *procfs.FS, pid int, task string) (procfs.Stat, error) {
	b, err := r.Read(pid, task+"stat")
	if err != nil {
		return procfs.Stat{}, fmt.Errorf("main thread: %w", err)
	}
	return procfs.ParseStat(b)
}

// TakenRequest returns the connection whose request a server works on that answers one
// request after the other and has not answered for a while: the last request that it has
// read and not answered. since is when it last answered, as time before now. busy: it
// goes on to answer others, with an error.
//
// A request that it has read earlier waits in it for data, as BLPOP does: else it would
// have been answered, at the end of its turn. Where another one came within 0.2 s, or
// the server has answered anybody since, it is not known which one; ok is false then.
// Requests that came since wait in the queues of their sockets, which proves that the
// server reads nothing: if none waits there and it is not busy, ok is false too.
func TakenRequest(list []sockdiag.Served, since time.Duration, busy bool) (taken sockdiag.Served, ok bool) {
	answered := since
	if !busy {
		queued := false
		if answered, queued = lastAnswer(list, since); !queued {
			return taken, false
		}
	}
	apart := false // taken came takenApart before every other one
	for i := range list {
		s := &list[i]
		switch {
		case s.Queue != 0 || !s.Unanswered() || s.Received > answered+takenApart:
		case !ok || s.Received+takenApart <= taken.Received:
			taken, ok, apart = *s, true, true
		default:
			apart = apart && s.Received >= taken.Received+takenApart
			if s.Received < taken.Received {
				taken = *s
			}
		}
	}
	return taken, ok && apart
}

// lastAnswer returns when the server last answered any connection, at most since, as
// time before now, and whether a request waits in the queue of a socket. A connection on which
// it has never sent anything, or whose times are not known, does not count as answered.
func lastAnswer(list []sockdiag.Served, since time.Duration) (answered time.Duration, queued bool) {
	answered = since
	for i := range list {
		s := &list[i]
		queued = queued || s.Queue > 0
		if s.HasTimes && !s.Unsent {
			answered = min(answered, s.Sent)
		}
	}
	return answered, queued
}
