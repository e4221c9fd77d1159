package sockdiag

import (
	"context"
	"net/netip"
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
	var out []Served
	err := c.eachAccepted(ctx, "served", ports, func(s *inetSocket, a Accepted) int {
		out = append(out, Served{a, s.local, s.remote, s.receiveQueue})
		return len(out)
	})
	return out, err
}
