package conns

import (
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// An address is proof only in a network namespace whose owner is trusted.
func TestProof(t *testing.T) {
	t.Parallel()
	host := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fe80::1")}
	for local, want := range map[string][3]bool{ // strange, vouched, ours
		"127.0.0.1:7": {false, false, true}, "[::1]:7": {false, false, true}, "127.9.9.9:7": {false, false, true},
		"[::ffff:127.0.0.1]:7": {false, false, true}, "192.0.2.1:7": {false, false, true}, "[::ffff:192.0.2.1]:7": {false, false, true},
		"[fe80::1%eth0]:7": {false, false, true}, "192.0.2.2:7": {false, true, true}, "[2001:db8::2]:7": {false, true, true},
	} {
		for i, s := range []netnsOwner{ownerForeign, ownerHost, ownerSelf} {
			if got := (addressTrust{s, host}).proves(netip.MustParseAddrPort(local)); got != want[i] {
				t.Errorf("%s in namespace %d: %t", local, i, got)
			}
		}
	}
	for _, s := range []netnsOwner{ownerForeign, ownerHost, ownerSelf} {
		if (addressTrust{owner: s}).proves(netip.AddrPort{}) {
			t.Errorf("no address, in namespace %d", s)
		}
	}
}

// A namespace is ours by its inode number only; one that cannot be read has no owner.
func TestStanding(t *testing.T) {
	t.Parallel()
	s := NewNamespaces(procfs.New("/proc"))
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &st); err != nil {
		t.Fatal(err)
	}
	if got := s.ownerOf(&Namespace{Inode: st.Ino, pid: os.Getpid()}); got != ownerSelf {
		t.Errorf("our own: %d", got)
	}
	if got := s.ownerOf(&Namespace{Inode: st.Ino + 1, pid: os.Getpid()}); got != ownerForeign {
		t.Errorf("one that the process has left: %d", got)
	}
	if got := s.ownerOf(&Namespace{Inode: st.Ino + 1, pid: 1<<22 + 1}); got != ownerForeign {
		t.Errorf("of a process that has ended: %d", got)
	}
	s.own = 0 // as if the exporter lived in another one of the same owner
	if fd, err := unix.Open("/proc/self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
		_, err = unix.IoctlRetInt(fd, nsGetUserNS)
		_ = unix.Close(fd)
		want := ownerHost
		if err != nil { // in a user namespace below the owner's
			want = ownerForeign
		}
		if got := s.ownerOf(&Namespace{Inode: st.Ino, pid: os.Getpid()}); got != want {
			t.Errorf("one of our owner: %d, want %d", got, want)
		}
	}
	s.user = procfs.NamespaceID{Dev: 1, Ino: 2}
	if got := s.ownerOf(&Namespace{Inode: st.Ino, pid: os.Getpid()}); got != ownerForeign {
		t.Errorf("one of another owner: %d", got)
	}
	s.user = procfs.NamespaceID{}
	if got := s.ownerOf(&Namespace{Inode: st.Ino, pid: os.Getpid()}); got != ownerForeign {
		t.Errorf("of an unknown owner: %d", got)
	}
}

// Sockets that an action does not want, and those without proof, do not count against
// the limit of the others.
func TestKeep(t *testing.T) {
	t.Parallel()
	for s, want := range map[netnsOwner]int{ownerSelf: 1, ownerHost: 0, ownerForeign: 0} {
		f := &netnsSockets{trust: addressTrust{owner: s}, byInode: make(map[uint64]serviceSocket)}
		for i := range uint64(2 * maxConnections) {
			f.byInode[i] = serviceSocket{sockdiag.Connection{Local: netip.MustParseAddrPort("127.0.0.1:7"), Inode: i}, "redis"}
		}
		f.byInode[7] = serviceSocket{sockdiag.Connection{Local: netip.MustParseAddrPort("127.0.0.1:7"), Inode: 7}, "mysql:main"}
		f.byInode[8] = serviceSocket{sockdiag.Connection{Path: "/run/mysqld/mysqld.sock", Inode: 8}, "mysql:main"}
		f.keep(func(c string) bool { return c == "mysql:main" })
		if len(f.byInode) != want || want == 1 && f.byInode[7].component == "" {
			t.Errorf("in namespace %d %d are left, want %d", s, len(f.byInode), want)
		}
	}
}
