package sockdiag

import (
	"context"
	"errors"
	"io"
	"slices"

	"golang.org/x/sys/unix"
)

// holding are the states of TCP connections whose local address the other end may still
// name: it is not told of a half-closed end before it has read everything. A connection in
// TIME_WAIT has been closed by both.
const holding = 1<<stateEstablished | 1<<stateFinWait1 | 1<<stateFinWait2 | 1<<stateCloseWait | 1<<stateLastAck | 1<<stateClosing

// Numbers of net/tcp_states.h.
const (
	stateLastAck = 9
	stateClosing = 11
)

// AtLocalPorts returns all TCP connections of the namespace whose local port is one of
// ports, of which at most 256 are used, that both ends have not closed. The inode is 0 if no
// process has the socket any more. Any error means that some may be missing, but for a
// kernel without one of the families. Timeout is as in [Conn.Listeners].
func (c *Conn) AtLocalPorts(ctx context.Context, ports []uint16) ([]Connection, error) {
	if len(ports) == 0 {
		return nil, nil
	}
	if err := c.lock(ctx); err != nil {
		return nil, err
	}
	defer c.unlock()
	var out []Connection
	each := func(p []byte) error {
		s, err := parseInet(p)
		switch {
		case err != nil:
			return err
		case !slices.Contains(ports, s.local.Port()):
			return nil // the kernel ignores the filter
		case len(out) >= maxSockets:
			return ErrTooMany
		}
		out = append(out, Connection{Local: s.local, Remote: s.remote, Inode: uint64(s.inode)})
		return nil
	}
	var errs []error
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		p := inetPayload(family, unix.IPPROTO_TCP, holding, 0)
		message := newRequest(appendFilter(p[:], portFilter(bytecodeLocalFrom, bytecodeLocalTo, ports)))
		if err := c.dumpLocked(ctx, "tcp at local ports", message, each); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, err)
		}
	}
	return out, errors.Join(errs...)
}

// ParseProcNetLocal returns the connections at one of these local ports, none without
// ports, in /proc/PID/net/tcp or tcp6, as [Conn.AtLocalPorts] does, for where sock_diag is
// refused. With an error (ErrTooMany: more than 65,536 rows; errRow: one cannot be parsed)
// it returns what was read.
func ParseProcNetLocal(r io.Reader, ports []uint16) ([]Connection, error) {
	if len(ports) == 0 {
		return nil, nil
	}
	return parseProcNet(r, holding, localField, ports)
}
