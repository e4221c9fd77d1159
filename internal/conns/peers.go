package conns

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

const (
	// peersShare is the divisor of the part of one core that queries for the
	// other ends of sockets may use: a query of CPU time t is followed by a pause
	// of 100 t.
	peersShare = 100
	// peersLimit is the timeout of all queries about one namespace in one scan.
	peersLimit = 500 * time.Millisecond
	// maxPath is how many bytes of the path of a UNIX socket are published.
	maxPath = 128
)

// The kinds of what a worker waits for in a call on sockets.
const (
	OnMySQL    = "mysql"
	OnRedis    = "redis"
	OnUpstream = "upstream" // any other peer; also while it is being connected
	OnClient   = "client"   // a connection that was accepted from a listener of the app
	OnOther    = "other"    // anything else, and what cannot be read
)

// peerCache is the other ends of the sockets that workers of one network
// namespace wait for.
type peerCache struct {
	byInode map[uint64]sockdiag.Peer
	next    time.Time // no query before: by the clock, not by the time of the scan
}

// WaitSocket is one socket that a worker waits for.
type WaitSocket struct {
	Inode    uint64
	Accepted bool   // it was accepted from a listener of the app
	Path     string // of the UNIX socket that is being connected, which has no inode yet
}

// SocketWait is a wait for sockets whose other ends are to be named.
type SocketWait struct {
	App      *AppListeners // whose worker it is
	Sockets  []WaitSocket
	On, Peer string // what it is for; set by [Namespaces.NamePeers]
}

// peerNamer names the other ends of sockets in one scan.
type peerNamer struct {
	nets     *Namespaces
	scan     Scan
	services *serviceIndex
	sample   *Sample
	trusts   map[*Namespace]addressTrust
}

// NamePeers sets On and Peer of each wait by the other ends of its sockets. The
// kernel is queried at most once a scan and namespace, and only for sockets that
// neither an earlier query nor the sample of connections has.
func (s *Namespaces) NamePeers(ctx context.Context, at Scan, waits []SocketWait, c *Sampler) {
	s.forgetPeers(waits)
	if len(waits) == 0 {
		return
	}
	by := &peerNamer{nets: s, scan: at, trusts: make(map[*Namespace]addressTrust)}
	by.services, by.sample = c.namingData()
	for n, inodes := range by.wanted(waits) {
		by.queryPeers(ctx, n, inodes)
		by.queryAccepted(ctx, n, inodes)
	}
	for i := range waits {
		u := &waits[i]
		u.On, u.Peer = by.nameAll(u)
	}
}

// forgetPeers drops the other ends of sockets in namespaces without a wait.
func (s *Namespaces) forgetPeers(waits []SocketWait) {
	for _, n := range s.nets {
		if n.peers != nil && !slices.ContainsFunc(waits, func(u SocketWait) bool { return u.App.Namespace == n }) {
			clear(n.peers.byInode)
		}
	}
}

// wanted returns the inodes of the sockets that workers wait for and that a query has to
// name, by namespace. Those of the sample of connections and accepted ones are left out.
func (by *peerNamer) wanted(waits []SocketWait) map[*Namespace]map[uint64]bool {
	wanted := make(map[*Namespace]map[uint64]bool)
	for i := range waits {
		u := &waits[i]
		n := u.App.Namespace
		if wanted[n] == nil {
			wanted[n] = make(map[uint64]bool)
		}
		for _, s := range u.Sockets {
			if _, stored := by.sampled(u.App, s); s.Inode != 0 && !s.Accepted && !stored {
				wanted[n][s.Inode] = true
			}
		}
	}
	return wanted
}

