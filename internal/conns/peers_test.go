package conns

import (
	"net/netip"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// nameOf returns the name of the peer that the app shop waits for, on a host with these
// other apps.
func nameOf(t *testing.T, component string, proven bool, c sockdiag.Connection) string {
	t.Helper()
	n := &Namespace{}
	at := func(name, address string) AppListeners {
		return AppListeners{Name: name, Namespace: n, Up: true, Listeners: []sockdiag.Listener{{Network: sockdiag.TCP, Addr: netip.MustParseAddrPort(address)}}}
	}
	shop, local, elsewhere := at("shop", "0.0.0.0:8000"), at("local", "127.0.0.2:8003"), at("elsewhere", "0.0.0.0:8004")
	elsewhere.Namespace = &Namespace{}
	unixApp := AppListeners{Name: "unix", Namespace: n, Up: true, Listeners: []sockdiag.Listener{{Network: sockdiag.Unix, Path: "/run/unix.sock"}}}
	ended := at("ended", "0.0.0.0:8005")
	ended.Up = false
	look := Scan{Apps: []AppListeners{shop, at("stock", "0.0.0.0:8001"), at("six", "[::]:8002"), local, elsewhere, unixApp, ended, at("one", "[::]:8006"), at("two", "0.0.0.0:8006"), at("reuses", "0.0.0.0:8007")}}
	look.Apps[0].Listeners = append(look.Apps[0].Listeners, sockdiag.Listener{Network: sockdiag.TCP, Addr: netip.MustParseAddrPort("0.0.0.0:8007")})
	on, peer := look.nameConnection(&shop, component, proven, c)
	return on + " " + peer
}

func TestNamePeer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		component     string
		proven        bool
		local, remote string
		want          string
	}{
		{"mysql:main", true, "10.0.0.1:40000", "10.0.0.2:3306", "mysql mysql:main"},
		{"mysql:main", false, "10.0.0.1:40000", "10.0.0.2:3306", "mysql 10.0.0.2:3306"},
		{"mysql", false, "10.0.0.1:40000", "10.0.0.2:3306", "mysql 10.0.0.2:3306"},
		{"redis:cache", true, "[::1]:40000", "[::1]:6379", "redis redis:cache"},
		{"postgresql", false, "10.0.0.1:40000", "10.0.0.9:5432", "upstream 10.0.0.9:5432 (postgresql)"},
		{"", false, "10.0.0.1:40000", "10.0.0.9:443", "upstream 10.0.0.9:443 (https)"},
		{"", false, "10.0.0.1:40000", "10.0.0.9:8001", "upstream 10.0.0.9:8001"},
		{"", false, "127.0.0.1:40000", "127.0.0.1:8001", "upstream app:stock"},
		{"", false, "10.0.0.1:40000", "10.0.0.1:8001", "upstream app:stock"},
		{"", false, "127.0.0.1:40000", "127.0.0.1:8002", "upstream app:six"},
		{"", false, "[::1]:40000", "[::1]:8001", "upstream [::1]:8001"},
		{"", false, "127.0.0.1:40000", "127.0.0.1:8003", "upstream 127.0.0.1:8003"},
		{"", false, "127.0.0.1:40000", "127.0.0.2:8003", "upstream app:local"},
		{"", false, "127.0.0.1:40000", "127.0.0.1:8000", "upstream app:shop"},
		{"", false, "127.0.0.1:40000", "127.0.0.1:8004", "upstream 127.0.0.1:8004"},
		{"", false, "127.0.0.1:40000", "127.0.0.1:8005", "upstream 127.0.0.1:8005"},
		{"", false, "127.0.0.1:40000", "127.0.0.1:8006", "upstream 127.0.0.1:8006"},
		{"", false, "127.0.0.1:40000", "127.0.0.1:8007", "upstream 127.0.0.1:8007"},
		{"redis", false, "127.0.0.1:40000", "127.0.0.1:8001", "upstream app:stock"},
	} {
		con := sockdiag.Connection{Local: netip.MustParseAddrPort(c.local), Remote: netip.MustParseAddrPort(c.remote)}
		if got := nameOf(t, c.component, c.proven, con); got != c.want {
			t.Errorf("%s, %s to %s: %q, want %q", c.component, c.local, c.remote, got, c.want)
		}
	}
	for path, want := range map[[2]string]string{
		{"mysql:main", "/run/a.sock"}: "mysql mysql:main", {"postgresql", "/run/.s.PGSQL.5432"}: "upstream /run/.s.PGSQL.5432 (postgresql)",
		{"", "/run/unix.sock"}: "upstream app:unix", {"", "@name"}: "upstream @name", {"", "app:stock"}: "upstream ./app:stock", {"", "/run/a\x1b[2J"}: "upstream /run/a_[2J~0c671949",
	} {
		if got := nameOf(t, path[0], true, sockdiag.Connection{Path: path[1]}); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

// The name of several sockets is the name or the kind that all have, or nothing.
func TestNameSeveral(t *testing.T) {
	t.Parallel()
	n := &Namespace{peers: &peerCache{byInode: make(map[uint64]sockdiag.Peer)}}
	for inode, to := range map[uint64]string{1: "10.0.0.2:3306", 2: "10.0.0.2:3306", 3: "10.0.0.3:3306", 4: "10.0.0.9:443"} {
		n.peers.byInode[inode] = sockdiag.Peer{Connection: sockdiag.Connection{Remote: netip.MustParseAddrPort(to), Local: netip.MustParseAddrPort("10.0.0.1:40000")}}
	}
	n.peers.byInode[5] = sockdiag.Peer{Accepted: true}
	by := &peerNamer{services: unresolvedIndex(nil), sample: &Sample{}, trusts: map[*Namespace]addressTrust{n: {}}}
	for sockets, want := range map[[3]uint64]string{
		{1}: "mysql 10.0.0.2:3306", {1, 2}: "mysql 10.0.0.2:3306", {1, 3}: "mysql ", {1, 99}: "mysql 10.0.0.2:3306", {1, 4}: "other ",
		{5}: "client ", {5, 4}: "other ", {99}: "other ", {4, 98, 99}: "upstream 10.0.0.9:443 (https)", {}: "other ",
	} {
		u := &SocketWait{App: &AppListeners{Namespace: n}}
		for _, inode := range sockets {
			if inode != 0 {
				u.Sockets = append(u.Sockets, WaitSocket{Inode: inode})
			}
		}
		on, peer := by.nameAll(u)
		if got := on + " " + peer; got != want {
			t.Errorf("%v: %q, want %q", sockets, got, want)
		}
	}
}

// The kernel is queried only for sockets that are neither in the sample of connections
// nor known to be accepted.
func TestSampledSocketsAreNotAsked(t *testing.T) {
	t.Parallel()
	n := &Namespace{}
	sample := &Sample{List: []Connection{{App: "shop", Component: "mysql:main", Remote: netip.MustParseAddrPort("10.0.0.2:3306"), Inode: 1}}}
	sample.index()
	by := &peerNamer{sample: sample}
	waits := []SocketWait{{App: &AppListeners{Name: "shop", Namespace: n}, Sockets: []WaitSocket{{Inode: 1}, {Inode: 2}, {Inode: 3, Accepted: true}, {Path: "/run/a.sock"}}}}
	if got := by.wanted(waits)[n]; len(got) != 1 || !got[2] {
		t.Errorf("asked for %v, want only socket 2", got)
	}
	waits[0].App.Name = "stock" // the connection is another app's
	if got := by.wanted(waits)[n]; len(got) != 2 {
		t.Errorf("asked for %v, want sockets 1 and 2", got)
	}
}
