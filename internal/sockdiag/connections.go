package sockdiag

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxPorts is the maximum number of ports of one query: the filter program must be much
// shorter than the kernel's 16-bit jumps.
const maxPorts = 256

// Connection is one established stream connection, from this end.
type Connection struct {
	Local  netip.AddrPort // TCP; v4-mapped addresses as v4
	Remote netip.AddrPort // TCP
	Path   string         // UNIX: the path at which the other end was accepted, or "@name"
	Inode  uint64         // of this end's socket, as in the link socket:[N] of /proc/PID/fd
}

// Connections returns the established TCP connections of the namespace whose remote port is
// one of ports, of which at most 256 are used, without those that no process has any more.
// The kernel scans its whole table of sockets, which takes 1.6 ms or more. Errors and
// timeout are as in [Conn.Listeners].
func (c *Conn) Connections(ctx context.Context, ports []uint16) ([]Connection, error) {
	if len(ports) == 0 {
		return nil, nil
	}
	if err := c.lock(ctx); err != nil {
		return nil, err
	}
	defer c.unlock()
	var out []Connection
	keep := func(p []byte) error {
		s, err := parseInet(p)
		switch {
		case err != nil:
			return err
		case s.state != stateEstablished || s.inode == 0 || !slices.Contains(ports, s.remote.Port()):
			return nil
		case len(out) >= maxSockets:
			return ErrTooMany
		}
		out = append(out, Connection{Local: s.local, Remote: s.remote, Inode: uint64(s.inode)})
		return nil
	}
	err := errors.Join(
		c.dumpLocked(ctx, "tcp connections", connectionsRequest(unix.AF_INET, ports), keep),
		c.dumpLocked(ctx, "tcp6 connections", connectionsRequest(unix.AF_INET6, ports), keep),
	)
	return out, err
}

// UnixConnections returns the established UNIX stream connections of the namespace to a
// path for which wanted is true, with the inode of the end that connected. Errors and
// timeout are as in [Conn.Listeners].
func (c *Conn) UnixConnections(ctx context.Context, wanted func(path string) bool) ([]Connection, error) {
	if err := c.lock(ctx); err != nil {
		return nil, err
	}
	defer c.unlock()
	var out []Connection
	err := c.dumpLocked(ctx, "unix connections", unixConnectionsRequest(), func(p []byte) error {
		path, peer, err := parseUnixAccepted(p)
		switch {
		case err != nil:
			return err
		case peer == 0 || !wanted(path):
			return nil
		case len(out) >= maxSockets:
			return ErrTooMany
		}
		out = append(out, Connection{Path: path, Inode: uint64(peer)})
		return nil
	})
	return out, err
}

// UnixDatagrams returns the UNIX datagram sockets of the namespace, with the socket to
// which each is connected. Errors and timeout are as in [Conn.Listeners].
func (c *Conn) UnixDatagrams(ctx context.Context) ([]UnixDatagram, error) {
	if err := c.lock(ctx); err != nil {
		return nil, err
	}
	defer c.unlock()
	var out []UnixDatagram
	err := c.dumpLocked(ctx, "unix datagram sockets", unixDatagramsRequest(), func(p []byte) error {
		s, ok, err := parseUnixDatagram(p)
		switch {
		case err != nil || !ok:
			return err
		case len(out) >= maxSockets:
			return ErrTooMany
		}
		out = append(out, s)
		return nil
	})
	return out, err
}

// unixDatagramsRequest returns a dump request for the UNIX sockets in every state.
func unixDatagramsRequest() []byte {
	b := unixConnectionsRequest()
	binary.NativeEndian.PutUint32(b[headerLen+4:], allStates)
	return b
}

// parseUnixDatagram returns the socket in one answer of a UNIX dump; ok is false for a
// socket of another type. errMalformed: the answer, or an attribute of it, is cut short.
func parseUnixDatagram(p []byte) (s UnixDatagram, ok bool, err error) {
	if len(p) < unixMsgLen {
		return s, false, fmt.Errorf("%w: %d bytes of unix_diag_msg", errMalformed, len(p))
	}
	if p[0] != unix.AF_UNIX || p[1] != unix.SOCK_DGRAM {
		return s, false, nil
	}
	s.Inode = uint64(binary.NativeEndian.Uint32(p[4:]))
	err = eachAttribute(p[unixMsgLen:], func(kind uint16, v []byte) {
		switch {
		case kind == unixDiagName:
			s.Path = parseSocketName(v)
		case kind == unixDiagPeer && len(v) >= 4:
			s.Peer = uint64(binary.NativeEndian.Uint32(v))
		}
	})
	return s, err == nil, err
}

// Numbers of linux/inet_diag.h and linux/unix_diag.h for connections.
const (
	stateEstablished   = 1
	inetDiagBytecode   = 1 // INET_DIAG_REQ_BYTECODE
	bytecodeJump       = 1
	bytecodeRemoteFrom = 4 // the remote port is that or higher
	bytecodeRemoteTo   = 5 // the remote port is that or lower
	udiagShowPeer      = 0x04
	unixDiagPeer       = 2
)

// connectionsRequest returns a dump request for the established TCP connections of one
// family to the first 256 of ports.
func connectionsRequest(family uint8, ports []uint16) []byte {
	p := inetPayload(family, unix.IPPROTO_TCP, 1<<stateEstablished, 0)
	return newRequest(appendFilter(p[:], remotePortsFilter(ports)))
}

