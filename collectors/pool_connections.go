package collectors

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// sampledConnections is the sampled connections of the apps, indexed for the join with
// the threads that the servers list.
type sampledConnections struct {
	snap    *discovery.Snapshot
	taken   time.Time
	errs    map[string]error // by app
	dropped int

	descriptors uint64 // descriptors that were not read, since the start
	list        []sampledConnection
	byPort      map[uint16]int            // local port to the place in list of the last one with it, see sampledConnection.next
	slots       map[string]map[int]string // app and pid to worker slot
	running     bool                      // an app runs
	local       map[string]int            // as [conns.Sample] has it
}

// sampledConnection is one connection. Its component is set to the server that lists
// it.
type sampledConnection struct {
	*conns.Connection

	component string
	next      int // place of another one with this local port; −1: none
}

// newSampledConnections returns the index of a sample of connections.
func newSampledConnections(snap *discovery.Snapshot, c *conns.Sample) *sampledConnections {
	v := &sampledConnections{
		snap: snap, taken: c.Taken, errs: c.Errs, dropped: c.Dropped, descriptors: c.DroppedFDs, list: make([]sampledConnection, len(c.List)),
		local: c.Local, byPort: make(map[uint16]int, len(c.List)), slots: make(map[string]map[int]string, len(snap.Apps)),
	}
	for i := range c.List {
		v.list[i] = sampledConnection{&c.List[i], c.List[i].Component, -1}
		local := c.List[i].Local
		if !local.IsValid() {
			continue
		}
		if next, ok := v.byPort[local.Port()]; ok {
			v.list[i].next = next
		}
		v.byPort[local.Port()] = i
	}
	for i := range snap.Apps {
		a := &snap.Apps[i]
		v.running = v.running || a.Up
		slots := make(map[int]string, len(a.Workers))
		for j := range a.Workers {
			slots[a.Workers[j].PID] = strconv.Itoa(a.Workers[j].Slot)
		}
		v.slots[a.Name] = slots
	}
	return v
}

// known reports whether the connections are known: they were sampled, or no app runs, so
// that there are none.
func (v *sampledConnections) known() bool { return !v.taken.IsZero() || !v.running }

// owner returns the app, slot and pid of the i-th connection.
func (v *sampledConnections) owner(i int) model.Owner {
	x := &v.list[i]
	return model.Owner{App: x.App, Slot: v.slots[x.App][x.PID], PID: x.PID}
}

// client is the client's end of a connection, as the server lists it.
type client struct {
	addr netip.Addr // invalid where the server lists a name
	name string
	port uint16 // 0: it came over a UNIX socket, or the server has none
}

// parseClient parses "10.0.0.7:41872", "::1:41872", "web-1:41872" or
// "localhost", the last for a UNIX socket.
func parseClient(host string) client {
	i := strings.LastIndexByte(host, ':')
	if i < 0 {
		return client{name: host}
	}
	port, err := strconv.ParseUint(host[i+1:], 10, 16)
	if err != nil || port == 0 {
		return client{name: host}
	}
	c := client{name: host[:i], port: uint16(port)}
	if addr, err := netip.ParseAddr(strings.Trim(c.name, "[]")); err == nil {
		c.addr = addr.Unmap().WithZone("")
	}
	return c
}

// clientsOf returns the clients of threads, and how many clients that the server lists
// by name have each port.
func clientsOf(threads []mysql.Thread) (clients []client, named map[uint16]int) {
	clients, named = make([]client, len(threads)), make(map[uint16]int)
	for i := range threads {
		c := parseClient(threads[i].Host)
		if clients[i] = c; c.port != 0 && !c.addr.IsValid() {
			named[c.port]++
		}
	}
	return clients, named
}

// find returns the index of the sampled connection that a server, such as "mysql:main",
// lists as c, or −1. Several with that port are ranked: first those whose ends the kernel proves, then
// those to the server's configured address, then those to any server of its kind. Where two rank
// first, none is returned. Connections in a network namespace that any user could have
// created are ignored. A server that resolves names lists the host by its name, which
// says only whether it is the loopback, so such a port must be unique.
func (v *sampledConnections) find(c client, server string, named map[uint16]int) int {
	if c.port == 0 || !c.addr.IsValid() && named[c.port] > 1 {
		return -1
	}
	i, ok := v.byPort[c.port]
	if !ok {
		return -1
	}
	best, score, rivals := -1, 0, 0
	for ; i >= 0; i = v.list[i].next {
		x := &v.list[i]
		if !x.Vouched || !c.fits(x.Local.Addr()) {
			continue
		}
		switch n := certainty(x.Connection, server); {
		case n > score:
			best, score, rivals = i, n, 0
		case n == score && n > 0:
			rivals++
		}
	}
	if rivals > 0 {
		return -1
	}
	return best
}

// certainty returns the rank of a connection as one to that server; 0 if it is not to
// one of its kind.
func certainty(x *conns.Connection, server string) (n int) {
	kind, _, _ := strings.Cut(server, ":")
	switch x.Component {
	case server:
		n = 2
	case kind:
		n = 1
	default:
		return 0
	}
	if x.Proven {
		n += 2
	}
	return n
}

// fits reports whether a connection with this local address may be that of the client.
func (c client) fits(local netip.Addr) bool {
	if c.addr.IsValid() {
		return c.addr == local
	}
	return (c.name == "localhost" || strings.HasPrefix(c.name, "localhost.")) == local.IsLoopback()
}

// connectionOf returns a thread's connection; the names of user and host are
// cleaned and bounded.
func connectionOf(t *mysql.Thread, who model.Owner) model.Connection {
	c := model.Connection{Owner: who, ID: t.ID}
	if t.Host != "" || t.User != "" {
		c.User, c.Host = text.Label(t.User, maxClientText), text.Label(parseClient(t.Host).name, maxClientText)
	}
	return c
}

// Connections is the part of the connection sampler that this collector uses.
type Connections interface {
	Connections() *conns.Sample
	SampleConnections()
}
