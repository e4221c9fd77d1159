package sockdiag_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// connect opens a listener and one connection to it, and returns the end that
// connected.
func connect(t testing.TB, network, address string) net.Conn {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	c, err := net.Dial(network, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	other, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	return c
}

func remote(c net.Conn) netip.AddrPort { return c.RemoteAddr().(*net.TCPAddr).AddrPort() }

func inodeOfConn(t testing.TB, c net.Conn) uint64 {
	t.Helper()
	f, err := c.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	var inode uint64
	if _, err := fmt.Sscanf(link, "socket:[%d]", &inode); err != nil {
		t.Fatal(err)
	}
	return inode
}

// The kernel and its text files list the ends that connected to these ports, of both
// families, and nothing else.
func TestConnections(t *testing.T) {
	first, second, six, left := connect(t, "tcp4", "127.0.0.1:0"), connect(t, "tcp4", "127.0.0.1:0"), connect(t, "tcp6", "[::1]:0"), connect(t, "tcp4", "127.0.0.1:0")
	ports := []uint16{1, remote(first).Port(), 2, remote(second).Port(), remote(six).Port(), 65535}
	want := map[netip.AddrPort]uint64{}
	for _, c := range []net.Conn{first, second, six} {
		want[c.LocalAddr().(*net.TCPAddr).AddrPort()] = inodeOfConn(t, c)
	}
	asked, err := dial(t, 0).Connections(t.Context(), ports)
	if err != nil {
		t.Fatal(err)
	}
	var read []sockdiag.Connection
	for _, name := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile("/proc/self/net/" + name)
		if err != nil {
			t.Fatal(err)
		}
		list, err := sockdiag.ParseProcNetConnections(bytes.NewReader(b), ports)
		if err != nil {
			t.Fatal(err)
		}
		read = append(read, list...)
	}
	for how, list := range map[string][]sockdiag.Connection{"sock_diag": asked, "/proc": read} {
		found := 0
		for _, c := range list {
			if !slices.Contains(ports, c.Remote.Port()) {
				t.Errorf("%s: nobody asked for %+v", how, c)
			}
			if inode, ok := want[c.Local]; ok && c.Inode == inode {
				found++
			}
			if c.Local == left.LocalAddr().(*net.TCPAddr).AddrPort() {
				t.Errorf("%s gives a connection to another port", how)
			}
		}
		if found != len(want) {
			t.Errorf("%s: %d of %d in %+v", how, found, len(want), list)
		}
	}
}

func TestUnixConnections(t *testing.T) {
	dir, err := os.MkdirTemp("", "sd") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	c := connect(t, "unix", path)
	connect(t, "unix", filepath.Join(dir, "other"))
	list, err := dial(t, 0).UnixConnections(t.Context(), func(p string) bool { return p == path })
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Inode != inodeOfConn(t, c) || list[0].Path != path {
		t.Errorf("got %+v, want inode %d", list, inodeOfConn(t, c))
	}
}

// runFilter interprets a filter program as the kernel does.
func runFilter(t *testing.T, code []byte, port uint16) bool {
	t.Helper()
	at := 0
	for steps := 0; at < len(code); steps++ {
		if steps > 1000 || len(code)-at < 4 {
			t.Fatal("the program does not end")
		}
		yes, no, holds := int(code[at+1]), int(binary.NativeEndian.Uint16(code[at+2:])), false
		switch code[at] {
		case 2, 4:
			holds = port >= binary.NativeEndian.Uint16(code[at+6:])
		case 3, 5:
			holds = port <= binary.NativeEndian.Uint16(code[at+6:])
		case 1:
		default:
			t.Fatalf("instruction %d", code[at])
		}
		if holds {
			at += yes
		} else {
			at += no
		}
	}
	return at == len(code)
}

func TestRemotePorts(t *testing.T) {
	var many []uint16
	for i := range 300 {
		many = append(many, uint16(1000+2*i))
	}
	for _, ports := range [][]uint16{{3306}, {3306, 5432}, {5432, 3306, 6379, 1, 65535}, many} {
		code := sockdiag.RemotePorts(ports)
		for _, port := range append([]uint16{0, 1, 2, 3305, 3306, 3307, 65534, 65535}, ports...) {
			want := slices.Contains(ports[:min(len(ports), 256)], port)
			if got := runFilter(t, code, port); got != want {
				t.Errorf("%d ports: port %d is taken: %v", len(ports), port, got)
			}
		}
	}
	if list, err := dial(t, 0).Connections(t.Context(), many); err != nil {
		t.Errorf("the kernel refuses the program: %v, %v", list, err)
	}
	if list, err := dial(t, 0).Connections(t.Context(), nil); err != nil || list != nil {
		t.Errorf("no port: %v, %v", list, err)
	}
}

