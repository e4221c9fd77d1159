// Package sockdiag reads the kernel's tables of sockets: listening sockets with their
// accept queues, connections, UDP and UNIX datagram sockets. It uses netlink sock_diag
// (linux/inet_diag.h, linux/unix_diag.h), and has parsers of /proc/PID/net for where
// that is refused.
package sockdiag

import (
	"net/netip"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

// The values of [Listener.Network].
const (
	TCP  = "tcp"
	TCP6 = "tcp6"
	Unix = "unix"
)

// Listener is one listening stream socket. An accept queue is full when Queue
// is above Limit: the kernel lets Limit+1 connections wait.
type Listener struct {
	Network  string         // TCP, TCP6 or Unix
	Addr     netip.AddrPort // TCP and TCP6: where it listens, v4-mapped addresses as v4
	Path     string         // Unix: the path as it was bound, or "@name" for an abstract name
	Inode    uint64         // as in the link socket:[N] of /proc/PID/fd
	UID      uint32         // owner; 0 for Unix if the kernel (before 5.3) or /proc does not report it
	Queue    uint32         // connections that wait for accept; see HasQueue
	Limit    uint32         // the effective backlog (after net.core.somaxconn); see HasLimit
	HasQueue bool
	HasLimit bool
}

// UDPSocket is one UDP socket.
type UDPSocket struct {
	Local netip.AddrPort // v4-mapped addresses as v4; the wildcard address while bound to none
	Inode uint64         // as in the link socket:[N] of /proc/PID/fd
	UID   uint32         // owner
	// Remote is the address that it is connected to; its port is 0 for none.
	Remote netip.AddrPort
}

// UnixDatagram is one UNIX datagram socket of a network namespace.
type UnixDatagram struct {
	Path  string // where it is bound, as in [Listener]; "" for most that send only
	Inode uint64
	Peer  uint64 // inode of the socket that it is connected to; 0: none, or one that is closed
}

// maxLabel is the maximum length of a label in bytes: enough for "unix:" and a path of
// 108.
const maxLabel = 128

// Label returns the name of a listener in the usual notation: ":8000" for the wildcard
// address, "127.0.0.1:8000", "[::1]:8000", "unix:/run/x.sock", "unix:@name". It is never
// empty, has at most 128 bytes, and is a valid label value even though users can bind a
// socket to any bytes.
func Label(l Listener) string {
	if l.Network == Unix {
		return text.Label("unix:"+l.Path, maxLabel)
	}
	a := l.Addr.Addr().Unmap()
	if a.IsUnspecified() {
		return ":" + strconv.Itoa(int(l.Addr.Port()))
	}
	return netip.AddrPortFrom(a, l.Addr.Port()).String()
}
