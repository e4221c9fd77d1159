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
type bell struct {
	socket int
	epoll  *os.File
	raw    syscall.RawConn
	events [1]unix.EpollEvent
	rung   func(fd uintptr) bool // made once: a method value is an allocation
	err    error
}

func newBell(socket int) (*bell, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	b := &bell{socket: socket}
	b.rung = b.take
	// os.NewFile gives to the runtime's poller only what does not block.
	err = unix.SetNonblock(fd, true)
	b.epoll = os.NewFile(uintptr(fd), "statsd epoll")
	if err == nil {
		err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, socket, &unix.EpollEvent{Events: unix.EPOLLONESHOT})
	}
	if err == nil {
		err = b.epoll.SetReadDeadline(time.Time{}) // fails if no poller has it
	}
	if err == nil {
		b.raw, err = b.epoll.SyscallConn()
	}
	if err != nil {
		_ = b.epoll.Close()
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return b, nil
}

// wait returns when the socket has something to read. Its deadline is set from
// outside, by stop: os.ErrDeadlineExceeded.
func (b *bell) wait() error {
	b.err = nil
	if err := b.raw.Control(b.arm); err != nil {
		return err
	}
	if b.err != nil {
		return b.err
	}
	if err := b.raw.Read(b.rung); err != nil {
		return err
	}
	return b.err
}

func (b *bell) arm(fd uintptr) {
	b.events[0] = unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT}
	b.err = unix.EpollCtl(int(fd), unix.EPOLL_CTL_MOD, b.socket, &b.events[0])
}

// take is what the runtime's poller calls. Its false means: park until the set
// has an event.
func (b *bell) take(fd uintptr) bool {
	n, err := unix.EpollWait(int(fd), b.events[:], 0)
	if err != nil && !errors.Is(err, syscall.EINTR) {
		b.err = fmt.Errorf("epoll: %w", err)
		return true
	}
	return n > 0
}

// stop makes this wait and all later ones return at once.
func (b *bell) stop() { _ = b.epoll.SetReadDeadline(time.Unix(1, 0)) }

func (b *bell) close() error { return b.epoll.Close() }
