package sockdiag_test

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// A connection at a local port is found while it is established, after this end closed its
// half, and after no process has it any more: the other end still names it.
func TestAtLocalPorts(t *testing.T) {
	t.Parallel()
	conn, err := sockdiag.Dial(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		client, server := bothEnds(t, "tcp", address)
		local, remote := client.LocalAddr().(*net.TCPAddr).AddrPort(), server.LocalAddr().(*net.TCPAddr).AddrPort()
		inode := inodeOfConn(t, client)
		found := func(what string, inode uint64) {
			t.Helper()
			want := sockdiag.Connection{Local: local, Remote: remote, Inode: inode}
			list, err := conn.AtLocalPorts(t.Context(), []uint16{1, local.Port()})
			if err != nil || !slices.Contains(list, want) {
				t.Errorf("%s, from the kernel: %+v, %v; want %+v", what, list, err, want)
			}
			if list = fromFiles(t, local.Port()); !slices.Contains(list, want) {
				t.Errorf("%s, from the files: %+v; want %+v", what, list, want)
			}
		}
		found("established", inode)
		if err := client.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		found("half-closed", inode)
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
		found("without a process", 0)
	}
	if list, err := conn.AtLocalPorts(t.Context(), nil); list != nil || err != nil {
		t.Errorf("no ports: %v, %v", list, err)
	}
}

// fromFiles returns the connections of both files of this network namespace.
func fromFiles(t *testing.T, port uint16) []sockdiag.Connection {
	t.Helper()
	var out []sockdiag.Connection
	for _, name := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		list, err := sockdiag.ParseProcNetLocal(bytes.NewReader(text), []uint16{port})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, list...)
	}
	return out
}

// Rows of states that hold no port are left out. A row that cannot be read is an error,
// because the connection would count as closed.
func TestParseProcNetLocal(t *testing.T) {
	t.Parallel()
	const header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	row := func(state, inode string) string {
		return "   0: 0100007F:1F90 0200007F:0CEA " + state + " 00000000:00000000 00:00000000 00000000     0        0 " + inode + " 1\n"
	}
	for state, want := range map[string]int{"01": 1, "02": 0, "04": 1, "05": 1, "06": 0, "07": 0, "08": 1, "09": 1, "0A": 0, "0B": 1} {
		got, err := sockdiag.ParseProcNetLocal(strings.NewReader(header+row(state, "0")), []uint16{8080})
		if err != nil || len(got) != want {
			t.Errorf("state %s: %v, %v", state, got, err)
		}
	}
	got, err := sockdiag.ParseProcNetLocal(strings.NewReader(header+row("01", "12")), []uint16{8081})
	if err != nil || len(got) != 0 {
		t.Errorf("another port: %v, %v", got, err)
	}
	for _, broken := range []string{row("XX", "1"), row("01", "x"), "   0: 01\n", strings.Replace(row("01", "1"), "0100007F", "01", 1)} {
		if got, err := sockdiag.ParseProcNetLocal(strings.NewReader(header+broken), []uint16{8080}); err == nil {
			t.Errorf("%q: %v", broken, got)
		}
	}
	if _, err := sockdiag.ParseProcNetLocal(strings.NewReader(header+strings.Repeat(row("06", "0"), 1<<16+1)), []uint16{8080}); !errors.Is(err, sockdiag.ErrTooMany) {
		t.Errorf("too many rows: %v", err)
	}
}

// FuzzProcNetLocal checks that each connection has the wanted port and a remote address.
func FuzzProcNetLocal(f *testing.F) {
	f.Add("header\n   0: 0100007F:1F90 0200007F:0CEA 01 0:0 0:0 0 0 0 12 1\n")
	f.Add("header\n   0: 00000000000000000000000001000000:1F90 0:0 FF 0:0 0:0 0 0 0 -1 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := sockdiag.ParseProcNetLocal(strings.NewReader(text), []uint16{8080})
		for _, c := range list {
			if c.Local.Port() != 8080 || c.Remote == (netip.AddrPort{}) {
				t.Errorf("%q: %+v, %v", text, c, err)
			}
		}
	})
}
