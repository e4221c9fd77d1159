package statsd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// receiveBufferBytes is the requested receive buffer of each socket. 4 MiB hold about
// ten thousand small packets: what a busy host sends in a few milliseconds.
const receiveBufferBytes = 4 << 20

// socket is one bound datagram socket. Its descriptor is not in the runtime's poller,
// which would wake a thread for every packet even if no goroutine waits; see poller.
type socket struct {
	fd        int
	poller    *poller
	addr      string      // where it listens
	unix      bool        // a UNIX socket
	path      *socketPath // where a UNIX socket is bound; nil if it was inherited
	buffer    int         // bytes, as SO_RCVBUF reports it
	inode     uint64
	procTable string // /proc/net table that shows this socket's drops
	drops     uint32 // the kernel's count when it was last read
}

// inherit returns the socket that a supervisor passed for an address; nil and no error if
// it passed none.
func inherit(from *Inherited, network, address string) (*socket, error) {
	fd, ok, err := from.open(network, address)
	if !ok || err != nil {
		return nil, err
	}
	s := &socket{fd: fd, addr: address, unix: network == "unixgram"}
	if err := s.setUp(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// bind returns a new socket that is bound to an address of network "udp" or "unixgram".
func bind(ctx context.Context, network, address string) (*socket, error) {
	s := &socket{fd: -1, unix: network == "unixgram"}
	switch network {
	case "udp":
	case "unixgram":
		var err error
		if s.path, err = prepareSocketPath(ctx, address); err != nil {
			return nil, err
		}
	default:
		return nil, net.UnknownNetworkError(network)
	}
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(ctx, network, address)
	if err != nil {
		return nil, errors.Join(err, s.close()) // a net.OpError: it names the address
	}
	if s.path != nil {
		err = s.path.setBound()
	}
	s.addr = conn.LocalAddr().String()
	// Package net resolved and bound the address; from here on only a copy of the
	// descriptor is used. Closing conn removes the original from the runtime's poller.
	if err = errors.Join(err, s.copyDescriptor(conn), conn.Close()); err == nil {
		err = s.setUp()
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// copyDescriptor sets fd to a copy of the descriptor of conn.
func (s *socket) copyDescriptor(conn net.PacketConn) error {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return fmt.Errorf("%T has no file descriptor", conn)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return fmt.Errorf("file descriptor: %w", err)
	}
	var inner error
	err = raw.Control(func(fd uintptr) { s.fd, inner = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	return errors.Join(err, inner)
}

// setUp sets the options and the poller, before the first packet is read.
func (s *socket) setUp() error {
	if err := s.setOptions(s.fd); err != nil {
		return err
	}
	var err error
	s.poller, err = newPoller(s.fd)
	return err
}

// setOptions sets the receive buffer and SO_PASSCRED, and records the inode of a UDP
// socket.
func (s *socket) setOptions(fd int) error {
	// SO_RCVBUFFORCE exceeds net.core.rmem_max, with CAP_NET_ADMIN. Otherwise the kernel
	// limits the buffer to that; the metric shows the result.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBufferBytes) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBufferBytes); err != nil {
			return fmt.Errorf("receive buffer: %w", err)
		}
	}
	var err error
	if s.buffer, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF); err != nil {
		return fmt.Errorf("receive buffer: %w", err)
	}
	if s.unix {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
			return fmt.Errorf("peer credentials: %w", err)
		}
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("inode: %w", err)
	}
	s.inode, s.procTable = st.Ino, "/proc/net/udp"
	if sa, err := unix.Getsockname(fd); err == nil {
		if _, six := sa.(*unix.SockaddrInet6); six {
			s.procTable = "/proc/net/udp6"
		}
	}
	return nil
}

// close closes the socket and removes its path, unless another socket was bound there
// since, as by a newer exporter.
func (s *socket) close() error {
	var err error
	if s.poller != nil {
		err = s.poller.close()
	}
	if s.fd >= 0 {
		err = errors.Join(err, unix.Close(s.fd))
	}
	if s.path != nil {
		err = errors.Join(err, s.path.close())
	}
	return err
}
