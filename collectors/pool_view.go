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
)

// connectionView is the sampled connections of the apps, ready to be joined
// with the lists of servers.
type connectionView struct {
	snap    *discovery.Snapshot
	taken   time.Time
	errs    map[string]error // by app
	dropped int

	descriptors uint64 // that were not looked at, since the start
	list        []viewed
	byPort      map[uint16]int            // local port to the place in list of the last one with it, see viewed.next
	slots       map[string]map[int]string // app and pid to worker slot
	running     bool                      // an app runs
}

// viewed is one connection. A server that knows it says which one it is.
type viewed struct {
	*conns.Connection

	component string
	next      int // place of another one with this local port; −1: none
}

func newConnectionView(snap *discovery.Snapshot, c *conns.Sample) *connectionView {
	v := &connectionView{
		snap: snap, taken: c.Taken, errs: c.Errs, dropped: c.Dropped, descriptors: c.DroppedFDs, list: make([]viewed, len(c.List)),
		byPort: make(map[uint16]int, len(c.List)), slots: make(map[string]map[int]string, len(snap.Apps)),
	}
	for i := range c.List {
		v.list[i] = viewed{&c.List[i], c.List[i].Component, -1}
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

// known reports whether there is a sample, or nobody to sample.
func (v *connectionView) known() bool { return !v.taken.IsZero() || !v.running }

func (v *connectionView) owner(i int) model.Owner {
	x := &v.list[i]
	return model.Owner{App: x.App, Slot: v.slots[x.App][x.PID], PID: x.PID}
}

// client is the other end of a thread, as the server's list has it.
type client struct {
	addr netip.Addr // not valid where the server gives a name
	name string
	port uint16 // 0: it came over a UNIX socket, or the server has none
}

// parseClient reads "10.0.0.7:41872", "::1:41872", "web-1:41872" or
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

// clientsOf returns the other ends of threads, and how often a port is that of a
// client that the server knows by name.
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

// find returns the sampled connection that a server sees as c, or −1. The one
// whose other end is that server's configured address is surer than one that
// leads to some MySQL, and one whose ends the kernel proves is surer than both;
// of two that are as sure, neither is taken. One in a network namespace that
// anybody may have made is never taken. A server that resolves names reports the
// host by a name, of which only follows whether it is this one's loopback: such a
// port must be the only one of its kind.
func (v *connectionView) find(c client, server string, named map[uint16]int) int {
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
		switch n := certainty(x, server); {
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

// certainty returns how sure it is that a connection leads to that server; 0: it
// does not lead to any MySQL.
func certainty(x *viewed, server string) (n int) {
	switch x.Component {
	case "mysql:" + server:
		n = 2
	case "mysql":
		n = 1
	default:
		return 0
	}
	if x.Proven {
		n += 2
	}
	return n
}

func (c client) fits(local netip.Addr) bool {
	if c.addr.IsValid() {
		return c.addr == local
	}
	return (c.name == "localhost" || strings.HasPrefix(c.name, "localhost.")) == local.IsLoopback()
}
