package sockdiag

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// readTimeout bounds a whole dump when the caller's context does not. The
	// kernel answers in microseconds; only a table of millions takes longer.
	readTimeout = time.Second
	// bufferLen is the maximum length of one datagram of a dump.
	bufferLen = 32 << 10
	// maxSockets is the maximum number of sockets that one dump may return.
	maxSockets = 1 << 16
	// maxPerUser is the maximum number of listening sockets of one user other than root
	// in one dump, so that one user's sockets do not displace those of another.
	maxPerUser = 1024
)

// ErrTooMany is the error if a dump has more sockets than this package returns.
var ErrTooMany = fmt.Errorf("more than %d sockets", maxSockets)

// Conn queries the kernel for the sockets of one network namespace. It stays open
// between queries. It is safe for concurrent use; one query runs at a time.
type Conn struct {
	token  chan struct{} // has one token while no query runs: a mutex that can be locked with a context
	netns  int           // a copy of the namespace's descriptor, 0 for the exporter's own
	closed bool

	nl  *netlink.Conn // nil after a failure, until the next query
	raw syscall.RawConn
	seq uint32

	tcp, tcp6, unix []byte // the requests, built once
	buffers         transfer
}

// transfer is the state of the two functions that are passed to a RawConn, so that a
// query does not allocate closures.
type transfer struct {
	out, buf []byte
	n        int
	err      error

	send, receive func(fd uintptr) (done bool)
}

// Dial returns a Conn in the network namespace of netnsFD, an open /proc/PID/ns/net,
// which needs CAP_SYS_ADMIN; 0 is the exporter's own namespace and needs no capability.
// The descriptor is copied: the caller may close it, and the namespace lives as long as
// the Conn.
func Dial(netnsFD int) (*Conn, error) {
	c := &Conn{
		token: make(chan struct{}, 1),
		tcp:   inetRequest(unix.AF_INET, unix.IPPROTO_TCP, 1<<stateListen, 0),
		tcp6:  inetRequest(unix.AF_INET6, unix.IPPROTO_TCP, 1<<stateListen, 0),
		unix:  unixRequest(1<<stateListen, udiagShowName|udiagShowRQLen|udiagShowUID),
	}
	c.buffers.init()
	c.token <- struct{}{}
	if netnsFD != 0 {
		fd, err := unix.FcntlInt(uintptr(netnsFD), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return nil, fmt.Errorf("sock_diag: copy the network namespace's descriptor: %w", err)
		}
		c.netns = fd
	}
	if err := c.dial(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// init makes the buffer and the functions that read and write the socket.
func (e *transfer) init() {
	e.buf = make([]byte, bufferLen)
	e.send = func(fd uintptr) bool {
		for {
			if e.n, e.err = unix.Write(int(fd), e.out); !errors.Is(e.err, unix.EINTR) {
				return !errors.Is(e.err, unix.EAGAIN)
			}
		}
	}
	e.receive = func(fd uintptr) bool {
		for {
			if e.n, e.err = unix.Read(int(fd), e.buf); !errors.Is(e.err, unix.EINTR) {
				return !errors.Is(e.err, unix.EAGAIN)
			}
		}
	}
}

// dial opens the netlink socket in the namespace of the Conn.
func (c *Conn) dial() error {
	nl, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, &netlink.Config{NetNS: c.netns})
	if err != nil {
		return fmt.Errorf("sock_diag: open: %w", err)
	}
	raw, err := nl.SyscallConn()
	if err != nil {
		return errors.Join(fmt.Errorf("sock_diag: open: %w", err), nl.Close())
	}
	c.nl, c.raw = nl, raw
	return nil
}

// Close closes the socket and the copy of the namespace's descriptor, after the query
// under way, if any. A second Close does nothing.
func (c *Conn) Close() error {
	<-c.token
	defer c.unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	err := c.closeSocket()
	if c.netns != 0 {
		err = errors.Join(err, unix.Close(c.netns))
	}
	return err
}

// closeSocket closes the netlink socket, if it is open.
func (c *Conn) closeSocket() error {
	if c.nl == nil {
		return nil
	}
	err := c.nl.Close()
	c.nl, c.raw = nil, nil
	return err
}

// lock waits until no other query runs, at most until ctx ends; the caller calls unlock.
// The error wraps net.ErrClosed after Close.
func (c *Conn) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sock_diag: %w", err)
	}
	select {
	case <-c.token:
	case <-ctx.Done():
		return fmt.Errorf("sock_diag: wait for the previous request: %w", ctx.Err())
	}
	if c.closed {
		c.unlock()
		return fmt.Errorf("sock_diag: %w", net.ErrClosed)
	}
	return nil
}

// unlock ends a successful lock.
func (c *Conn) unlock() { c.token <- struct{}{} }

