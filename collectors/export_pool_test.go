package collectors

import (
	"net/netip"
	"time"
)

// SetPoolNow sets the clock of a Pool to a fixed time.
func SetPoolNow(p *Pool, t time.Time) { p.now = func() time.Time { return t } }

// ParseClient returns the parts of a client's name in a server's list of threads.
func ParseClient(host string) (addr netip.Addr, name string, port uint16) {
	c := parseClient(host)
	return c.addr, c.name, c.port
}
