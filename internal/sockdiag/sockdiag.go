// Package sockdiag lists listening sockets and how full their accept queues
// are, as the kernel tells it by netlink sock_diag (linux/inet_diag.h,
// linux/unix_diag.h) or, where that is refused, in /proc/PID/net.
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
	UID      uint32         // owner; 0 for Unix where the kernel (before 5.3) or the fallback does not tell
	Queue    uint32         // connections that wait for accept; see HasQueue
	Limit    uint32         // the backlog in force (after net.core.somaxconn); see HasLimit
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

// maxLabel is the longest label in bytes: "unix:" and a path of 108 fit in.
const maxLabel = 128

// Label names a listener the way people write it: ":8000" for every address,
// "127.0.0.1:8000", "[::1]:8000", "unix:/run/x.sock", "unix:@name". It is never
// empty, and fit for the value of a label: any user binds a socket to any bytes.
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
