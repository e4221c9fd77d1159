package conns

import (
	"context"
	"maps"
	"net/netip"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

const (
	// maxLinksForServers is how many descriptors are read to find out which processes serve
	// the connections that have one local address.
	maxLinksForServers = 1 << 17
	// maxRemotes is how many connections with one local address are told apart.
	maxRemotes = 16
)

// tcpEnds is the two ends of a TCP connection, as its client sees it.
type tcpEnds struct{ local, remote netip.AddrPort }

// remotes is the connections from one local address: the inode of this end, by the remote
// address.
type remotes map[netip.AddrPort]uint64

// servers are the processes that hold the server's ends of connections.
type servers struct {
	of      map[tcpEnds]map[int]bool        // pids
	at      map[netip.AddrPort]map[int]bool // pids that hold a client's end with this address
	clients map[int]bool                    // pids that have a connection to a configured or well-known server
}

// dropAmbiguous removes from found the connections whose local address is also that of a
// connection of the network namespace to another remote address: the peer names its
// client by that address alone, so it may mean either. It keeps those for which the other
// one is proved to lead elsewhere, see [servers.distinct]. services is the inodes of all
// connections to servers in the namespace. If the connections cannot be listed, it removes
// all and sets found.err.
func (c *Sampler) dropAmbiguous(ctx context.Context, h *AppProcesses, found *netnsSockets, services map[uint64]bool) {
	var ports []uint16
	wanted := make(map[tcpEnds]bool)
	for _, s := range found.byInode {
		wanted[tcpEnds{s.Local, s.Remote}] = true
		if s.Local.IsValid() && !slices.Contains(ports, s.Local.Port()) {
			ports = append(ports, s.Local.Port())
		}
	}
	n := c.nets.Get(h.Members[0].PID, h.NetNS, 0)
	all, err := c.atPorts(ctx, n, ports)
	if err != nil && found.err == nil {
		found.err = err
	}
	shared := sharedOf(all)
	var by servers
	if err == nil && len(shared) > 0 {
		by = c.serversOf(ctx, n, shared, services)
	}
	maps.DeleteFunc(found.byInode, func(_ uint64, s serviceSocket) bool {
		return err != nil || !by.distinct(tcpEnds{s.Local, s.Remote}, shared[s.Local], wanted)
	})
}

// sharedOf returns the connections whose local address another one to another remote
// address has too, by that local address.
func sharedOf(list []sockdiag.Connection) map[netip.AddrPort]remotes {
	out := make(map[netip.AddrPort]remotes, len(list))
	for _, s := range list {
		if out[s.Local] == nil {
			out[s.Local] = make(remotes, 1)
		}
		out[s.Local][s.Remote] = s.Inode
	}
	maps.DeleteFunc(out, func(_ netip.AddrPort, r remotes) bool { return len(r) < 2 })
	return out
}

// distinct reports whether the connections from the same local address to the other remotes
// lead elsewhere than c: other processes serve them, and none of those that serve one of
// the connections is a client of a server, or has a connection from that address itself. It
// may be a proxy then, that passes the address of its client on. It is false if the
// processes of one connection are not known, if another one is wanted too, and beyond
// maxRemotes; true if there is no other remote address.
func (by servers) distinct(c tcpEnds, shared remotes, wanted map[tcpEnds]bool) bool {
	if len(shared) > maxRemotes {
		return false
	}
	for remote := range shared {
		other := tcpEnds{c.local, remote}
		if other == c {
			continue
		}
		if wanted[other] || !by.knownNoProxy(c) || !by.knownNoProxy(other) {
			return false
		}
		for pid := range by.of[other] {
			if by.of[c][pid] {
				return false
			}
		}
	}
	return true
}

// knownNoProxy reports whether the processes that serve a connection are known, and none can
// be a proxy, see [servers.distinct].
func (by servers) knownNoProxy(c tcpEnds) bool {
	for pid := range by.of[c] {
		if by.clients[pid] || by.at[c.local][pid] {
			return false
		}
	}
	return len(by.of[c]) > 0
}

// serversOf returns which processes hold the ends of connections with a shared local
// address, the server's where it is in the same network namespace, and which hold one of
// services. Without the right to read it, or beyond the bounds, it returns none.
func (c *Sampler) serversOf(ctx context.Context, n *Namespace, shared map[netip.AddrPort]remotes, services map[uint64]bool) servers {
	ends, err := c.atPorts(ctx, n, portsOf(shared))
	if err != nil {
		return servers{}
	}
	served := make(map[uint64]tcpEnds) // by the inode of the server's end
	for _, s := range ends {
		if _, ok := shared[s.Remote][s.Local]; ok && s.Inode != 0 {
			served[s.Inode] = tcpEnds{s.Remote, s.Local}
		}
	}
	clients := make(map[uint64]netip.AddrPort) // local addresses, by the inode of the client's end
	for local, r := range shared {
		for _, inode := range r {
			clients[inode] = local
		}
	}
	out := servers{make(map[tcpEnds]map[int]bool), make(map[netip.AddrPort]map[int]bool), make(map[int]bool)}
	if !c.eachSocket(ctx, func(pid int, inode uint64) {
		if services[inode] {
			out.clients[pid] = true
		}
		if e, ok := served[inode]; ok {
			addPID(out.of, e, pid)
		}
		if local, ok := clients[inode]; ok {
			addPID(out.at, local, pid)
		}
	}) {
		return servers{}
	}
	return out
}

// addPID adds a process to those of a key.
func addPID[K comparable](of map[K]map[int]bool, key K, pid int) {
	if of[key] == nil {
		of[key] = make(map[int]bool)
	}
	of[key][pid] = true
}

// portsOf returns the ports of the remote addresses of connections with a shared local
// address, each once; without those of more than maxRemotes.
func portsOf(shared map[netip.AddrPort]remotes) (ports []uint16) {
	seen := make(map[uint16]bool)
	for _, r := range shared {
		if len(r) > maxRemotes {
			continue
		}
		for remote := range r {
			if p := remote.Port(); !seen[p] {
				seen[p] = true
				ports = append(ports, p)
			}
		}
	}
	return ports
}

// eachSocket calls visit for each socket of each process of the host. A process whose
// descriptors cannot be read is passed over. false, after visiting some: /proc cannot be
// listed, there are too many descriptors, or ctx has ended.
func (c *Sampler) eachSocket(ctx context.Context, visit func(pid int, inode uint64)) bool {
	processes, err := c.r.Entries(c.r.Root, nil)
	if err != nil {
		return false
	}
	left := maxLinksForServers
	var fds []procfs.Entry
	for _, p := range processes {
		if ctx.Err() != nil {
			return false
		}
		if fds, err = c.r.Entries(c.r.Path(p.N, "fd"), fds[:0]); err != nil {
			continue
		}
		if left -= len(fds); left < 0 {
			return false
		}
		for _, fd := range fds {
			if ino, ok := c.socketAt(p.N, fd.N); ok {
				visit(p.N, ino)
			}
		}
	}
	return true
}

// socketAt returns the inode of the socket at a descriptor of a process; false if it is none
// or cannot be read.
func (c *Sampler) socketAt(pid, fd int) (uint64, bool) {
	link, err := c.r.FDLink(pid, fd)
	if err != nil {
		return 0, false
	}
	return procfs.ParseSocketLink(link)
}
