package sockdiag

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Accepted is one connection that was accepted from a listening socket, from the side
// that accepted it.
type Accepted struct {
	Inode    uint64        // of this end's socket, as in the link socket:[N] of /proc/PID/fd
	Sent     time.Duration // since this end last sent data, or since it was accepted; see HasTimes
	Received time.Duration // since it last received data, or since it was accepted; see HasTimes
	Silent   bool          // it has never received data; see HasTimes
	Unsent   bool          // this end has never sent data; Linux 4.19 or newer
	HasTimes bool          // TCP, Linux 4.1 or newer; a UNIX socket has none
}

// Unanswered reports whether the last data on the connection certainly came from the
// other end. The times have the resolution of the kernel's tick, 1 to 10 ms.
func (a Accepted) Unanswered() bool {
	return a.HasTimes && !a.Silent && (a.Unsent || a.Received < a.Sent)
}

// Answered reports whether the last data certainly came from this end.
func (a Accepted) Answered() bool { return a.HasTimes && !a.Unsent && a.Sent < a.Received }

// Quiet returns the time since data last passed in either direction.
func (a Accepted) Quiet() time.Duration { return min(a.Sent, a.Received) }

// Accepted returns the TCP connections of the namespace whose local port is one
// of ports, of which at most 256 are used: the established ones, and those that
// the other end has closed. The kernel scans its whole table of sockets.
// Errors and timeout are as in [Conn.Listeners].
func (c *Conn) Accepted(ctx context.Context, ports []uint16) ([]Accepted, error) {
	if len(ports) == 0 {
		return nil, nil
	}
	if err := c.lock(ctx); err != nil {
		return nil, err
	}
	defer c.unlock()
	var out []Accepted
	keep := func(p []byte) error {
		s, err := parseInet(p)
		switch {
		case err != nil:
			return err
		case s.inode == 0 || !slices.Contains(ports, s.local.Port()):
			return nil // it waits to be accepted, or the kernel ignores the filter
		case len(out) >= maxSockets:
			return ErrTooMany
		}
		a, err := parseTCPInfo(p[inetMsgLen:])
		a.Inode = uint64(s.inode)
		out = append(out, a)
		return err
	}
	err := errors.Join(
		c.dump(ctx, "tcp accepted", acceptedRequest(unix.AF_INET, ports), keep),
		c.dump(ctx, "tcp6 accepted", acceptedRequest(unix.AF_INET6, ports), keep),
	)
	return out, err
}

// UnixAccepted returns the UNIX stream connections of the namespace that were
// accepted at a path for which wanted is true.
func (c *Conn) UnixAccepted(ctx context.Context, wanted func(path string) bool) ([]Accepted, error) {
	if err := c.lock(ctx); err != nil {
		return nil, err
	}
	defer c.unlock()
	var out []Accepted
	err := c.dump(ctx, "unix accepted", unixConnectionsRequest(), func(p []byte) error {
		path, _, err := parseUnixAccepted(p)
		switch {
		case err != nil:
			return err
		case path == "" || !wanted(path):
			return nil
		case len(out) >= maxSockets:
			return ErrTooMany
		}
		out = append(out, Accepted{Inode: uint64(binary.NativeEndian.Uint32(p[4:]))})
		return nil
	})
	return out, err
}

// Numbers of linux/inet_diag.h and offsets in struct tcp_info of linux/tcp.h.
const (
	stateCloseWait    = 8
	inetDiagInfo      = 2 // INET_DIAG_INFO
	bytecodeLocalFrom = 2 // INET_DIAG_BC_S_GE
	bytecodeLocalTo   = 3 // INET_DIAG_BC_S_LE
	infoLastSent      = 44
	infoLastReceived  = 52
	infoBytesReceived = 128
	infoBytesSent     = 200
)

// acceptedRequest returns a dump request for the connections of one family at any of
// these local ports, with the times of their last data.
func acceptedRequest(family uint8, ports []uint16) []byte {
	p := inetPayload(family, unix.IPPROTO_TCP, 1<<stateEstablished|1<<stateCloseWait, 0)
	p[2] = 1 << (inetDiagInfo - 1)
	return newRequest(appendFilter(p[:], portFilter(bytecodeLocalFrom, bytecodeLocalTo, ports)))
}

// parseTCPInfo parses the attributes of one answer. An older kernel has a shorter
// struct tcp_info.
func parseTCPInfo(b []byte) (Accepted, error) {
	var a Accepted
	err := eachAttribute(b, func(kind uint16, v []byte) {
		if kind != inetDiagInfo || len(v) < infoBytesReceived+8 {
			return
		}
		ms := func(at int) time.Duration {
			return time.Duration(binary.NativeEndian.Uint32(v[at:])) * time.Millisecond
		}
		a.Sent, a.Received, a.HasTimes = ms(infoLastSent), ms(infoLastReceived), true
		a.Silent = binary.NativeEndian.Uint64(v[infoBytesReceived:]) == 0
		a.Unsent = len(v) >= infoBytesSent+8 && binary.NativeEndian.Uint64(v[infoBytesSent:]) == 0
	})
	if err != nil {
		return Accepted{}, fmt.Errorf("tcp_info: %w", err)
	}
	return a, nil
}