// Listeners returns every listening TCP and UNIX stream socket of the namespace. If the
// kernel refuses one kind (ENOENT: it has no such module), it returns the others and the
// error. Of one user other than root, at most 1024 are returned, without an error; of
// all, at most 65,536, with ErrTooMany if there are more. The timeout is ctx's deadline,
// at most one second. After a failure the next call opens the socket again.
func (c *Conn) Listeners(ctx context.Context) ([]Listener, error) {
	if err := c.lock(ctx); err != nil {
		return nil, err
	}
	defer c.unlock()
	out := make([]Listener, 0, 32)
	var perUser map[uint32]int
	keep := func(l Listener, ok bool, err error) error {
		switch {
		case err != nil:
			return err
		case !ok:
			return nil
		case len(out) >= maxSockets:
			return ErrTooMany
		}
		if l.UID != 0 {
			if perUser == nil {
				perUser = make(map[uint32]int)
			}
			if perUser[l.UID]++; perUser[l.UID] > maxPerUser {
				return nil
			}
		}
		out = append(out, l)
		return nil
	}
	inet := func(p []byte) error { return keep(parseTCPListener(p)) }
	local := func(p []byte) error { return keep(parseUnixListener(p)) }

	err := errors.Join(
		c.dumpLocked(ctx, "tcp listeners", c.tcp, inet),
		c.dumpLocked(ctx, "tcp6 listeners", c.tcp6, inet),
		c.dumpLocked(ctx, "unix listeners", c.unix, local),
	)
	return out, err
}

// UDP returns the UDP sockets of the namespace with a local port, all for port 0.
// Errors and timeout are as in [Conn.Listeners].
func (c *Conn) UDP(ctx context.Context, port uint16) ([]UDPSocket, error) {
	if err := c.lock(ctx); err != nil {
		return nil, err
	}
	defer c.unlock()
	var out []UDPSocket
	keep := func(p []byte) error {
		s, err := parseInet(p)
		switch {
		case err != nil:
			return err
		case len(out) >= maxSockets:
			return ErrTooMany
		}
		out = append(out, UDPSocket{Local: s.local, Inode: uint64(s.inode), UID: s.uid, Remote: s.remote})
		return nil
	}
	err := errors.Join(
		c.dumpLocked(ctx, "udp sockets", inetRequest(unix.AF_INET, unix.IPPROTO_UDP, allStates, port), keep),
		c.dumpLocked(ctx, "udp6 sockets", inetRequest(unix.AF_INET6, unix.IPPROTO_UDP, allStates, port), keep),
	)
	return out, err
}

// Sender returns the socket that sent a packet from local: the one bound to exactly that
// address, else the one bound to the wildcard address with that port. For an IPv4
// address, a wildcard socket of IPv4 takes precedence over one of IPv6. ok is false if
// there is none.
func Sender(sockets []UDPSocket, local netip.AddrPort) (s UDPSocket, ok bool) {
	addr := local.Addr().Unmap().WithZone("")
	best, rank := UDPSocket{}, 0
	for _, s := range sockets {
		if s.Local.Port() != local.Port() {
			continue
		}
		a, n := s.Local.Addr(), 0
		switch {
		case a == addr:
			n = 3
		case a.IsUnspecified() && a.Is4() == addr.Is4():
			n = 2
		case a.IsUnspecified() && a.Is6():
			n = 1
		}
		if n > rank {
			best, rank = s, n
		}
	}
	return best, rank > 0
}

// dumpLocked sends one request and calls fn with the payload of each answer. After a
// failure that may leave unread answers, it closes the socket. A syscall.Errno: the
// kernel refused the request. context.DeadlineExceeded: it did not answer in time.
func (c *Conn) dumpLocked(ctx context.Context, what string, message []byte, fn func([]byte) error) error {
	err := c.request(ctx, message, fn)
	if err == nil {
		return nil
	}
	var refused syscall.Errno
	if !errors.As(err, &refused) || errors.Is(err, errTransport) {
		err = errors.Join(err, c.closeSocket())
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// Callers check for context.DeadlineExceeded.
		err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	return fmt.Errorf("sock_diag: %s: %w", what, err)
}

// errTransport marks a failed system call, as opposed to a refusal by the kernel.
var errTransport = errors.New("netlink")

// request sends one request, on a socket that it opens if needed, and calls fn with the
// payload of each answer; fn's error ends it. errTransport: the socket failed.
// errMalformed: the answer is larger than the buffer, or makes no sense. A syscall.Errno:
// the kernel refused the request.
func (c *Conn) request(ctx context.Context, message []byte, fn func([]byte) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.nl == nil {
		if err := c.dial(); err != nil {
			return err
		}
	}
	if err := c.nl.SetDeadline(deadline(ctx)); err != nil {
		return fmt.Errorf("%w: deadline: %w", errTransport, err)
	}
	c.seq++
	setSequence(message, c.seq)
	c.buffers.out = message
	if err := c.wrapError("send", c.raw.Write(c.buffers.send)); err != nil {
		return err
	}
	for {
		if err := c.wrapError("receive", c.raw.Read(c.buffers.receive)); err != nil {
			return err
		}
		if c.buffers.n == len(c.buffers.buf) {
			return fmt.Errorf("%w: a response of %d bytes or more", errMalformed, c.buffers.n)
		}
		if done, err := eachAnswer(c.buffers.buf[:c.buffers.n], c.seq, fn); done || err != nil {
			return err
		}
	}
}

// wrapError returns the error of a call of the RawConn or, if that is nil, the error of
// the system call in it, both with errTransport; nil if there is neither.
func (c *Conn) wrapError(what string, err error) error {
	if err == nil {
		err = c.buffers.err
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", errTransport, what, err)
	}
	return nil
}

// deadline returns when a query must have ended: ctx's deadline, or readTimeout from
// now if that is earlier.
func deadline(ctx context.Context) time.Time {
	t := time.Now().Add(readTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(t) {
		return d
	}
	return t
}