// appendFilter appends to the payload of a request the attribute with a program for the
// kernel's socket filter. It does not use netlink.MarshalAttributes, which makes one more
// copy per query.
func appendFilter(p, code []byte) []byte {
	p = slices.Grow(p, attrLen+len(code))
	p = binary.NativeEndian.AppendUint16(p, uint16(attrLen+len(code)))
	p = binary.NativeEndian.AppendUint16(p, inetDiagBytecode)
	return append(p, code...)
}

// remotePortsFilter returns the program for sockets whose remote port is one of the first
// 256 ports, see [portFilter].
func remotePortsFilter(ports []uint16) []byte {
	return portFilter(bytecodeRemoteFrom, bytecodeRemoteTo, ports)
}

// portFilter returns a program for the kernel's socket filter. It accepts a socket if the
// port that the codes from and to compare is one of the first 256 ports. An instruction
// has a code, the offset if it is true, and the offset if it is false. A jump to the end
// accepts the socket, a jump to four bytes after the end rejects it. Every kernel has
// these comparisons.
func portFilter(from, to uint8, ports []uint16) []byte {
	const compare, jump = 8, 4
	ports = ports[:min(len(ports), maxPorts)]
	var b []byte
	put := func(code, yes uint8, no uint16) {
		b = append(b, code, yes)
		b = binary.NativeEndian.AppendUint16(b, no)
	}
	for i, port := range ports {
		put(from, compare, 2*compare+jump)
		put(0, 0, port)
		put(to, compare, compare+jump)
		put(0, 0, port)
		if left := len(ports) - 1 - i; left > 0 {
			put(bytecodeJump, jump, uint16(left*(2*compare+jump)))
		}
	}
	return b
}

// unixConnectionsRequest returns a dump request for the established UNIX sockets with
// their peers.
func unixConnectionsRequest() []byte {
	return unixRequest(1<<stateEstablished, udiagShowName|udiagShowPeer)
}

// parseUnixAccepted returns the path and the peer in one answer of a UNIX dump. Only the
// end that was accepted has a path, that of the listener; for any other, path is "" and
// peer is 0. errMalformed: the answer, or an attribute of it, is cut short.
func parseUnixAccepted(p []byte) (path string, peer uint32, err error) {
	if len(p) < unixMsgLen {
		return "", 0, fmt.Errorf("%w: %d bytes of unix_diag_msg", errMalformed, len(p))
	}
	if p[0] != unix.AF_UNIX || p[1] != unix.SOCK_STREAM || p[2] != stateEstablished {
		return "", 0, nil
	}
	err = eachAttribute(p[unixMsgLen:], func(kind uint16, v []byte) {
		switch {
		case kind == unixDiagName:
			path = parseSocketName(v)
		case kind == unixDiagPeer && len(v) >= 4:
			peer = binary.NativeEndian.Uint32(v)
		}
	})
	if err != nil || path == "" {
		return "", 0, err
	}
	return path, peer, nil
}

// ParseProcNetConnections returns the established connections to one of ports, or all
// without ports, from /proc/PID/net/tcp or tcp6, for where sock_diag is refused, without
// those that no process has (inode 0). With an error (ErrTooMany: more than 65,536 rows;
// errRow: one cannot be parsed) it returns what was read.
func ParseProcNetConnections(r io.Reader, ports []uint16) ([]Connection, error) {
	out, err := parseProcNet(r, 1<<stateEstablished, remoteField, ports)
	return slices.DeleteFunc(out, func(c Connection) bool { return c.Inode == 0 }), err
}

// Fields of a row of /proc/PID/net/tcp.
const (
	localField  = 1
	remoteField = 2
)

// parseProcNet returns the connections of /proc/PID/net/tcp or tcp6 that are in one of
// states, a set of bits, and whose address in that field has one of ports; without ports
// all. ErrTooMany or errRow, with what was read so far: there are too many rows, or one
// cannot be parsed.
func parseProcNet(r io.Reader, states uint64, field int, ports []uint16) ([]Connection, error) {
	var out []Connection
	err := eachRow(r, func(line []byte) (more bool, err error) {
		f := bytes.Fields(line)
		if len(f) < 10 {
			return false, fmt.Errorf("%w: %d fields", errRow, len(f))
		}
		state, err := strconv.ParseUint(string(f[3]), 16, 5)
		if err != nil {
			return false, fmt.Errorf("%w: state: %w", errRow, err)
		}
		if states>>state&1 == 0 {
			return true, nil
		}
		end, err := parseHexAddrPort(f[field])
		if err != nil || len(ports) > 0 && !slices.Contains(ports, end.Port()) {
			return err == nil, err
		}
		local, err1 := parseHexAddrPort(f[localField])
		remote, err2 := parseHexAddrPort(f[remoteField])
		inode, err3 := strconv.ParseUint(string(f[9]), 10, 64)
		if err3 != nil {
			err3 = fmt.Errorf("%w: inode: %w", errRow, err3)
		}
		if err := errors.Join(err1, err2, err3); err != nil {
			return false, err
		}
		out = append(out, Connection{Local: local, Remote: remote, Inode: inode})
		return true, nil
	})
	return out, wrapFile("net/tcp", err)
}