// queryPeers adds to the peer cache of a namespace the other ends of the wanted sockets
// that it lacks, as far as its share of the CPU permits, and removes the entries that are
// no longer wanted.
func (by *peerNamer) queryPeers(ctx context.Context, n *Namespace, wanted map[uint64]bool) {
	if n.peers == nil {
		n.peers = &peerCache{byInode: make(map[uint64]sockdiag.Peer)}
	}
	book := n.peers
	missing := make(map[uint64]bool)
	for inode := range wanted {
		if _, known := book.byInode[inode]; !known {
			missing[inode] = true
		}
	}
	for inode := range book.byInode {
		if !wanted[inode] {
			delete(book.byInode, inode)
		}
	}
	if len(missing) == 0 || n.conn == nil || time.Now().Before(book.next) {
		return
	}
	runtime.LockOSThread() // the kernel's work is charged to the calling thread
	defer runtime.UnlockOSThread()
	began := procfs.ThreadTime()
	ctx, cancel := context.WithTimeout(ctx, peersLimit)
	defer cancel()
	ports, _ := by.scan.served(n)
	lacks := func(inode uint64) bool { return missing[inode] }
	for _, ask := range []func() ([]sockdiag.Peer, error){
		func() ([]sockdiag.Peer, error) { return n.conn.Peers(ctx, lacks, ports) },
		func() ([]sockdiag.Peer, error) { return n.conn.UnixPeers(ctx, lacks) },
		func() ([]sockdiag.Peer, error) { return n.conn.UnixPending(ctx, lacks) },
		func() ([]sockdiag.Peer, error) { return n.conn.UDPPeers(ctx, lacks) },
	} {
		if len(missing) == 0 {
			break
		}
		list, _ := ask() // what came before an error counts; the rest stays unknown
		for _, p := range list {
			book.byInode[p.Inode] = p
			delete(missing, p.Inode)
		}
	}
	book.next = time.Now().Add(peersShare * (procfs.ThreadTime() - began))
}

// queryAccepted adds to the peer cache the wanted sockets that were accepted from a
// listener of the apps, which the other queries leave out.
func (by *peerNamer) queryAccepted(ctx context.Context, n *Namespace, wanted map[uint64]bool) {
	var found *Accepted
	for inode := range wanted {
		if _, known := n.peers.byInode[inode]; known {
			continue
		}
		if found == nil {
			if found = n.Accepted(ctx, by.scan, func(*Accepted) bool { return false }); found == nil {
				return
			}
		}
		if _, accepted := found.ByInode[inode]; accepted {
			n.peers.byInode[inode] = sockdiag.Peer{Connection: sockdiag.Connection{Inode: inode}, Accepted: true}
		}
	}
}

// sampled returns the connection that the sample has for a socket of an app. ok is false
// if it has none of that app, or one that does not say where it leads.
func (by *peerNamer) sampled(a *AppListeners, s WaitSocket) (c *Connection, ok bool) {
	i, ok := by.sample.byInode[s.Inode]
	if !ok {
		return nil, false
	}
	c = &by.sample.List[i]
	return c, c.App == a.Name && (c.Remote.IsValid() || c.Vouched && strings.Contains(c.Component, ":"))
}

// nameAll returns what a wait for several sockets is for, and the name of the other end, ""
// if their names differ. Sockets that are not known, such as the ends of a pair within one
// process, do not count. OnOther and "": none is known, or they are not for the same.
func (by *peerNamer) nameAll(u *SocketWait) (on, peer string) {
	for _, s := range u.Sockets {
		is, name := by.nameSocket(u.App, s)
		switch {
		case is == OnOther:
		case on == "":
			on, peer = is, name
		case on != is:
			return OnOther, ""
		case peer != name:
			peer = ""
		}
	}
	if on == "" {
		return OnOther, ""
	}
	return on, peer
}

// nameSocket returns what a wait for one socket is for, and the name of the other end: for a
// connection that the app accepted OnClient and "". OnOther and "": it is not known, or was
// accepted at a path where the app does not listen.
func (by *peerNamer) nameSocket(a *AppListeners, s WaitSocket) (on, peer string) {
	if s.Accepted {
		return OnClient, ""
	}
	if c, ok := by.sampled(a, s); ok {
		proven := c.Proven || !c.Remote.IsValid() && c.Vouched
		return by.scan.nameConnection(a, c.Component, proven, sockdiag.Connection{Local: c.Local, Remote: c.Remote})
	}
	p := sockdiag.Peer{Connection: sockdiag.Connection{Path: s.Path}}
	if s.Path == "" {
		var known bool
		if p, known = a.Namespace.peers.byInode[s.Inode]; !known {
			return OnOther, ""
		}
	}
	if p.Accepted {
		if p.Path != "" && !slices.ContainsFunc(a.Listeners, func(l sockdiag.Listener) bool { return l.Network == sockdiag.Unix && l.Path == p.Path }) {
			return OnOther, ""
		}
		return OnClient, ""
	}
	if p.Path != "" {
		return by.scan.nameConnection(a, by.services.pathComponent(p.Path), by.trustOf(a.Namespace).owner != ownerForeign, p.Connection)
	}
	component := by.services.component(p.Remote)
	proven := strings.Contains(component, ":") && by.trustOf(a.Namespace).proves(p.Local)
	return by.scan.nameConnection(a, component, proven, p.Connection)
}

