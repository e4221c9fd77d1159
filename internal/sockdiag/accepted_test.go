package sockdiag_test

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// bothEnds opens a listener and returns both ends of a connection to it.
func bothEnds(t testing.TB, network, address string) (client, server net.Conn) {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	if client, err = net.Dial(network, ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return client, server
}

// The kernel reports which end was accepted, and which end sent last.
func TestAccepted(t *testing.T) {
	t.Parallel()
	conn, err := sockdiag.Dial(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		client, server := bothEnds(t, "tcp", address)
		at := server.LocalAddr().(*net.TCPAddr).AddrPort().Port()
		look := func() sockdiag.Accepted {
			t.Helper()
			list, err := conn.Accepted(t.Context(), []uint16{1, at, 9})
			if err != nil || len(list) != 1 || list[0].Inode != inodeOfConn(t, server) || !list[0].HasTimes {
				t.Fatalf("%s: %+v, %v", address, list, err)
			}
			return list[0]
		}
		say := func(from, to net.Conn) {
			time.Sleep(20 * time.Millisecond) // more than a tick of the kernel
			if _, err := from.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if _, err := to.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if a := look(); !a.Silent || !a.Unsent || a.Unanswered() || a.Answered() {
			t.Errorf("new: %+v", a)
		}
		for range 2 {
			say(client, server)
			if a := look(); a.Silent || !a.Unanswered() || a.Answered() {
				t.Errorf("asked: %+v", a)
			}
			say(server, client)
			if a := look(); a.Unanswered() || !a.Answered() || a.Quiet() > time.Minute {
				t.Errorf("answered: %+v", a)
			}
		}
		say(client, server)
		_ = client.Close()
		if a := look(); !a.Unanswered() {
			t.Errorf("the other end is closed: %+v", a)
		}
	}
}

func TestUnixAccepted(t *testing.T) {
	t.Parallel()
	conn, err := sockdiag.Dial(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	path := filepath.Join(t.TempDir(), "s")
	_, server := bothEnds(t, "unix", path)
	list, err := conn.UnixAccepted(t.Context(), func(at string) bool { return at == path })
	if err != nil || len(list) != 1 || list[0].Inode != inodeOfConn(t, server) || list[0].HasTimes {
		t.Fatalf("%+v, %v", list, err)
	}
}
