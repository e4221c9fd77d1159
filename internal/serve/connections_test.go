package serve

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"
)

// fake is a connection of a remote address that records whether it was closed.
type fake struct {
	net.Conn

	remote string
	closed bool
}

func (f *fake) RemoteAddr() net.Addr {
	a, err := net.ResolveTCPAddr("tcp", f.remote)
	if err != nil {
		return &net.UnixAddr{Name: f.remote, Net: "unix"}
	}
	return a
}

func (f *fake) Close() error { f.closed = true; return nil }

// crowd is a tracker with a clock that the test sets.
type crowd struct {
	*Connections

	at time.Time
}

func newCrowd(limit int) *crowd {
	c := &crowd{Connections: NewConnections(limit), at: time.Unix(1000, 0)}
	c.now = func() time.Time { c.at = c.at.Add(time.Millisecond); return c.at }
	return c
}

func (c *crowd) enter(remote string) *fake {
	f := &fake{remote: remote}
	c.changed(f, http.StateNew)
	return f
}

func TestLimit(t *testing.T) {
	for open, want := range map[int]int{0: 8, 7: 8, 9: 9, 512: 512} {
		if got := Limit(open); got != want {
			t.Errorf("where %d may be open %d connections, want %d", open, got, want)
		}
	}
}

func TestOldestIdleConnectionIsClosed(t *testing.T) {
	c := newCrowd(8)
	busy := c.enter("10.0.0.1:1")
	c.changed(busy, http.StateActive)
	c.begin(context.WithValue(t.Context(), connKey{}, net.Conn(busy)), &request{})
	first, second := c.enter("10.0.0.1:2"), c.enter("10.0.0.1:3")
	c.changed(first, http.StateActive)
	c.changed(first, http.StateIdle) // since then it is the younger one
	for i := range 100 {
		if f := c.enter("10.0.0.2:1"); f.closed {
			t.Fatalf("new connection %d was refused", i)
		}
	}
	s := c.Stats()
	if busy.closed || first.closed || second.closed || s.Open != 8 || s.Closed[ClosedIdle] != 95 || s.Closed[ClosedRefused] != 0 {
		t.Errorf("%+v, closed: %t %t %t", s, busy.closed, first.closed, second.closed)
	}
	// Others come into the share of the one who has the most.
	for range 20 {
		if f := c.enter("[2001:db8::1]:4"); f.closed {
			t.Error("a new remote was refused")
		}
	}
	if busy.closed {
		t.Error("a connection with a request was closed")
	}
}

// One remote network has at most three quarters of the connections, from any number of
// addresses.
func TestShareOfOneRemote(t *testing.T) {
	for name, remotes := range map[string][]string{
		"one address":     {"10.0.0.1:1"},
		"the loopback":    {"127.0.0.1:1", "127.9.8.7:1", "[::1]:1", "[::ffff:127.0.0.1]:2"},
		"an IPv6 network": {"[2001:db8::1]:1", "[2001:db8::ffff:1]:1"},
		"UNIX sockets":    {"@", "/run/x"},
	} {
		c := newCrowd(8)
		for i := range 50 {
			c.enter(remotes[i%len(remotes)])
		}
		if s := c.Stats(); s.Open != 6 || s.Closed[ClosedIdle] != 44 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// After a second, the connection of a client that does not read is closed for a new
// one; a connection whose request is in progress is not.
func TestSlowConnectionIsClosed(t *testing.T) {
	c := newCrowd(4)
	var all []*fake
	var requests []*request
	for range 3 {
		f := c.enter("10.0.0.1:1")
		c.changed(f, http.StateActive)
		q := &request{}
		c.begin(context.WithValue(t.Context(), connKey{}, net.Conn(f)), q)
		all, requests = append(all, f), append(requests, q)
	}
	if f := c.enter("10.0.0.1:1"); !f.closed || c.Stats().Closed[ClosedRefused] != 1 {
		t.Error("a connection beyond the share was accepted while all others work")
	}
	c.setWriting(context.WithValue(t.Context(), requestKey{}, requests[1]))
	if f := c.enter("10.0.0.1:1"); !f.closed {
		t.Error("a response that was begun a moment ago was cut")
	}
	c.at = c.at.Add(2 * slowAfter)
	if f := c.enter("10.0.0.1:1"); f.closed || !all[1].closed || c.Stats().Closed[ClosedSlow] != 1 {
		t.Errorf("the slow reader was kept: %+v", c.Stats())
	}
	for _, f := range all {
		c.changed(f, http.StateClosed)
	}
	if s := c.Stats(); s.Open != 1 {
		t.Errorf("%+v", s)
	}
}