func TestParseUnixAccepted(t *testing.T) {
	name, peer := attribute(0, []byte("/run/x\x00")), attribute(2, native.AppendUint32(nil, 77))
	for what, c := range map[string]struct {
		answer []byte
		path   string
		peer   uint32
		fails  bool
	}{
		"accepted":  {unixAnswer(1, name, peer), "/run/x", 77, false},
		"connected": {unixAnswer(1, peer), "", 0, false},
		"listener":  {unixAnswer(10, name), "", 0, false},
		"short":     {[]byte{1, 1}, "", 0, true},
		"cut":       {append(unixAnswer(1, name), 9, 0, 0, 0), "", 0, true},
	} {
		path, peer, err := sockdiag.ParseUnixAccepted(c.answer)
		if path != c.path || peer != c.peer || (err != nil) != c.fails {
			t.Errorf("%s: %q %d %v", what, path, peer, err)
		}
	}
}

// A row that cannot be read is an error that says what of it.
func TestProcNetConnectionsRefuses(t *testing.T) {
	for row, what := range map[string]string{
		"0: 0100007F:B388 0100007F:0CEA 01":                                  "4 fields",
		"0: 0100007F:B388 0100007F:0CEA 0G 0:0 00:0 0 0 0 12":                "state",
		"0: 0100007F:B388 0100007F:0CEA FF 0:0 00:0 0 0 0 12":                "state",
		"0: 0100007F:B388 0100X07F:0CEA 01 0:0 00:0 0 0 0 12":                "address",
		"0: 0100X07F:B388 0100007F:0CEA 01 0:0 00:0 0 0 0 12":                "address",
		"0: 0100007F:B388 0100007F:10CEA1 01 0:0 00:0 0 0 0 12":              "port",
		"0: 0100007F:B388 0100007F:0CEA 01 0:0 00:0 0 0 0 inode of a socket": "inode",
	} {
		list, err := sockdiag.ParseProcNetConnections(strings.NewReader("heading\n"+row+"\n"), []uint16{3306})
		if !errors.Is(err, sockdiag.ErrRow) || !strings.Contains(err.Error(), what) || len(list) != 0 {
			t.Errorf("%s: %v, %v", row, list, err)
		}
	}
}

// FuzzProcNetConnections: each result has an inode and one of the ports.
func FuzzProcNetConnections(f *testing.F) {
	head := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	f.Add(head + "   0: 0100007F:B388 0100007F:0CEA 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 20 4 30 10 -1\n")
	f.Add(head + "   0: 00000000000000000000000001000000:B388 00000000000000000000000001000000:0CEA 01 0:0 00:0 0 0 0 12\n")
	f.Add(head + "x\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, _ := sockdiag.ParseProcNetConnections(strings.NewReader(text), []uint16{3306})
		for _, c := range list {
			if c.Inode == 0 || c.Remote.Port() != 3306 || !c.Local.IsValid() || c.Path != "" {
				t.Errorf("%+v", c)
			}
		}
	})
}

// crowded returns a listener with 400 connections.
func crowded(b *testing.B) net.Listener {
	b.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = ln.Close() })
	for range 400 {
		client, err := net.Dial("tcp4", ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = client.Close() })
		server, err := ln.Accept()
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = server.Close() })
	}
	return ln
}

// BenchmarkConnections dumps 400 connections, and one connection beside them: the
// others are skipped without a copy.
func BenchmarkConnections(b *testing.B) {
	c, ln := dial(b, 0), crowded(b)
	for name, test := range map[string]struct {
		port uint16
		n    int
	}{"400": {ln.Addr().(*net.TCPAddr).AddrPort().Port(), 400}, "1": {remote(connect(b, "tcp4", "127.0.0.1:0")).Port(), 1}} {
		b.Run(name, func(b *testing.B) {
			ports := []uint16{3306, 5432, 6379, test.port}
			b.ReportAllocs()
			for b.Loop() {
				if list, err := c.Connections(b.Context(), ports); err != nil || len(list) < test.n {
					b.Fatal(len(list), err)
				}
			}
		})
	}
}

// FuzzParseUnixAccepted: a path has its peer.
func FuzzParseUnixAccepted(f *testing.F) {
	f.Add(unixAnswer(1, attribute(0, []byte("/run/x\x00")), attribute(2, native.AppendUint32(nil, 77))))
	f.Add(unixAnswer(10, attribute(0, []byte("\x00x"))))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, answer []byte) {
		path, peer, err := sockdiag.ParseUnixAccepted(answer)
		if (err != nil || path == "") && (path != "" || peer != 0) {
			t.Errorf("%q %d %v", path, peer, err)
		}
	})
}
