package collectors

import (
	"net/netip"
	"time"
)

// SetPoolNow stops the clock of a Pool.
func SetPoolNow(p *Pool, t time.Time) { p.now = func() time.Time { return t } }

// ParseClient returns what is read of a server's name of a client.
func ParseClient(host string) (addr netip.Addr, name string, port uint16) {
	c := parseClient(host)
	return c.addr, c.name, c.port
}
