// Package serve bounds what clients of the exporter's HTTP server can take up:
// connections, the time and memory of answers, and the host names by which the
// page is reached. It serves nothing itself.
package serve

import (
	"context"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	// maxConnections is the most connections of a server with descriptors enough.
	maxConnections = 512
	// minConnections is kept even where descriptors are very few.
	minConnections = 8
	// slowAfter is how long an answer may be on its way before its connection may
	// be closed in favour of a new one.
	slowAfter = time.Second
)

// The reasons why a connection is closed by [Connections].
const (
	ClosedIdle    = "idle"    // it had no request under way
	ClosedSlow    = "slow"    // its client did not read the answer
	ClosedRefused = "refused" // it was new, and no other one could be closed
)

// Limit returns the most connections of a server whose process may have that
// many open files. The rest is for what the exporter reads itself.
func Limit(files uint64) int {
	return int(min(max(files/8*3, minConnections), maxConnections))
}

// Connections tracks the connections of one HTTP server and keeps them within a
// limit: in all, and three quarters of it for one remote address. Beyond it a
// connection without a request is closed, the oldest first, so that whoever
// opens many cannot keep others out.
type Connections struct {
	limit, share int
	now          func() time.Time

	mu      sync.Mutex
	open    map[net.Conn]*connection
	remotes map[netip.Prefix]int
	closed  map[string]uint64
}

// connection is one connection that is open.
type connection struct {
	conn    net.Conn
	remote  netip.Prefix
	state   http.ConnState
	since   time.Time // of the state
	writing []time.Time
}

// ConnectionStats are the counters of [Connections].
type ConnectionStats struct {
	Open, Limit int
	Closed      map[string]uint64 // since the start, by reason
}

// NewConnections returns a tracker of at most limit connections.
func NewConnections(limit int) *Connections {
	return &Connections{
		limit: limit, share: max(1, limit-limit/4), now: time.Now,
		open: make(map[net.Conn]*connection), remotes: make(map[netip.Prefix]int),
		closed: map[string]uint64{ClosedIdle: 0, ClosedSlow: 0, ClosedRefused: 0},
	}
}

// Attach makes a server report its connections.
func (c *Connections) Attach(s *http.Server) {
	s.ConnState = c.changed
	s.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, conn)
	}
}

// Stats returns the counters.
func (c *Connections) Stats() ConnectionStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return ConnectionStats{Open: len(c.open), Limit: c.limit, Closed: maps.Clone(c.closed)}
}

type connKey struct{}

// changed is the server's hook. A new connection comes here before anything is
// read from it, in the goroutine that accepts the next one.
func (c *Connections) changed(conn net.Conn, state http.ConnState) {
	var victim net.Conn
	c.mu.Lock()
	switch state {
	case http.StateNew:
		victim = c.admit(conn)
	case http.StateActive, http.StateIdle:
		if x := c.open[conn]; x != nil {
			x.state, x.since = state, c.now()
		}
	case http.StateHijacked, http.StateClosed:
		c.forget(conn)
	}
	c.mu.Unlock()
	if victim != nil {
		_ = plain(victim).Close()
	}
}

// admit notes a new connection and returns the one to close for it, if any.
func (c *Connections) admit(conn net.Conn) net.Conn {
	x := &connection{conn: conn, remote: remoteOf(conn), state: http.StateNew, since: c.now()}
	var victim *connection
	var reason string
	switch {
	case c.remotes[x.remote] >= c.share:
		victim, reason = c.victim(func(o *connection) bool { return o.remote == x.remote })
	case len(c.open) >= c.limit:
		most := 0
		for _, n := range c.remotes {
			most = max(most, n)
		}
		victim, reason = c.victim(func(o *connection) bool { return c.remotes[o.remote] == most })
		if victim == nil {
			victim, reason = c.victim(func(*connection) bool { return true })
		}
	default:
		c.add(x)
		return nil
	}
	if victim == nil {
		c.closed[ClosedRefused]++
		return conn
	}
	c.closed[reason]++
	c.forget(victim.conn)
	c.add(x)
	return victim.conn
}

// victim returns the connection to close first among those that f accepts: the
// one without a request for the longest time, else the one whose client has not
// read its answer for the longest time; nil if there is neither.
func (c *Connections) victim(f func(*connection) bool) (*connection, string) {
	var idle, slow *connection
	for _, x := range c.open {
		if !f(x) {
			continue
		}
		if x.state != http.StateActive {
			if idle == nil || x.since.Before(idle.since) {
				idle = x
			}
			continue
		}
		if len(x.writing) > 0 && c.now().Sub(x.writing[0]) >= slowAfter && (slow == nil || x.writing[0].Before(slow.writing[0])) {
			slow = x
		}
	}
	if idle != nil {
		return idle, ClosedIdle
	}
	return slow, ClosedSlow
}

func (c *Connections) add(x *connection) {
	c.open[x.conn] = x
	c.remotes[x.remote]++
}

func (c *Connections) forget(conn net.Conn) {
	x := c.open[conn]
	if x == nil {
		return
	}
	delete(c.open, conn)
	if c.remotes[x.remote]--; c.remotes[x.remote] <= 0 {
		delete(c.remotes, x.remote)
	}
}

// writing notes that the answer to a request is on its way to the client, until
// the function that it returns is called.
func (c *Connections) writing(ctx context.Context) (done func()) {
	conn, ok := ctx.Value(connKey{}).(net.Conn)
	if !ok {
		return func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.open[conn]
	if x == nil {
		return func() {}
	}
	at := c.now()
	x.writing = append(x.writing, at)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, t := range x.writing {
			if t.Equal(at) {
				x.writing = append(x.writing[:i], x.writing[i+1:]...)
				return
			}
		}
	}
}

// plain returns the connection below TLS: closing TLS waits for the client.
func plain(conn net.Conn) net.Conn {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return conn
}

// remoteOf returns what one client can choose addresses from: an IPv4 address,
// an IPv6 network of 64 bits, the whole loopback. Other networks, such as UNIX
// sockets, are one remote.
func remoteOf(conn net.Conn) netip.Prefix {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	if ip.IsLoopback() {
		return netip.PrefixFrom(netip.IPv6Loopback(), 128)
	}
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
