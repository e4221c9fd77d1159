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
	// bufferLen is the most that the kernel puts into one datagram of a dump.
	bufferLen = 32 << 10
	// maxSockets bounds what one dump may give.
	maxSockets = 1 << 16
	// maxOwned bounds the listening sockets of one user other than root's in one
	// dump, so that no user's push out those of another.
	maxOwned = 1024
)

// ErrTooMany says that there are more sockets than this package will hold.
var ErrTooMany = fmt.Errorf("more than %d sockets", maxSockets)

// Conn asks the kernel about the sockets of one network namespace. It stays
// open between questions and may be used by several goroutines, one at a time
// being served.
type Conn struct {
	turn   chan struct{} // holds one token while nobody asks; a mutex that ends with a context
	netns  int           // our own copy of the namespace's descriptor, 0 for our own
	closed bool

	nl  *netlink.Conn // nil after a failure, until the next question
	raw syscall.RawConn
	seq uint32

	tcp, tcp6, unix []byte // the requests, made once
	io              exchange
}

// exchange is the state that the two functions below share with a RawConn, so
// that a question allocates no closure.
type exchange struct {
	out, buf []byte
	n        int
	err      error

	send, receive func(fd uintptr) (done bool)
}

// Dial opens a Conn in the network namespace behind netnsFD, an open
// /proc/PID/ns/net, which needs CAP_SYS_ADMIN; 0 means our own and needs
// nothing. The descriptor is copied: the caller may close it, and the namespace
// lives as long as the Conn.
func Dial(netnsFD int) (*Conn, error) {
	c := &Conn{
		turn: make(chan struct{}, 1),
		tcp:  inetRequest(unix.AF_INET, unix.IPPROTO_TCP, 1<<stateListen, 0),
		tcp6: inetRequest(unix.AF_INET6, unix.IPPROTO_TCP, 1<<stateListen, 0),
		unix: unixRequest(1<<stateListen, udiagShowName|udiagShowRQLen|udiagShowUID),
	}
	c.io.init()
	c.turn <- struct{}{}
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

func (e *exchange) init() {
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

// Close frees the socket and the copy of the namespace's descriptor, after the
// question that is being answered, if any. A second Close does nothing.
func (c *Conn) Close() error {
	<-c.turn
	defer c.unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	err := c.hangUp()
	if c.netns != 0 {
		err = errors.Join(err, unix.Close(c.netns))
	}
	return err
}

func (c *Conn) hangUp() error {
	if c.nl == nil {
		return nil
	}
	err := c.nl.Close()
	c.nl, c.raw = nil, nil
	return err
}

// lock waits for its turn, at most until ctx ends.
func (c *Conn) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sock_diag: %w", err)
	}
	select {
	case <-c.turn:
	case <-ctx.Done():
		return fmt.Errorf("sock_diag: wait for the previous request: %w", ctx.Err())
	}
	if c.closed {
		c.unlock()
		return fmt.Errorf("sock_diag: %w", net.ErrClosed)
	}
	return nil
}

func (c *Conn) unlock() { c.turn <- struct{}{} }

// Listeners returns every listening TCP and UNIX stream socket of the namespace.
// If the kernel refuses one kind (ENOENT: it has no such module), the others
// come with the error. Of one user, root excepted, at most 1024 are returned. It ends with ctx's deadline, and after a second without
// one; a Conn that fails is opened anew by the next call.
func (c *Conn) Listeners(ctx context.Context) ([]Listener, error) {
	if err := c.lock(ctx); err != nil {
		return nil, err
	}
	defer c.unlock()
	out := make([]Listener, 0, 32)
	var owned map[uint32]int
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
			if owned == nil {
				owned = make(map[uint32]int)
			}
			if owned[l.UID]++; owned[l.UID] > maxOwned {
				return nil
			}
		}
		out = append(out, l)
		return nil
	}
	inet := func(p []byte) error { return keep(parseTCPListener(p)) }
	local := func(p []byte) error { return keep(parseUnixListener(p)) }

	err := errors.Join(
		c.dump(ctx, "tcp listeners", c.tcp, inet),
		c.dump(ctx, "tcp6 listeners", c.tcp6, inet),
		c.dump(ctx, "unix listeners", c.unix, local),
	)
	return out, err
}

// UDP returns the UDP sockets of the namespace whose local port is that; port 0
// gives all. Errors and time are as in [Conn.Listeners].
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
		c.dump(ctx, "udp sockets", inetRequest(unix.AF_INET, unix.IPPROTO_UDP, allStates, port), keep),
		c.dump(ctx, "udp6 sockets", inetRequest(unix.AF_INET6, unix.IPPROTO_UDP, allStates, port), keep),
	)
	return out, err
}

// UDPInode finds the socket that sends from local: the one bound to exactly
// that address, else the one bound to every address with that port. ok is false
// if there is none or the kernel would not say.
func (c *Conn) UDPInode(ctx context.Context, local netip.AddrPort) (inode uint64, uid uint32, ok bool) {
	// What was found counts even if one family could not be asked.
	sockets, _ := c.UDP(ctx, local.Port())
	s, ok := Sender(sockets, local)
	return s.Inode, s.UID, ok
}

// Sender picks the socket that a packet from local came from: the one bound to
// exactly that address, else the one bound to every address with that port. A
// v4 address may be sent from by a wildcard socket of either family; that of its
// own wins. ok is false if there is none.
func Sender(sockets []UDPSocket, local netip.AddrPort) (s UDPSocket, ok bool) {
	addr := local.Addr().Unmap().WithZone("")
	best, score := UDPSocket{}, 0
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
		if n > score {
			best, score = s, n
		}
	}
	return best, score > 0
}

// dump asks one question and gives each answer to fn. The caller holds the
// turn. After a failure that may leave answers unread the socket is closed.
func (c *Conn) dump(ctx context.Context, what string, request []byte, fn func([]byte) error) error {
	err := c.exchange(ctx, request, fn)
	if err == nil {
		return nil
	}
	var refused syscall.Errno
	if !errors.As(err, &refused) || errors.Is(err, errTransport) {
		err = errors.Join(err, c.hangUp())
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// Callers know how to treat the end of a context.
		err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	return fmt.Errorf("sock_diag: %s: %w", what, err)
}

// errTransport marks a failed system call, as opposed to a refusal by the kernel.
var errTransport = errors.New("netlink")

func (c *Conn) exchange(ctx context.Context, request []byte, fn func([]byte) error) error {
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
	setSequence(request, c.seq)
	c.io.out = request
	if err := c.system("send", c.raw.Write(c.io.send)); err != nil {
		return err
	}
	for {
		if err := c.system("receive", c.raw.Read(c.io.receive)); err != nil {
			return err
		}
		if c.io.n == len(c.io.buf) {
			return fmt.Errorf("%w: a response of %d bytes or more", errMalformed, c.io.n)
		}
		if done, err := eachAnswer(c.io.buf[:c.io.n], c.seq, fn); done || err != nil {
			return err
		}
	}
}

func (c *Conn) system(what string, err error) error {
	if err == nil {
		err = c.io.err
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", errTransport, what, err)
	}
	return nil
}

// deadline is when a question must be answered: ctx's end, or readTimeout from
// now if that is sooner.
func deadline(ctx context.Context) time.Time {
	t := time.Now().Add(readTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(t) {
		return d
	}
	return t
}
