package proc

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestConnected(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		at := l.Addr().(*net.TCPAddr).AddrPort()
		if ok, err := Connected("/proc", os.Getpid(), Places(at)); ok || err != nil {
			t.Errorf("%s before a connection: %v %v", at, ok, err)
		}
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if ok, err := Connected("/proc", os.Getpid(), Places(at)); !ok || err != nil {
			t.Errorf("%s: %v %v", at, ok, err)
		}
		if ok, err := Connected("/proc", os.Getppid(), Places(at)); ok || err != nil {
			t.Errorf("%s is not the parent's: %v %v", at, ok, err)
		}
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	far := netip.MustParseAddrPort("192.0.2.7:6379")
	if got := Places(far); !slices.Equal(got, []netip.AddrPort{far}) {
		t.Errorf("%v", got)
	}
	near := Places(netip.MustParseAddrPort("127.0.0.1:6379"))
	if !slices.Contains(near, netip.MustParseAddrPort("[::1]:6379")) {
		t.Errorf("%v", near)
	}
}

// Whatever the list says, only a socket that is held counts, and only to the peer.
func FuzzHasPeer(f *testing.F) {
	f.Add("   0: 0100007F:A0B4 0100007F:18EB 01 00000000:00000000 00:00000000 00000000     0        0 42 1\n")
	f.Add("   0: 0000000000000000FFFF00000100007F:A0B4 0000000000000000FFFF00000100007F:18EB 01 0 0 0 0 0 42 1\n")
	f.Add("x: : : 01 ")
	peer := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:6379")}
	f.Fuzz(func(t *testing.T, list string) {
		if hasPeer(strings.NewReader(list), peer, nil) {
			t.Error("a socket that nobody holds")
		}
		if hasPeer(strings.NewReader(list), peer, map[uint64]bool{42: true}) && !strings.Contains(strings.ToUpper(list), ":18EB") {
			t.Error("another port")
		}
	})
}
