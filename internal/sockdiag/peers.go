package sockdiag

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Peer is the other end of one socket.
type Peer struct {
	Connection

	Accepted bool // UNIX: the socket itself was accepted at Path
}

// Peers returns the other ends of those TCP sockets of the namespace whose inode is
// wanted: of established sockets, of those that one end has closed, and of those that
// are connecting. The kernel leaves out sockets whose local port is one of served, of
// which at most 256 are used. It scans its whole table of sockets. Errors and timeout
// are as in [Conn.Listeners].
func (c *Conn) Peers(ctx context.Context, wanted func(inode uint64) bool, served []uint16) ([]Peer, error) {
	const states = 1<<stateEstablished | 1<<stateConnecting | 1<<stateFinWait1 | 1<<stateFinWait2 | 1<<stateCloseWait
	return c.inetPeers(ctx, unix.IPPROTO_TCP, states, wanted, served)
}

// UDPPeers returns the other ends of those UDP sockets of the namespace that are
// connected and whose inode is wanted. Errors and timeout are as in [Conn.Listeners].
func (c *Conn) UDPPeers(ctx context.Context, wanted func(inode uint64) bool) ([]Peer, error) {
	return c.inetPeers(ctx, unix.IPPROTO_UDP, 1<<stateEstablished, wanted, nil)
}

// inetPeers returns the other ends of the sockets of one protocol in the given states whose
// inode is wanted, without those whose local port is one of served. Errors and timeout are
// as in [Conn.Listeners].
func (c *Conn) inetPeers(ctx context.Context, protocol uint8, states uint32, wanted func(uint64) bool, served []uint16) ([]Peer, error) {
	if err := c.lock(ctx); err != nil {
		return nil, err
	}
	defer c.unlock()
	var out []Peer
	keep := func(p []byte) error {
		if len(p) < inetMsgLen {
			_, err := parseInet(p)
			return err
		}
		inode := uint64(binary.NativeEndian.Uint32(p[68:]))
		if inode == 0 || !wanted(inode) {
			return nil
		}
		s, err := parseInet(p)
		switch {
		case err != nil:
			return err
		case !s.remote.Addr().IsValid() || s.remote.Port() == 0:
			return nil
		case len(out) >= maxSockets:
			return ErrTooMany
		}
		out = append(out, Peer{Connection: Connection{Local: s.local, Remote: s.remote, Inode: inode}})
		return nil
	}
	name := map[uint8]string{unix.IPPROTO_TCP: "tcp peers", unix.IPPROTO_UDP: "udp peers"}[protocol]
	err := errors.Join(
		c.dumpLocked(ctx, name, peersRequest(unix.AF_INET, protocol, states, served), keep),
		c.dumpLocked(ctx, name, peersRequest(unix.AF_INET6, protocol, states, served), keep),
	)
	return out, err
}

// UnixPeers returns the ends of UNIX stream connections of the namespace whose inode is
// wanted, with the path at which the connection was accepted. An end without such a
// path, as each of a socketpair, is not returned. Errors and timeout are as in
// [Conn.Listeners].
func (c *Conn) UnixPeers(ctx context.Context, wanted func(inode uint64) bool) ([]Peer, error) {
	if err := c.lock(ctx); err != nil {
		return nil, err
	}
	defer c.unlock()
	var out []Peer
	err := c.dumpLocked(ctx, "unix peers", unixConnectionsRequest(), func(p []byte) error {
		path, peer, err := parseUnixAccepted(p)
		if err != nil || path == "" {
			return err
		}
		if len(out)+2 > maxSockets {
			return ErrTooMany
		}
		if own := uint64(binary.NativeEndian.Uint32(p[4:])); wanted(own) {
			out = append(out, Peer{Connection: Connection{Path: path, Inode: own}, Accepted: true})
		}
		if peer != 0 && wanted(uint64(peer)) {
			out = append(out, Peer{Connection: Connection{Path: path, Inode: uint64(peer)}})
		}
		return nil
	})
	return out, err
}

