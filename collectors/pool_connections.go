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

// newSampledConnections returns a sample of connections with what is needed to find them:
// by their ports, and the slots of the apps' processes.
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

// known reports whether it is known which connections there are: they were sampled, or no
// app runs.
func (v *sampledConnections) known() bool { return !v.taken.IsZero() || !v.running }

// owner returns the app, slot and pid of the i-th connection; the slot is "" if the
// process has none.
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

// parseClient returns the client that a server lists as host: "10.0.0.7:41872",
// "::1:41872", "web-1:41872", or "localhost" over a UNIX socket. Without a port the whole
// text is its name.
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

// processes returns how many workers an app has; 0 if it does not run.
func (v *sampledConnections) processes(app string) int {
	for i := range v.snap.Apps {
		if a := &v.snap.Apps[i]; a.Up && a.Name == app {
			return len(a.Workers)
		}
	}
	return 0
}

// clientsOf returns the clients of threads, in their order, and by port how many clients
// the server lists by a name instead of an address.
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

// find returns the index of the sampled connection that a server, e.g. "mysql:main",
// lists as c; -1 if that is not known. Of several with the port it takes those whose ends
// the kernel proves, then those to the server's address, then to any server of its kind,
// if only one is left.
//
// A connection in a network namespace that any user may have made does not count. A
// client listed by name must be the only one with its port: a name tells only whether it
// is the loopback.
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

// certainty returns the rank of a connection as one to the server, higher if it is surer;
// 0 if it is not to a server of that kind.
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

// fits reports whether a connection with this local address may be that of the client: it
// has the client's address or, if the server lists a name, is on the loopback if and only
// if that is "localhost" or begins with "localhost.".
func (c client) fits(local netip.Addr) bool {
	if c.addr.IsValid() {
		return c.addr == local
	}
	return (c.name == "localhost" || strings.HasPrefix(c.name, "localhost.")) == local.IsLoopback()
}

// connectionOf returns a thread's connection with its owner. The names of user and host,
// without the port, are cleaned and cut to 64 bytes.
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
