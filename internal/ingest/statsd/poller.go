package statsd

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// poller waits until a socket is readable.
//
// The runtime's poller watches a descriptor as long as it is open, and each packet wakes
// a thread even if no goroutine waits. So the socket is in an epoll set of the exporter,
// which is armed for one event per wait (EPOLLONESHOT in epoll_ctl(2)), and only that
// set is in the runtime's poller.
type poller struct {
	socket int
	epoll  *os.File
	raw    syscall.RawConn
	events [1]unix.EpollEvent
	ready  func(fd uintptr) bool // check; created once because a method value allocates
	err    error
}

// newPoller returns a poller of a socket.
func newPoller(socket int) (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	p := &poller{socket: socket}
	p.ready = p.check
	// os.NewFile adds only nonblocking descriptors to the runtime's poller.
	err = unix.SetNonblock(fd, true)
	p.epoll = os.NewFile(uintptr(fd), "statsd epoll")
	if err == nil {
		err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, socket, &unix.EpollEvent{Events: unix.EPOLLONESHOT})
	}
	if err == nil {
		err = p.epoll.SetReadDeadline(time.Time{}) // fails if it is not in the runtime's poller
	}
	if err == nil {
		p.raw, err = p.epoll.SyscallConn()
	}
	if err != nil {
		_ = p.epoll.Close()
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return p, nil
}

// wait returns nil when the socket is readable, and os.ErrDeadlineExceeded after
// interrupt.
func (p *poller) wait() error {
	p.err = nil
	if err := p.raw.Control(p.arm); err != nil {
		return err
	}
	if p.err != nil {
		return p.err
	}
	if err := p.raw.Read(p.ready); err != nil {
		return err
	}
	return p.err
}

// arm enables the epoll set for one event.
func (p *poller) arm(fd uintptr) {
	p.events[0] = unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT}
	p.err = unix.EpollCtl(int(fd), unix.EPOLL_CTL_MOD, p.socket, &p.events[0])
}

// check reports whether the epoll set has an event, or has failed, which sets p.err. If
// it returns false, the runtime parks the goroutine until the set is readable.
func (p *poller) check(fd uintptr) bool {
	n, err := unix.EpollWait(int(fd), p.events[:], 0)
	if err != nil && !errors.Is(err, syscall.EINTR) {
		p.err = fmt.Errorf("epoll: %w", err)
		return true
	}
	return n > 0
}

// interrupt makes the current wait and all later ones return at once.
func (p *poller) interrupt() { _ = p.epoll.SetReadDeadline(time.Unix(1, 0)) }

// close closes the epoll set, but not the socket.
func (p *poller) close() error { return p.epoll.Close() }
