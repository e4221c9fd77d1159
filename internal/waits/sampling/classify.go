package sampling

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
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

// classify returns what the system call of a thread says.
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
		addr, untimed, mutex := isFutexWait(k)
		return callState{futex: addr, untimed: untimed, mutex: mutex, fixed: ledger.Lock}
	}
	if on := onOfCall(k.NR); on != ledger.Other {
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

// onOfCall returns what a system call waits for whatever its arguments are; Other
// if that depends on them.
func onOfCall(nr int) ledger.On {
	switch nr {
	case unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP:
		return ledger.Sleep
	case unix.SYS_WAIT4, unix.SYS_WAITID:
		return ledger.Child
	case unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNC_FILE_RANGE, unix.SYS_MSYNC, unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_OPENAT:
		return ledger.Disk
	case unix.SYS_SEMOP, unix.SYS_SEMTIMEDOP, unix.SYS_FCNTL, unix.SYS_FLOCK:
		return ledger.Lock
	}
	return ledger.Other
}

// diskOr returns Disk for a thread that sleeps without being interruptible (state
// D, proc_pid_stat(5)), otherwise the given value.
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

// epoll returns what a wait for an epoll set says.
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

// epollSet returns what is in an epoll set of a worker, at most a second old; nil
// if it cannot be read, or has more sets than are kept.
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

// descriptors returns what a wait for descriptors says. t is the thread that waits
// for one file; nil for an epoll set.
func (c *classifier) descriptors(w *worker, t *thread, fds []int, now time.Time) callState {
	if slices.ContainsFunc(fds, func(fd int) bool { return slices.Contains(w.listening, fd) }) {
		return callState{accepts: true, fixed: ledger.Other}
	}
	var one *sockets.Socket
	sockets := 0
	for _, fd := range fds {
		link := c.link(w, fd)
		inode, ok := socketInode(link)
		if !ok && len(fds) == 1 && t != nil && isFile(link) {
			return callState{fixed: c.diskOr(w, t, ledger.Other)}
		}
		if !ok {
			continue
		}
		if sockets++; sockets > maxSetSockets {
			return callState{fixed: ledger.Other}
		}
		switch s := c.names.Name(w.app, inode, now); {
		case s == nil, s.Named && s.On == ledger.Other && len(fds) > 1: // such as the ends of a pair within one process
		case one == nil || !s.Named:
			one = s
		case one.Named && one.On != s.On:
			return callState{fixed: ledger.Other}
		}
	}
	return callState{socket: one, fixed: ledger.Other}
}

// link returns the target of the link of a descriptor, valid until the next call;
// empty if it is closed.
func (c *classifier) link(w *worker, fd int) []byte {
	c.name = append(strconv.AppendInt(append(c.name[:0], "fd/"...), int64(fd), 10), 0)
	n, err := w.dir.Readlink(c.name, c.buf[:])
	if err != nil {
		return nil
	}
	return c.buf[:n]
}

// isFile reports whether the target of a link is a file that is no device.
func isFile(link []byte) bool {
	return len(link) > 0 && link[0] == '/' && !bytes.HasPrefix(link, []byte("/dev/"))
}

// socketInode returns the inode in the target of a link such as "socket:[123]".
func socketInode(link []byte) (inode uint64, ok bool) {
	rest, ok := bytes.CutPrefix(link, []byte("socket:["))
	if !ok || len(rest) < 2 || rest[len(rest)-1] != ']' {
		return 0, false
	}
	for _, d := range rest[:len(rest)-1] {
		if d < '0' || d > '9' {
			return 0, false
		}
		inode = inode*10 + uint64(d-'0')
	}
	return inode, true
}
