package conns_test

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/conns"
)

// A connection has both of its ends and belongs to the process that holds it only.
func TestHeldBy(t *testing.T) {
	t.Parallel()
	for network, address := range map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0", "unix": filepath.Join(t.TempDir(), "s")} {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		port, path := uint16(1), address
		places := conns.Endpoints{Paths: []string{address}}
		if at, ok := l.Addr().(*net.TCPAddr); ok {
			port, path = at.AddrPort().Port(), ""
			places = conns.Endpoints{Ports: []uint16{port}}
		}
		held := func(pid int) conns.ProcessConnections {
			h, err := conns.ConnectionsOf(t.Context(), "/proc", pid, places)
			if err != nil {
				t.Fatalf("%s: %v", network, err)
			}
			return h
		}
		if h := held(os.Getpid()); len(h.List) != 0 || !h.OurNet {
			t.Errorf("%s before a connection: %+v", network, h)
		}
		c, err := (&net.Dialer{}).DialContext(t.Context(), l.Addr().Network(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if accepted, err := l.Accept(); err == nil { // the other end of a UNIX socket has no name before
			defer func() { _ = accepted.Close() }()
		}
		h := held(os.Getpid())
		if len(h.List) != 1 || h.List[0].Path != path {
			t.Fatalf("%s: %+v", network, h)
		}
		if from, ok := c.LocalAddr().(*net.TCPAddr); ok && (h.List[0].Local != from.AddrPort() || h.List[0].Remote.Port() != port) {
			t.Errorf("%s: %+v", network, h)
		}
		if h := held(stranger(t)); len(h.List) != 0 {
			t.Errorf("%s is not another process's: %+v", network, h)
		}
	}
	if _, err := conns.ConnectionsOf(t.Context(), "/proc", 1<<22+1, conns.Endpoints{Ports: []uint16{1}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a process that is not there: %v", err)
	}
}

func TestIsOwnAddress(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{"127.0.0.1": true, "127.8.8.8": true, "::1": true, "::ffff:127.0.0.1": true, "192.0.2.7": false, "2001:db8::1": false} {
		if got := conns.IsOwnAddress(netip.MustParseAddr(s)); got != want {
			t.Errorf("%s: %t", s, got)
		}
	}
}
