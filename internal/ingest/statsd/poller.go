package statsd

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bell rings once when its socket has something to read, and is silent until
// it is waited for again.
//
// The runtime's poller watches a descriptor for as long as it is open, and each
// packet wakes a thread, whether a goroutine waits or rests. Between the socket
// and that poller therefore stands an epoll set of our own, which is armed for
// one event each time somebody waits (EPOLLONESHOT in epoll_ctl(2)).
type poller struct {
	socket int
	epoll  *os.File
	raw    syscall.RawConn
	events [1]unix.EpollEvent
	ready  func(fd uintptr) bool // made once: a method value is an allocation
	err    error
}

func newPoller(socket int) (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	p := &poller{socket: socket}
	p.ready = p.check
	// os.NewFile gives to the runtime's poller only what does not block.
	err = unix.SetNonblock(fd, true)
	p.epoll = os.NewFile(uintptr(fd), "statsd epoll")
	if err == nil {
		err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, socket, &unix.EpollEvent{Events: unix.EPOLLONESHOT})
	}
	if err == nil {
		err = p.epoll.SetReadDeadline(time.Time{}) // fails if no poller has it
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

// wait returns when the socket has something to read. Its deadline is set from
// outside, by stop: os.ErrDeadlineExceeded.
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

func (p *poller) arm(fd uintptr) {
	p.events[0] = unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT}
	p.err = unix.EpollCtl(int(fd), unix.EPOLL_CTL_MOD, p.socket, &p.events[0])
}

// take is what the runtime's poller calls. Its false means: park until the set
// has an event.
func (p *poller) check(fd uintptr) bool {
	n, err := unix.EpollWait(int(fd), p.events[:], 0)
	if err != nil && !errors.Is(err, syscall.EINTR) {
		p.err = fmt.Errorf("epoll: %w", err)
		return true
	}
	return n > 0
}

// stop makes this wait and all later ones return at once.
func (p *poller) interrupt() { _ = p.epoll.SetReadDeadline(time.Unix(1, 0)) }

func (p *poller) close() error { return p.epoll.Close() }
