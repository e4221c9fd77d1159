package proc

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

const (
	// peersShare is the part of one core that asking for the other ends of sockets
	// may use: after a question that took t of processor time there is none for 100 t.
	peersShare = 100
	// peersLimit bounds all the questions about one namespace in one look.
	peersLimit = 500 * time.Millisecond
	// maxPath is the longest path of a UNIX socket that is published, in bytes.
	maxPath = 128
)

// peerBook is the other ends of the sockets that workers of one network
// namespace wait for.
type peerBook struct {
	byInode map[uint64]sockdiag.Peer
	next    time.Time // no question before: by the clock, not by the look
}

// peerNames is what peers are named by, as of one look.
type peerNames struct {
	places *directory
	sample *Connections
	proofs map[*netns]proof
}

// namePeers sets what the waits of this look for sockets are, by the other ends
// of these. The kernel is asked at most once a look and namespace, and only for
// sockets that neither an earlier question nor the sample of connections has.
func (w *Watcher) namePeers(ctx context.Context) {
	w.forgetPeers()
	if len(w.unnamed) == 0 {
		return
	}
	c := w.connections
	c.mu.Lock()
	by := &peerNames{places: c.named, sample: c.last, proofs: make(map[*netns]proof)}
	c.mu.Unlock()
	for n, inodes := range w.wantedPeers(by) {
		w.askPeers(ctx, n, inodes)
		w.askAccepted(ctx, n, inodes)
	}
	for i := range w.unnamed {
		u := &w.unnamed[i]
		u.wait.On, u.wait.Peer = w.together(u, by)
	}
	w.forgetUnnamed()
}

// forgetPeers drops the other ends of sockets in namespaces where nobody waits.
func (w *Watcher) forgetPeers() {
	for _, n := range w.sockets.nets {
		if n.peers != nil && !slices.ContainsFunc(w.unnamed, func(u unnamed) bool { return u.app.net == n }) {
			clear(n.peers.byInode)
		}
	}
}

// wantedPeers returns the sockets that workers wait for, by namespace, as far as
// the sample of connections does not have them.
func (w *Watcher) wantedPeers(by *peerNames) map[*netns]map[uint64]bool {
	wanted := make(map[*netns]map[uint64]bool)
	for i := range w.unnamed {
		u := &w.unnamed[i]
		n := u.app.net
		if wanted[n] == nil {
			wanted[n] = make(map[uint64]bool)
		}
		for _, s := range u.sockets {
			if _, stored := by.stored(u.app, s); s.inode != 0 && !s.accepted && !stored {
				wanted[n][s.inode] = true
			}
		}
	}
	return wanted
}

// forgetUnnamed drops the waits that are still to be named.
func (w *Watcher) forgetUnnamed() {
	clear(w.unnamed)
	w.unnamed = w.unnamed[:0]
}

