package collectors

import (
	"context"
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

// AgeFor returns the age of the lists that a collector gets of a server.
func (a *Activity) AgeFor(ctx context.Context, t MySQLTarget, collector string) (time.Duration, error) {
	r, err := a.read(ctx, t, collector)
	if err != nil {
		return 0, err
	}
	return r.age, nil
}
