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
	// minConnections is kept even where descriptors are very few.
	minConnections = 8
	// slowAfter is how long an answer may be on its way before its connection may
	// be closed in favour of a new one.
	slowAfter = time.Second
)

// The reasons why a connection is closed by [Connections].
const (
	ClosedIdle    = "idle"    // it had no request under way
	ClosedSlow    = "slow"    // its client did not send a request whole, or did not read the response
	ClosedRefused = "refused" // it was new, and no other one could be closed
)

// Limit returns the most connections of a server whose process may have that many of them
// open: 8 at least.
func Limit(open int) int { return max(open, minConnections) }

// Connections tracks the connections of one HTTP server and keeps them within a
// limit: in all, and three quarters of it for one remote address. Beyond it a
// connection that waits for its client is closed, the oldest first, so that
// whoever opens many cannot keep others out.
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
	conn     net.Conn
	remote   netip.Prefix
	state    http.ConnState
	since    time.Time  // of the state, or of the last response
	answered bool       // a response was sent in this state
	requests []*request // whose handlers run; more than one in HTTP/2
}

// ConnectionStats are the counters of [Connections].
type ConnectionStats struct {
	Open, Limit int
	Closed      map[string]uint64 // since the start, by reason
}

// NewConnections returns a tracker of at most limit connections, and of three quarters of
// that, rounded up and at least one, for one remote address.
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

// Stats returns how many connections are open now, their limit, and a copy of how many
// were closed since the start, by reason.
func (c *Connections) Stats() ConnectionStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return ConnectionStats{Open: len(c.open), Limit: c.limit, Closed: maps.Clone(c.closed)}
}

// changed is the server's ConnState hook: it records the state of a connection, and
// closes another one if there are too many. The server calls it for a new connection
// before it reads from it, in the goroutine that accepts the next one.
func (c *Connections) changed(conn net.Conn, state http.ConnState) {
	var victim net.Conn
	c.mu.Lock()
	switch state {
	case http.StateNew:
		victim = c.admit(conn)
	case http.StateActive, http.StateIdle:
		if x := c.open[conn]; x != nil {
			x.state, x.since, x.answered = state, c.now(), false
		}
	case http.StateHijacked, http.StateClosed:
		c.forget(conn)
	}
	c.mu.Unlock()
	if victim != nil {
		_ = unwrap(victim).Close()
	}
}

// admit registers a new connection and returns the one to close for it: nil if there is
// room, conn itself (not registered) if no other one may be closed. The lock is held.
func (c *Connections) admit(conn net.Conn) net.Conn {
	x := &connection{conn: conn, remote: remoteOf(conn), state: http.StateNew, since: c.now()}
	var victim *connection
	var reason string
	switch {
	case c.remotes[x.remote] >= c.share:
		victim, reason = c.longestWaiting(func(o *connection) bool { return o.remote == x.remote })
	case len(c.open) >= c.limit:
		most := 0
		for _, n := range c.remotes {
			most = max(most, n)
		}
		victim, reason = c.longestWaiting(func(o *connection) bool { return c.remotes[o.remote] == most })
		if victim == nil {
			victim, reason = c.longestWaiting(func(*connection) bool { return true })
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

// The order in which connections are closed for new ones.
const (
	rankIdle    = iota // no request, a part of its headers, or a response that was sent
	rankSlow           // a request that has waited for its client for slowAfter
	rankReading        // all its requests wait for their bodies, or none has reached a handler
	rankWorking        // a request is worked at: not closed
)

// rank returns how soon a connection is closed for a new one, from rankIdle to rankWorking
// (not at all), and since when it waits for its client. Of rankWorking the time means
// nothing.
func (x *connection) rank(now time.Time) (int, time.Time) {
	if x.state != http.StateActive || len(x.requests) == 0 && x.answered {
		return rankIdle, x.since
	}
	if len(x.requests) == 0 {
		// The server itself reads a body to its end, or a login is being checked.
		if now.Sub(x.since) >= slowAfter {
			return rankSlow, x.since
		}
		return rankReading, x.since
	}
	oldest, reading := now, true
	for _, q := range x.requests {
		if at := q.waits(); !at.IsZero() && at.Before(oldest) {
			oldest = at
		}
		reading = reading && !q.reading.IsZero()
	}
	switch {
	case now.Sub(oldest) >= slowAfter:
		return rankSlow, oldest
	case reading:
		return rankReading, oldest
	}
	return rankWorking, oldest
}

// longestWaiting returns the connection to close first among those that f accepts, that is
// the oldest of the lowest rank, and why: ClosedIdle, for other ranks ClosedSlow. nil if f
// accepts none, or a request of each is worked at.
func (c *Connections) longestWaiting(f func(*connection) bool) (*connection, string) {
	var first *connection
	var since time.Time
	rank, now := rankWorking, c.now()
	for _, x := range c.open {
		if !f(x) {
			continue
		}
		if n, at := x.rank(now); n < rank || n == rank && first != nil && at.Before(since) {
			first, rank, since = x, n, at
		}
	}
	if rank == rankIdle {
		return first, ClosedIdle
	}
	return first, ClosedSlow
}

// add adds a connection and counts it for its address. The lock is held.
func (c *Connections) add(x *connection) {
	c.open[x.conn] = x
	c.remotes[x.remote]++
}

// forget removes a connection, if it is there. The lock is held.
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

// remoteOf returns the range from which one client can choose addresses: an IPv4 address,
// an IPv6 network of 64 bits, the whole loopback. All connections without an IP address,
// such as UNIX sockets, have the zero Prefix.
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
