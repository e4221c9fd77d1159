package conns_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
)

// otherServer is a process that listens at two ports.
type otherServer struct {
	t     *testing.T
	at    [2]net.Addr
	in    io.Writer
	lines *bufio.Reader
}

// startServer starts a process that listens at two ports of 127.0.0.1.
func startServer(t *testing.T) *otherServer {
	t.Helper()
	p := exec.CommandContext(t.Context(), "python3", "-uc", `
import socket, struct, sys
listeners, open = [socket.socket(), socket.socket()], []
for s in listeners:
    s.bind(("127.0.0.1", 0))
    s.listen()
    print("127.0.0.1:%d" % s.getsockname()[1])
for line in sys.stdin:
    what, port, local = line.split()
    if what == "accept":
        open.append(listeners[int(port)].accept()[0])
    else:
        s = socket.socket()
        if local != "0":
            s.setsockopt(socket.IPPROTO_IP, 51, struct.pack("=HH", int(local), int(local)))  # IP_LOCAL_PORT_RANGE
        s.connect(("127.0.0.1", int(port)))
        open.append(s)
    print("done")
`)
	in, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal("python3 is needed: apt-get install python3: ", err)
	}
	t.Cleanup(func() { _, _ = p.Process.Kill(), p.Wait() })
	s := &otherServer{t: t, in: in, lines: bufio.NewReader(out)}
	for i := range s.at {
		at, err := netip.ParseAddrPort(s.line())
		if err != nil {
			t.Fatal(err)
		}
		s.at[i] = net.TCPAddrFromAddrPort(at)
	}
	return s
}

func (s *otherServer) line() string {
	s.t.Helper()
	line, err := s.lines.ReadString('\n')
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// do makes the process accept a connection at its i-th port ("accept", i), or connect to a
// port ("connect", port), from a local one if that is not 0.
func (s *otherServer) do(what string, i, local int) {
	s.t.Helper()
	if _, err := fmt.Fprintln(s.in, what, i, local); err != nil {
		s.t.Fatal(err)
	}
	s.line()
}

func tcpPort(a net.Addr) int { return a.(*net.TCPAddr).Port } //nolint:forcetypeassert // of TCP

// A connection to another address of the same server, such as a fallback, may be the one
// that is meant.
func TestSharedLocalAddressOfFallback(t *testing.T) {
	t.Parallel()
	db, fallback := startServer(t), startServer(t)
	s := conns.NewSampler("/proc", time.Hour, nil)
	s.SetServices([]conns.Service{{Component: "mysql:main", Kind: "mysql", Addrs: []string{db.at[0].String(), fallback.at[0].String()}}})
	s.SetApps([]conns.AppProcesses{self(t, "shop")})
	port := tcpPort(connectFrom(t, db.at[0], 0).LocalAddr())
	db.do("accept", 0, 0)
	connectFrom(t, fallback.at[0], port)
	fallback.do("accept", 0, 0)
	got, err := s.ConnectionsNow(t.Context(), func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	if len(got.List) != 0 {
		t.Errorf("%+v", got.List)
	}
}

// A local address that a connection to another server has too says which connection is
// meant only if other processes serve that one, and none of them can be a proxy.
func TestSharedLocalAddress(t *testing.T) {
	t.Parallel()
	// connected connects from a port, and makes the server accept that.
	connected := func(t *testing.T, s *otherServer, i, port int) {
		t.Helper()
		connectFrom(t, s.at[i], port)
		s.do("accept", i, 0)
	}
	for name, c := range map[string]struct {
		also func(t *testing.T, db *otherServer, port int) // connects from port to another server
		want int
	}{
		"another process": {func(t *testing.T, _ *otherServer, port int) { connected(t, startServer(t), 0, port) }, 1},
		"two other processes": {func(t *testing.T, _ *otherServer, port int) {
			connected(t, startServer(t), 0, port)
			connected(t, startServer(t), 1, port)
		}, 1},
		"a process that is not known yet": {func(t *testing.T, _ *otherServer, port int) { connectFrom(t, startServer(t).at[0], port) }, 0},
		"another port of the server":      {func(t *testing.T, db *otherServer, port int) { connected(t, db, 1, port) }, 0},
		"another process and another port of the server": {func(t *testing.T, db *otherServer, port int) {
			connected(t, startServer(t), 0, port)
			connected(t, db, 1, port)
		}, 0},
		"a proxy to the server": {func(t *testing.T, db *otherServer, port int) {
			proxy := startServer(t)
			proxy.do("connect", tcpPort(db.at[0]), 0)
			connected(t, proxy, 0, port)
		}, 0},
		"the server is a proxy, whose own connection has that address": {func(t *testing.T, db *otherServer, port int) {
			behind := startServer(t)
			db.do("connect", tcpPort(behind.at[0]), port)
			behind.do("accept", 0, 0)
		}, 0},
		"too many": {func(t *testing.T, _ *otherServer, port int) {
			for range 16 {
				connected(t, startServer(t), 0, port)
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := startServer(t)
			s := conns.NewSampler("/proc", time.Hour, nil)
			s.SetServices([]conns.Service{{Component: "mysql:main", Kind: "mysql", Addrs: []string{db.at[0].String()}}})
			s.SetApps([]conns.AppProcesses{self(t, "shop")})
			port := tcpPort(connectFrom(t, db.at[0], 0).LocalAddr())
			db.do("accept", 0, 0)
			c.also(t, db, port)
			got, err := s.ConnectionsNow(t.Context(), func(string) bool { return true })
			if err != nil {
				t.Fatal(err)
			}
			if len(got.List) != c.want {
				t.Errorf("%d connections, not %d: %+v", len(got.List), c.want, got.List)
			}
		})
	}
}
