package origin_test

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/ingest/origin"
)

func prove(t *testing.T, p *origin.Prover, addr netip.AddrPort) ingest.Source {
	t.Helper()
	s := ingest.Source{Addr: addr}
	out, err := p.Prove(t.Context(), []ingest.Source{s})
	if err != nil {
		t.Fatal(err)
	}
	return out[s]
}

func prover(t *testing.T) *origin.Prover {
	t.Helper()
	p := origin.New()
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func bindUDP(t *testing.T, addr string) (netip.AddrPort, *net.UDPConn) {
	t.Helper()
	c, err := net.ListenPacket("udp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	u := c.(*net.UDPConn)
	return u.LocalAddr().(*net.UDPAddr).AddrPort(), u
}

func TestProve(t *testing.T) {
	p := prover(t)
	addr, c := bindUDP(t, "127.0.0.1:0")
	s := prove(t, p, addr)
	if !s.Proven || s.Foreign || s.Inode == 0 || s.UID != uint32(os.Geteuid()) {
		t.Errorf("%+v", s)
	}
	if s := prove(t, p, netip.MustParseAddrPort("192.0.2.1:4000")); s.Proven || !s.Foreign {
		t.Errorf("another host: %+v", s)
	}
	// A host elsewhere is not proven by a socket here that has its port.
	wild, _ := bindUDP(t, "0.0.0.0:0")
	if s := prove(t, p, netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), wild.Port())); s.Proven || !s.Foreign {
		t.Errorf("another host with the port of a socket here: %+v", s)
	}
	if s := prove(t, p, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), wild.Port())); !s.Proven {
		t.Errorf("a socket of all addresses: %+v", s)
	}
	_ = c.Close()
	if s := prove(t, p, addr); s.Proven || s.Foreign {
		t.Errorf("a closed socket: %+v", s)
	}
}

// A socket of another user on the same port of another address of this host
// could have sent with our address as its source.
func TestProveSharedPort(t *testing.T) {
	p := prover(t)
	addr, _ := bindUDP(t, "127.0.0.1:0")
	other, _ := bindUDP(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), addr.Port()).String())
	if s := prove(t, p, addr); !s.Proven {
		t.Errorf("two sockets of one user: %+v", s)
	}
	if s := prove(t, p, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.3"), other.Port())); s.Proven {
		t.Errorf("no socket is bound to the address: %+v", s)
	}
	bindAsOtherUser(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.4"), addr.Port()))
	if s := prove(t, p, addr); s.Proven {
		t.Errorf("a stranger has the port on another address: %+v", s)
	}
}

// bindAsOtherUser binds a UDP socket of another user.
func bindAsOtherUser(t *testing.T, addr netip.AddrPort) {
	t.Helper()
	_, c := bindUDP(t, addr.String())
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := f.Chown(65534, 65534); err != nil { // as if that user had made it
		t.Fatal(err)
	}
}

func BenchmarkProve(b *testing.B) {
	p := origin.New()
	defer func() { _ = p.Close() }()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	asked := []ingest.Source{{Addr: c.LocalAddr().(*net.UDPAddr).AddrPort()}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Prove(b.Context(), asked); err != nil {
			b.Fatal(err)
		}
	}
}
