package sampling

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/calls"
	"github.com/resp-exporter/resp-exporter/internal/waits/sockets"
)

// maxSetSockets is how many sockets of one poll, select or epoll are looked at.
const maxSetSockets = 8

// classifier says what the system calls of threads wait for. It has one buffer,
// and must not be used by two goroutines at once.
type classifier struct {
	calls *procfs.SyscallReader
	names *sockets.Names
	fds   []int
	name  []byte
	buf   [4096]byte
}

// classify returns what a thread's current call says of its wait; fixed: CPU if it runs, Unknown if denied.
func (c *classifier) classify(w *worker, t *thread, now time.Time) callState {
	k := t.call
	switch {
	case t.denied:
		return callState{fixed: ledger.Unknown}
	case k.Running:
		return callState{fixed: ledger.CPU}
	case k.NR == -1: // a page fault, or another wait outside of a call
		return callState{fixed: c.diskOr(w, t, ledger.Other)}
	}
	switch k.NR {
	case procfs.SysAccept, unix.SYS_ACCEPT4:
		return callState{accepts: slices.Contains(w.listening, int(int32(k.Args[0]))), fixed: ledger.Other}
	case procfs.SysEpollWait, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2:
		return c.epoll(w, int(int32(k.Args[0])), now)
	case unix.SYS_FUTEX:
		addr, untimed, mutex := calls.FutexWait(k)
		return callState{futex: addr, untimed: untimed, mutex: mutex, fixed: ledger.Lock}
	}
	if on := calls.On(k.NR); on != ledger.Other {
		return callState{fixed: on, mutex: on == ledger.Lock}
	}
	fds, known := c.calls.AppendFDs(w.key.pid, k, c.fds[:0])
	c.fds = fds
	switch {
	case !known:
		return callState{fixed: c.diskOr(w, t, ledger.Other)}
	case len(fds) == 0:
		return callState{fixed: ledger.Sleep}
	}
	return c.descriptors(w, t, fds, now)
}

// diskOr returns Disk if a thread is in uninterruptible sleep (state D,
// proc_pid_stat(5)), else, also if that cannot be read, otherwise.
func (c *classifier) diskOr(w *worker, t *thread, otherwise ledger.On) ledger.On {
	c.name = append(strconv.AppendInt(append(c.name[:0], "task/"...), int64(t.tid), 10), "/stat\x00"...)
	n, err := w.dir.Read(c.name, c.buf[:])
	if err != nil {
		return otherwise
	}
	b := c.buf[:n]
	if at := bytes.LastIndexByte(b, ')'); at >= 0 && at+2 < len(b) && b[at+2] == 'D' {
		return ledger.Disk
	}
	return otherwise
}

// epoll returns what a wait for the epoll set at a descriptor says, always with polls set:
// accepts if it has a listener, else the socket if its sockets agree. Only Other: they do not,
// there are more than 8 or none, or the set cannot be read or kept.
func (c *classifier) epoll(w *worker, fd int, now time.Time) callState {
	set := c.epollSet(w, fd, now)
	switch {
	case set == nil:
		return callState{fixed: ledger.Other, polls: true}
	case set.listens:
		return callState{accepts: true, polls: true, fixed: ledger.Other}
	}
	out := c.descriptors(w, nil, set.fds, now)
	out.polls = true
	return out
}

// epollSet returns what is in an epoll set of a worker, at most a second old, nothing if it
// cannot be read; nil if the worker has more sets than are kept.
func (c *classifier) epollSet(w *worker, fd int, now time.Time) *epollSet {
	var set *epollSet
	for i := range w.epolls {
		e := &w.epolls[i]
		if e.read.IsZero() || e.fd == fd || now.Sub(e.read) > time.Minute {
			set = e
			break
		}
	}
	if set == nil {
		return nil
	}
	if set.fd == fd && now.Sub(set.read) < time.Second {
		return set
	}
	fds := c.calls.EpollFDs(w.key.pid, fd)
	*set = epollSet{fd: fd, read: now, fds: fds, listens: slices.ContainsFunc(fds, func(fd int) bool { return slices.Contains(w.listening, fd) })}
	return set
}

// descriptors returns what a wait for descriptors says: for a connection, a file, or a socket if
// they agree, else Other, as for more than 8. t: the thread, for one file; nil for an epoll set.
func (c *classifier) descriptors(w *worker, t *thread, fds []int, now time.Time) callState {
	if slices.ContainsFunc(fds, func(fd int) bool { return slices.Contains(w.listening, fd) }) {
		return callState{accepts: true, fixed: ledger.Other}
	}
	var one *sockets.Socket
	sockets := 0
	for _, fd := range fds {
		link := c.link(w, fd)
		inode, ok := calls.SocketInode(link)
		if !ok && len(fds) == 1 && t != nil && calls.IsFile(link) {
			return callState{fixed: c.diskOr(w, t, ledger.Other)}
		}
		if !ok {
			continue
		}
		if sockets++; sockets > maxSetSockets {
			return callState{fixed: ledger.Other}
		}
		switch s := c.names.Name(w.user.Account, w.app, inode, now); {
		case s == nil, s.Named && s.On == ledger.Other && len(fds) > 1: // such as the ends of a pair within one process
		case one == nil || !s.Named:
			one = s
		case one.Named && one.On != s.On:
			return callState{fixed: ledger.Other}
		}
	}
	return callState{socket: one, fixed: ledger.Other}
}

// link returns the target of a descriptor's link, valid until the next call; nil if it is
// closed or cannot be read.
func (c *classifier) link(w *worker, fd int) []byte {
	c.name = append(strconv.AppendInt(append(c.name[:0], "fd/"...), int64(fd), 10), 0)
	n, err := w.dir.Readlink(c.name, c.buf[:])
	if err != nil {
		return nil
	}
	return c.buf[:n]
}
