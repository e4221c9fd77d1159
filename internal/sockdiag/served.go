package sockdiag

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Served is one accepted TCP connection from the side that accepted it, with what that
// side has not read yet.
type Served struct {
	Accepted

	Local, Remote netip.AddrPort // v4-mapped addresses as v4
	Queue         uint32         // bytes that were received and not read; the end of the stream counts as one
}

// Served returns the TCP connections of the namespace whose local port is one of ports,
// of which at most 256 are used, as [Conn.Accepted] does. Those that wait to be accepted
// are left out. Errors and timeout are as in [Conn.Listeners].
func (c *Conn) Served(ctx context.Context, ports []uint16) ([]Served, error) {
	if len(ports) == 0 {
		return nil, nil
	}
	if err := c.lock(ctx); err != nil {
		return nil, err
	}
	defer c.unlock()
	var out []Served
	keep := func(p []byte) error {
		s, err := parseInet(p)
		switch {
		case err != nil:
			return err
		case s.inode == 0 || !slices.Contains(ports, s.local.Port()):
			return nil
		case len(out) >= maxSockets:
			return ErrTooMany
		}
		a, err := parseTCPInfo(p[inetMsgLen:])
		a.Inode = uint64(s.inode)
		out = append(out, Served{a, s.local, s.remote, s.receiveQueue})
		return err
	}
	err := errors.Join(
		c.dump(ctx, "tcp served", acceptedRequest(unix.AF_INET, ports), keep),
		c.dump(ctx, "tcp6 served", acceptedRequest(unix.AF_INET6, ports), keep),
	)
	return out, err
}
