package sockdiag_test

import (
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// anyOf returns a function that reports whether an inode is one of these.
func anyOf(inodes ...uint64) func(uint64) bool {
	return func(inode uint64) bool { return slices.Contains(inodes, inode) }
}

func addrOf(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }

// The kernel returns the other end of the requested sockets, of both families, and of no
// socket of a server whose port is left out.
func TestPeers(t *testing.T) {
	t.Parallel()
	c := dial(t, 0)
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		client, server := bothEnds(t, "tcp", address)
		other, _ := bothEnds(t, "tcp", address)
		mine, theirs, left := inodeOfConn(t, client), inodeOfConn(t, server), inodeOfConn(t, other)
		list, err := c.Peers(t.Context(), anyOf(mine, theirs), nil)
		if err != nil || len(list) != 2 {
			t.Fatalf("%s: %+v, %v", address, list, err)
		}
		list, err = c.Peers(t.Context(), anyOf(mine, theirs), []uint16{1, addrOf(server.LocalAddr()).Port(), 65535})
		want := sockdiag.Peer{Connection: sockdiag.Connection{Local: addrOf(client.LocalAddr()), Remote: addrOf(server.LocalAddr()), Inode: mine}}
		if err != nil || len(list) != 1 || list[0] != want {
			t.Errorf("%s: %+v, %v, want %+v and not inode %d", address, list, err, want, left)
		}
		_ = server.Close() // the client may still wait for an answer that never comes
		if list, err = c.Peers(t.Context(), anyOf(mine), nil); err != nil || len(list) != 1 || list[0] != want {
			t.Errorf("%s: closed by the other end: %+v, %v", address, list, err)
		}
	}
}

// A connection that is not established yet, because the queue is full, has a peer.
func TestPeersConnecting(t *testing.T) {
	t.Parallel()
	addr, _ := listen(t, unix.AF_INET, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	port := addr.(*unix.SockaddrInet4).Port
	var last uint64
	for range 16 { // one more than the queue has places is in SYN_SENT
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}); err != unix.EINPROGRESS {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			t.Fatal(err)
		}
		last = st.Ino
	}
	list, err := dial(t, 0).Peers(t.Context(), anyOf(last), []uint16{80})
	if err != nil || len(list) != 1 || int(list[0].Remote.Port()) != port {
		t.Errorf("%+v, %v, want port %d", list, err, port)
	}
}

func TestUDPPeers(t *testing.T) {
	t.Parallel()
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	client, err := net.Dial("udp4", server.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	mine := inodeOfConn(t, client)
	list, err := dial(t, 0).UDPPeers(t.Context(), func(uint64) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(p sockdiag.Peer) bool { return p.Inode == mine })
	if i < 0 || list[i].Remote.String() != server.LocalAddr().String() {
		t.Errorf("%+v lacks %d to %s", list, mine, server.LocalAddr())
	}
}

// Both ends of a UNIX connection have the path of the listener; a pair has none.
func TestUnixPeers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	client, server := bothEnds(t, "unix", path)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	wanted := []uint64{inodeOfConn(t, client), inodeOfConn(t, server)}
	for _, fd := range pair {
		t.Cleanup(func() { _ = unix.Close(fd) })
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			t.Fatal(err)
		}
		wanted = append(wanted, st.Ino)
	}
	list, err := dial(t, 0).UnixPeers(t.Context(), anyOf(wanted...))
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, p := range list {
		if p.Path != path || p.Accepted != (p.Inode == wanted[1]) {
			t.Errorf("%+v of inodes %v", p, wanted)
		}
	}
}

// A connection that is not accepted yet has the path of the listener too.
func TestUnixPending(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	listen(t, unix.AF_UNIX, &unix.SockaddrUnix{Name: path})
	client, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	accepted, _ := bothEnds(t, "unix", filepath.Join(t.TempDir(), "a"))
	mine := inodeOfConn(t, client)
	list, err := dial(t, 0).UnixPending(t.Context(), anyOf(mine, inodeOfConn(t, accepted)))
	if err != nil || len(list) != 1 || list[0].Path != path || list[0].Inode != mine || list[0].Accepted {
		t.Errorf("%+v, %v, want inode %d", list, err, mine)
	}
}

// FuzzParseUnixPending: each socket has a path.
func FuzzParseUnixPending(f *testing.F) {
	f.Add(unixAnswer(10, attribute(0, []byte("/run/x\x00")), attribute(3, native.AppendUint32(nil, 77))))
	f.Add(unixAnswer(1, attribute(0, []byte("\x00x"))))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, answer []byte) {
		path, inodes, err := sockdiag.ParseUnixPending(answer)
		if err != nil && (path != "" || inodes != nil) || len(inodes) > len(answer) {
			t.Errorf("%q %v %v", path, inodes, err)
		}
	})
}

func TestOtherPorts(t *testing.T) {
	t.Parallel()
	var many []uint16
	for i := range 300 {
		many = append(many, uint16(1000+2*i))
	}
	for _, ports := range [][]uint16{{8000}, {8000, 8001}, {9000, 8000, 65535, 1}, {65535}, many} {
		code := sockdiag.OtherPorts(ports)
		for _, port := range append([]uint16{1, 2, 7999, 8000, 8001, 8002, 65534, 65535}, ports...) {
			want := !slices.Contains(ports[:min(len(ports), 256)], port)
			if got := runFilter(t, code, port); got != want {
				t.Errorf("%d ports: port %d is accepted: %v", len(ports), port, got)
			}
		}
		if list, err := dial(t, 0).Peers(t.Context(), anyOf(), ports); err != nil || len(list) > 0 {
			t.Errorf("the kernel refuses the program for %d ports: %v, %v", len(ports), list, err)
		}
	}
}

// BenchmarkPeers requests one socket beside 400 connections of a server's clients, which
// the kernel leaves out.
func BenchmarkPeers(b *testing.B) {
	c, ln := dial(b, 0), crowded(b)
	wanted := anyOf(inodeOfConn(b, connect(b, "tcp4", "127.0.0.1:0")))
	served := []uint16{8000, addrOf(ln.Addr()).Port()}
	b.ReportAllocs()
	for b.Loop() {
		if list, err := c.Peers(b.Context(), wanted, served); err != nil || len(list) != 1 {
			b.Fatal(list, err)
		}
	}
}
