package sockdiag_test

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

func TestUDPInode(t *testing.T) {
	c := dial(t, 0)
	receiver, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = receiver.Close() }()
	connected, err := net.DialUDP("udp4", nil, receiver.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connected.Close() }()
	any4, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = any4.Close() }()
	dual, err := net.ListenUDP("udp", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dual.Close() }()

	send := func(s *net.UDPConn) netip.AddrPort { return sendTo(t, s, receiver) }
	for name, s := range map[string]*net.UDPConn{"connected": connected, "any": any4, "dual stack": dual} {
		got, ok := sender(t, c, send(s))
		if !ok || got.Inode != inodeOf(t, s) || got.UID != uint32(os.Getuid()) {
			t.Errorf("%s: inode %d uid %d ok %v, want inode %d", name, got.Inode, got.UID, ok, inodeOf(t, s))
		}
	}
	free, closed := send(connected), inodeOf(t, connected)
	_ = connected.Close()
	if got, ok := sender(t, c, free); ok && got.Inode == closed { // another program may have its port by now
		t.Error("a closed sender was found")
	}
}

// sender returns the socket of this namespace that sent a packet from an address.
func sender(t testing.TB, c *sockdiag.Conn, from netip.AddrPort) (sockdiag.UDPSocket, bool) {
	t.Helper()
	sockets, err := c.UDP(t.Context(), from.Port())
	if err != nil {
		t.Fatal(err)
	}
	return sockdiag.Sender(sockets, from)
}

// sendTo sends one packet and returns its source address.
func sendTo(t *testing.T, s, receiver *net.UDPConn) netip.AddrPort {
	t.Helper()
	var err error
	if s.RemoteAddr() != nil {
		_, err = s.Write([]byte("x"))
	} else {
		_, err = s.WriteToUDP([]byte("x"), receiver.LocalAddr().(*net.UDPAddr))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := receiver.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	_, from, err := receiver.ReadFromUDPAddrPort(make([]byte, 8))
	if err != nil {
		t.Fatal(err)
	}
	return from
}

func inodeOf(t *testing.T, s *net.UDPConn) uint64 {
	t.Helper()
	raw, err := s.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if cerr := raw.Control(func(fd uintptr) { err = unix.Fstat(int(fd), &st) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	return st.Ino
}

func TestSender(t *testing.T) {
	ap := netip.MustParseAddrPort
	sockets := []sockdiag.UDPSocket{
		{Local: ap("[::]:9"), Inode: 1}, {Local: ap("0.0.0.0:9"), Inode: 2}, {Local: ap("10.0.0.1:9"), Inode: 3},
		{Local: ap("[::]:8"), Inode: 4}, {Local: ap("0.0.0.0:7"), Inode: 5}, {Local: ap("127.0.0.2:6"), Inode: 6},
	}
	for from, want := range map[string]uint64{
		"10.0.0.1:9": 3, "[::ffff:10.0.0.1]:9": 3, "10.0.0.2:9": 2, "[fe80::1%lo]:9": 1,
		"10.0.0.1:8": 4, "[::1]:7": 0, "127.0.0.1:6": 0, "127.0.0.1:5": 0,
	} {
		if s, ok := sockdiag.Sender(sockets, ap(from)); s.Inode != want || ok != (want != 0) {
			t.Errorf("%s: inode %d ok %v, want %d", from, s.Inode, ok, want)
		}
	}
}

func BenchmarkUDPInode(b *testing.B) {
	c := dial(b, 0)
	s, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	at := s.LocalAddr().(*net.UDPAddr).AddrPort()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := sender(b, c, at); !ok {
			b.Fatal("the socket is missing")
		}
	}
}

// A datagram socket has its path and its peer, until the peer is closed.
func TestUnixDatagrams(t *testing.T) {
	c := dial(t, 0)
	at := filepath.Join(t.TempDir(), "d.sock")
	receiver, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = receiver.Close() }()
	sender, err := net.Dial("unixgram", at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sender.Close() }()
	own, peer := inodeOfConn(t, sender), inodeOfConn(t, receiver)
	find := func(inode uint64) sockdiag.UnixDatagram {
		t.Helper()
		list, err := c.UnixDatagrams(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			if s.Inode == inode {
				return s
			}
		}
		t.Fatalf("socket %d is missing", inode)
		return sockdiag.UnixDatagram{}
	}
	if got, want := find(peer), (sockdiag.UnixDatagram{Path: at, Inode: peer}); got != want {
		t.Errorf("receiver %+v, want %+v", got, want)
	}
	if got, want := find(own), (sockdiag.UnixDatagram{Inode: own, Peer: peer}); got != want {
		t.Errorf("sender %+v, want %+v", got, want)
	}
	_ = receiver.Close()
	if got, want := find(own), (sockdiag.UnixDatagram{Inode: own}); got != want {
		t.Errorf("after the end of its peer %+v, want %+v", got, want)
	}
	if _, err := sender.Write([]byte("x")); err == nil {
		t.Error("a datagram to nobody was sent")
	}
	if got, want := find(own), (sockdiag.UnixDatagram{Inode: own}); got != want {
		t.Errorf("after an attempt to send %+v, want %+v", got, want)
	}
}

// A UDP socket has the address that it is connected to.
func TestUDPRemote(t *testing.T) {
	c := dial(t, 0)
	receiver, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = receiver.Close() }()
	sender, err := net.DialUDP("udp4", nil, receiver.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sender.Close() }()
	list, err := c.UDP(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	remotes := make(map[uint64]netip.AddrPort)
	for _, s := range list {
		remotes[s.Inode] = s.Remote
	}
	if got := remotes[inodeOfConn(t, sender)]; got != receiver.LocalAddr().(*net.UDPAddr).AddrPort() {
		t.Errorf("sender is connected to %s", got)
	}
	if got := remotes[inodeOfConn(t, receiver)]; got.Port() != 0 {
		t.Errorf("receiver is connected to %s", got)
	}
}

// FuzzParseUnixDatagram: each result is a datagram socket.
func FuzzParseUnixDatagram(f *testing.F) {
	f.Add([]byte{1, 2, 7, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 2, 0, 9, 0, 0, 0})
	f.Add([]byte{1, 1, 1, 0})
	f.Fuzz(func(t *testing.T, answer []byte) {
		s, ok, err := sockdiag.ParseUnixDatagram(answer)
		if ok && (err != nil || len(answer) < 16 || answer[0] != unix.AF_UNIX || answer[1] != unix.SOCK_DGRAM) {
			t.Errorf("%x: %+v, %v", answer, s, err)
		}
	})
}
