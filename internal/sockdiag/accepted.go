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
// other end. The times have the resolution of the kernel's tick, 1 to 10 ms. False also
// without HasTimes.
func (a Accepted) Unanswered() bool {
	return a.HasTimes && !a.Silent && (a.Unsent || a.Received < a.Sent)
}

// Answered reports whether the last data certainly came from this end; false also without
// HasTimes.
func (a Accepted) Answered() bool { return a.HasTimes && !a.Unsent && a.Sent < a.Received }

// Quiet returns the time since data last passed in either direction. It means nothing
// unless HasTimes is set.
func (a Accepted) Quiet() time.Duration { return min(a.Sent, a.Received) }

// Accepted returns the TCP connections of the namespace that were accepted at one of ports, of
// which 256 are used: established, or closed by the other end. The kernel scans all sockets.
// Errors (with those listed until then) and timeout are as in [Conn.Listeners].
func (c *Conn) Accepted(ctx context.Context, ports []uint16) ([]Accepted, error) {
	var out []Accepted
	err := c.eachAccepted(ctx, "accepted", ports, func(_ *inetSocket, a Accepted) int {
		out = append(out, a)
		return len(out)
	})
	return out, err
}

// eachAccepted calls keep with each TCP connection whose local port is one of ports, of
// which at most 256 are used, and that the app has accepted. keep returns how many it has
// kept. ErrTooMany: it has kept 65,536, and there is another one.
func (c *Conn) eachAccepted(ctx context.Context, what string, ports []uint16, keep func(*inetSocket, Accepted) int) error {
	if len(ports) == 0 {
		return nil
	}
	if err := c.lock(ctx); err != nil {
		return err
	}
	defer c.unlock()
	kept := 0
	each := func(p []byte) error {
		s, err := parseInet(p)
		switch {
		case err != nil:
			return err
		case s.inode == 0 || !slices.Contains(ports, s.local.Port()):
			return nil // it waits to be accepted, or the kernel ignores the filter
		case kept >= maxSockets:
			return ErrTooMany
		}
		a, err := parseTCPInfo(p[inetMsgLen:])
		a.Inode = uint64(s.inode)
		kept = keep(&s, a)
		return err
	}
	return errors.Join(
		c.dumpLocked(ctx, "tcp "+what, acceptedRequest(unix.AF_INET, ports), each),
		c.dumpLocked(ctx, "tcp6 "+what, acceptedRequest(unix.AF_INET6, ports), each),
	)
}

// UnixAccepted returns the UNIX stream connections of the namespace that were accepted at
// a path for which wanted is true. Errors and timeout are as in [Conn.Listeners].
func (c *Conn) UnixAccepted(ctx context.Context, wanted func(path string) bool) ([]Accepted, error) {
	if err := c.lock(ctx); err != nil {
		return nil, err
	}
	defer c.unlock()
	var out []Accepted
	err := c.dumpLocked(ctx, "unix accepted", unixConnectionsRequest(), func(p []byte) error {
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

// acceptedRequest returns a dump request for the TCP connections of one family at the first
// 256 of these local ports, established or closed by the other end, with the times of their
// last data.
func acceptedRequest(family uint8, ports []uint16) []byte {
	p := inetPayload(family, unix.IPPROTO_TCP, 1<<stateEstablished|1<<stateCloseWait, 0)
	p[2] = 1 << (inetDiagInfo - 1)
	return newRequest(appendFilter(p[:], portFilter(bytecodeLocalFrom, bytecodeLocalTo, ports)))
}

// parseTCPInfo returns the times of a connection by the attributes of one answer. HasTimes
// is false without a struct tcp_info, or with the shorter one of an older kernel.
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