// askPeers brings the book of a namespace up to date, as far as its share of
// the processor permits, and drops what is no longer wanted.
func (w *Watcher) askPeers(ctx context.Context, n *netns, wanted map[uint64]bool) {
	if n.peers == nil {
		n.peers = &peerBook{byInode: make(map[uint64]sockdiag.Peer)}
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
	runtime.LockOSThread() // the kernel's work is charged to the thread that asks
	defer runtime.UnlockOSThread()
	began := threadTime()
	ctx, cancel := context.WithTimeout(ctx, peersLimit)
	defer cancel()
	ports, _ := w.served(n)
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
	book.next = time.Now().Add(peersShare * (threadTime() - began))
}

// askAccepted adds those sockets that were accepted from a listener of the apps,
// which the kernel leaves out of the other questions.
func (w *Watcher) askAccepted(ctx context.Context, n *netns, wanted map[uint64]bool) {
	var found *acceptedSockets
	for inode := range wanted {
		if _, known := n.peers.byInode[inode]; known {
			continue
		}
		if found == nil {
			if found = w.acceptedIn(ctx, n, func(*acceptedSockets) bool { return false }); found == nil {
				return
			}
		}
		if _, accepted := found.byInode[inode]; accepted {
			n.peers.byInode[inode] = sockdiag.Peer{Connection: sockdiag.Connection{Inode: inode}, Accepted: true}
		}
	}
}

// stored returns the connection of an app to a store that the sample of
// connections has for a socket.
func (by *peerNames) stored(a *app, s waitSocket) (c *Connection, ok bool) {
	i, ok := by.sample.byInode[s.inode]
	if !ok {
		return nil, false
	}
	c = &by.sample.List[i]
	return c, c.App == a.name && (c.Remote.IsValid() || c.Vouched && strings.Contains(c.Component, ":"))
}

// together returns what a wait for several sockets is for: those without a name,
// as the ends of a pair of a process' own, do not count, and the others must
// agree.
func (w *Watcher) together(u *unnamed, by *peerNames) (on, peer string) {
	for _, s := range u.sockets {
		is, name := w.nameSocket(u.app, s, by)
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

// nameSocket returns what a wait for one socket is for; OnOther: not known.
func (w *Watcher) nameSocket(a *app, s waitSocket, by *peerNames) (on, peer string) {
	if s.accepted {
		return OnClient, ""
	}
	if c, ok := by.stored(a, s); ok {
		proven := c.Proven || !c.Remote.IsValid() && c.Vouched
		return w.nameStore(a, c.Component, proven, sockdiag.Connection{Local: c.Local, Remote: c.Remote})
	}
	p := sockdiag.Peer{Connection: sockdiag.Connection{Path: s.path}}
	if s.path == "" {
		var known bool
		if p, known = a.net.peers.byInode[s.inode]; !known {
			return OnOther, ""
		}
	}
	if p.Accepted {
		if p.Path != "" && !slices.ContainsFunc(a.sockets, func(l sockdiag.Listener) bool { return l.Network == sockdiag.Unix && l.Path == p.Path }) {
			return OnOther, ""
		}
		return OnClient, ""
	}
	if p.Path != "" {
		return w.nameStore(a, by.places.socketComponent(p.Path), by.proof(w, a.net).standing != strange, p.Connection)
	}
	component := by.places.component(p.Remote)
	proven := strings.Contains(component, ":") && by.proof(w, a.net).proves(p.Local)
	return w.nameStore(a, component, proven, p.Connection)
}

// proof returns how the connections of a namespace are judged in this look.
func (by *peerNames) proof(w *Watcher, n *netns) proof {
	p, ok := by.proofs[n]
	if !ok {
		p = w.sockets.proof(n)
		by.proofs[n] = p
	}
	return p
}

// nameStore returns what a wait for a connection is for. component is what the
// place stands for: a configured server, which counts only where the ends of the
// connection prove it, or a kind of server, or nothing.
func (w *Watcher) nameStore(a *app, component string, proven bool, c sockdiag.Connection) (on, peer string) {
	kind, server, _ := strings.Cut(component, ":")
	on = OnUpstream
	if kind == OnMySQL || kind == OnRedis {
		on = kind
	}
	if server != "" && proven && on != OnUpstream {
		return on, component
	}
	if name := w.appAt(a, c); name != "" {
		return OnUpstream, "app:" + name
	}
	peer = placeOf(c)
	if kind == "" && c.Path == "" {
		kind = upstreamKind(c.Remote.Port())
	}
	if on == OnUpstream && kind != "" {
		peer += " (" + kind + ")"
	}
	return on, peer
}

// placeOf returns the address or the path of the other end. A path that is
// relative begins with "./", so that it is never taken for another kind of name.
func placeOf(c sockdiag.Connection) string {
	switch {
	case c.Path == "":
		return c.Remote.String()
	case c.Path[0] == '/' || c.Path[0] == '@':
		return text.Label(c.Path, maxPath)
	default:
		return text.Label("./"+c.Path, maxPath)
	}
}

// appAt returns the name of the one other app that listens where a connection
// leads to, if that is in the app's network namespace; "": none, or several.
func (w *Watcher) appAt(a *app, c sockdiag.Connection) string {
	if c.Path == "" && !c.Remote.Addr().IsLoopback() && c.Remote.Addr() != c.Local.Addr() {
		return ""
	}
	name := ""
	for _, other := range w.apps {
		if other.net != a.net || len(other.roots) == 0 || !slices.ContainsFunc(other.sockets, func(l sockdiag.Listener) bool { return answersAt(l, c) }) {
			continue
		}
		if other == a || name != "" {
			return ""
		}
		name = other.name
	}
	return name
}

// answersAt reports whether a listener takes connections to the remote end.
func answersAt(l sockdiag.Listener, c sockdiag.Connection) bool {
	if c.Path != "" || l.Network == sockdiag.Unix {
		return c.Path != "" && l.Network == sockdiag.Unix && l.Path == c.Path
	}
	at := l.Addr.Addr()
	return l.Addr.Port() == c.Remote.Port() && (at == c.Remote.Addr() || at.IsUnspecified() && (at.Is6() || c.Remote.Addr().Is4()))
}

// upstreamKind returns what usually answers at a port that is no store's; "":
// that cannot be told.
func upstreamKind(port uint16) string {
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