// trustOf returns the addressTrust of a namespace, read once a scan.
func (by *peerNamer) trustOf(n *Namespace) addressTrust {
	p, ok := by.trusts[n]
	if !ok {
		p = by.nets.trustOf(n)
		by.trusts[n] = p
	}
	return p
}

// nameConnection returns what a wait at a connection is for, OnMySQL, OnRedis or OnUpstream,
// and the name of the other end: component if it is a configured server and proven; else
// "app:" and the app of this host that listens there (with OnUpstream); else the address, with
// the kind of server in parentheses for OnUpstream if known. component is "" or what the
// address belongs to: a configured server or a kind of server.
func (at Scan) nameConnection(a *AppListeners, component string, proven bool, c sockdiag.Connection) (on, peer string) {
	kind, server, _ := strings.Cut(component, ":")
	on = OnUpstream
	if kind == OnMySQL || kind == OnRedis {
		on = kind
	}
	if server != "" && proven && on != OnUpstream {
		return on, component
	}
	if name := at.appListeningAt(a, c); name != "" {
		return OnUpstream, "app:" + name
	}
	peer = address(c)
	if kind == "" && c.Path == "" {
		kind = serviceOfPort(c.Remote.Port())
	}
	if on == OnUpstream && kind != "" {
		peer += " (" + kind + ")"
	}
	return on, peer
}

// address returns the address "host:port" or the path, at most 128 bytes, of the other
// end of a connection. A relative path begins with "./", so that it cannot be mistaken
// for another kind of name.
func address(c sockdiag.Connection) string {
	switch {
	case c.Path == "":
		return c.Remote.String()
	case c.Path[0] == '/' || c.Path[0] == '@':
		return text.Label(c.Path, maxPath)
	default:
		return text.Label("./"+c.Path, maxPath)
	}
}

// appListeningAt returns the name of the one app that is up and listens where a connection
// of an app leads to, in the same network namespace, which may be the app itself; "" if there
// is none or several, or TCP leads to another address than a loopback or the local one.
func (at Scan) appListeningAt(a *AppListeners, c sockdiag.Connection) string {
	if c.Path == "" && !c.Remote.Addr().IsLoopback() && c.Remote.Addr() != c.Local.Addr() {
		return ""
	}
	name := ""
	for i := range at.Apps {
		other := &at.Apps[i]
		if other.Namespace != a.Namespace || !other.Up || !slices.ContainsFunc(other.Listeners, func(l sockdiag.Listener) bool { return listensAt(l, c) }) {
			continue
		}
		if name != "" && name != other.Name {
			return ""
		}
		name = other.Name
	}
	return name
}

// listensAt reports whether a listener accepts connections to the remote end, by its path or
// by its port and address: all addresses of IPv6 are taken to include those of IPv4.
func listensAt(l sockdiag.Listener, c sockdiag.Connection) bool {
	if c.Path != "" || l.Network == sockdiag.Unix {
		return c.Path != "" && l.Network == sockdiag.Unix && l.Path == c.Path
	}
	at := l.Addr.Addr()
	return l.Addr.Port() == c.Remote.Port() && (at == c.Remote.Addr() || at.IsUnspecified() && (at.Is6() || c.Remote.Addr().Is4()))
}

// serviceOfPort returns the protocol that usually answers at a port outside of
// the well-known servers'; "" if there is none.
func serviceOfPort(port uint16) string {
	switch port {
	case 53, 853:
		return "dns"
	case 80:
		return "http"
	case 443:
		return "https"
	case 25, 465, 587:
		return "smtp"
	case 389, 636:
		return "ldap"
	case 9092:
		return "kafka"
	case 9200:
		return "elasticsearch"
	}
	return ""
}