// UnixPending returns those UNIX stream sockets of the namespace whose inode is
// wanted and whose connection waits in the accept queue of a listener, with the
// listener's path. Errors and timeout are as in [Conn.Listeners].
func (c *Conn) UnixPending(ctx context.Context, wanted func(inode uint64) bool) ([]Peer, error) {
	if err := c.lock(ctx); err != nil {
		return nil, err
	}
	defer c.unlock()
	var out []Peer
	err := c.dumpLocked(ctx, "unix pending", unixPendingRequest(), func(p []byte) error {
		path, inodes, err := parseUnixPending(p)
		if err != nil || path == "" {
			return err
		}
		for ; len(inodes) >= 4; inodes = inodes[4:] {
			inode := uint64(binary.NativeEndian.Uint32(inodes))
			switch {
			case inode == 0 || !wanted(inode):
			case len(out) >= maxSockets:
				return ErrTooMany
			default:
				out = append(out, Peer{Connection: Connection{Path: path, Inode: inode}})
			}
		}
		return nil
	})
	return out, err
}

// Numbers of linux/unix_diag.h.
const (
	udiagShowPending = 0x08 // UDIAG_SHOW_ICONS
	unixDiagPending  = 3    // UNIX_DIAG_ICONS
)

// unixPendingRequest returns a dump request for the UNIX listeners and the connections
// in their accept queues.
func unixPendingRequest() []byte {
	return unixRequest(1<<stateListen, udiagShowName|udiagShowPending)
}

// parseUnixPending returns the path in one answer of a dump of listeners, and the inodes of
// the sockets whose connections are in its accept queue, 4 bytes each; "" for another
// socket. errMalformed: the answer, or an attribute of it, is cut short.
func parseUnixPending(p []byte) (path string, inodes []byte, err error) {
	if len(p) < unixMsgLen {
		return "", nil, fmt.Errorf("%w: %d bytes of unix_diag_msg", errMalformed, len(p))
	}
	if p[0] != unix.AF_UNIX || p[1] != unix.SOCK_STREAM || p[2] != stateListen {
		return "", nil, nil
	}
	err = eachAttribute(p[unixMsgLen:], func(kind uint16, v []byte) {
		switch kind {
		case unixDiagName:
			path = parseSocketName(v)
		case unixDiagPending:
			inodes = v
		}
	})
	if err != nil {
		return "", nil, err
	}
	return path, inodes, nil
}

// States of linux/tcp_states.h.
const (
	stateConnecting = 2 // TCP_SYN_SENT
	stateFinWait1   = 4
	stateFinWait2   = 5
)

// peersRequest returns a dump request for the sockets of one family in the given states
// whose local port is none of the first 256 of served.
func peersRequest(family, protocol uint8, states uint32, served []uint16) []byte {
	p := inetPayload(family, protocol, states, 0)
	if len(served) == 0 {
		return newRequest(p[:])
	}
	return newRequest(appendFilter(p[:], excludePortsFilter(served)))
}

// excludePortsFilter returns a program for the kernel's socket filter that accepts a
// socket whose local port is none of the first 256 ports; see [portFilter]. The kernel
// rejects a program unless the path of comparisons that are true leads to its end. So
// each port is compared by "this port or higher" and, if true, by "the next port or
// higher".
func excludePortsFilter(ports []uint16) []byte {
	const compare, leave = 8, 4
	ports = ports[:min(len(ports), maxPorts)]
	var b []byte
	put := func(code uint8, no, port uint16) {
		b = append(b, code, compare)
		b = binary.NativeEndian.AppendUint16(b, no)
		b = append(b, 0, 0)
		b = binary.NativeEndian.AppendUint16(b, port)
	}
	for i, port := range ports {
		put(bytecodeLocalFrom, 2*compare, port)
		left := uint16((2*(len(ports)-1-i) + 1) * compare)
		if port == 1<<16-1 {
			put(bytecodeLocalTo, left+leave, 0) // none is higher
		} else {
			put(bytecodeLocalFrom, left+leave, port+1)
		}
	}
	return b
}
