package sockdiag_test

import (
	"bufio"
	"bytes"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

const (
	tcpHeading  = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	unixHeading = "Num       RefCount Protocol Flags    Type St Inode Path\n"

	listenRow = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000015 00:00000000 00000000  1000        0 4242 1 0000000000000000 100 0 0 10 0\n"
	listen6   = "   1: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000002 00:00000000 00000000     0        0 4243 1 0000000000000000 100 0 0 10 0\n"
	halfOpen  = "   2: 0100007F:1F90 0100007F:9999 03 00000000:00000000 01:00000010 00000000     0        0 0 1 0000000000000000\n"
	talking   = "   3: 0100007F:1F90 0100007F:8888 01 00000000:00000000 00:00000000 00000000  1000        0 4244 1 0000000000000000 20 0 0 10 -1\n"
)

func TestParseProcNetTCP(t *testing.T) {
	first := sockdiag.Listener{
		Network: sockdiag.TCP, Addr: netip.MustParseAddrPort("127.0.0.1:8080"),
		Inode: 4242, UID: 1000, Queue: 21, HasQueue: true,
	}
	second := sockdiag.Listener{
		Network: sockdiag.TCP6, Addr: netip.MustParseAddrPort("[::1]:8080"),
		Inode: 4243, Queue: 2, HasQueue: true,
	}
	for name, c := range map[string]struct {
		in   string
		want []sockdiag.Listener
	}{
		"empty":                       {"", nil},
		"heading only":                {tcpHeading, nil},
		"v4":                          {tcpHeading + listenRow, []sockdiag.Listener{first}},
		"v6":                          {tcpHeading + listen6, []sockdiag.Listener{second}},
		"half-open between listeners": {tcpHeading + listenRow + halfOpen + listen6, []sockdiag.Listener{first, second}},
		"stops at a connection":       {tcpHeading + listenRow + talking + "rubbish that is never read", []sockdiag.Listener{first}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := sockdiag.ParseProcNetTCP(strings.NewReader(c.in))
			if err != nil || !equal(got, c.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func equal(a, b []sockdiag.Listener) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestParseProcNetTCPRefuses(t *testing.T) {
	for name, row := range map[string]string{
		"short row":   "   0: 0100007F:1F90 00000000:0000 0A",
		"no queue":    strings.Replace(listenRow, "00000000:00000015", "0000000000000015", 1),
		"bad queue":   strings.Replace(listenRow, "00000000:00000015", "00000000:0000001G", 1),
		"bad address": strings.Replace(listenRow, "0100007F", "01000X7F", 1),
		"bad length":  strings.Replace(listenRow, "0100007F", "0100", 1),
		"bad port":    strings.Replace(listenRow, ":1F90", ":1F900", 1),
		"long line":   strings.Repeat("x", 5000),
	} {
		if got, err := sockdiag.ParseProcNetTCP(strings.NewReader(tcpHeading + row)); err == nil {
			t.Errorf("%s: no error, got %+v", name, got)
		}
	}
	many := tcpHeading + strings.Repeat(halfOpen, 1<<16+1)
	if _, err := sockdiag.ParseProcNetTCP(strings.NewReader(many)); !errors.Is(err, sockdiag.ErrTooMany) {
		t.Errorf("a table without end: %v, want ErrTooMany", err)
	}
}

func TestParseProcNetUnix(t *testing.T) {
	in := unixHeading +
		"0000000000000000: 00000002 00000000 00010000 0001 01 17 /run/x.sock\n" +
		"0000000000000000: 00000002 00000000 00010000 0001 01    18 @abstract@0\n" +
		"0000000000000000: 00000002 00000000 00010000 0001 01 19 /run/with  blanks \n" +
		"0000000000000000: 00000002 00000000 00010000 0005 01 20 /run/seqpacket\n" +
		"0000000000000000: 00000003 00000000 00000000 0001 03 21 /run/x.sock\n" +
		"0000000000000000: 00000003 00000000 00000000 0002 01 22\n"
	want := []sockdiag.Listener{
		{Network: sockdiag.Unix, Path: "/run/x.sock", Inode: 17},
		{Network: sockdiag.Unix, Path: "@abstract@0", Inode: 18},
		{Network: sockdiag.Unix, Path: "/run/with  blanks ", Inode: 19},
	}
	got, err := sockdiag.ParseProcNetUnix(strings.NewReader(in))
	if err != nil || !equal(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	// Any user makes a row malformed, by a name with a line break: the others count.
	for _, bad := range []string{"0: 2 0 00010000 0001 01", "0: 2 0 0001000G 0001 01 17 /x", "0: 2 0 00010000 0001 01 inode /x", "0: 2 0 00010000 0001 01 23 @a\nb"} {
		got, err := sockdiag.ParseProcNetUnix(strings.NewReader(strings.Replace(in, "\n", "\n"+bad+"\n", 1)))
		if err != nil || len(got) < len(want) || !equal(got[len(got)-len(want):], want) {
			t.Errorf("%q: got %+v, %v", bad, got, err)
		}
	}
}

func FuzzParseProcNetTCP(f *testing.F) {
	f.Add([]byte(tcpHeading + listenRow + halfOpen + listen6 + talking))
	f.Add([]byte(tcpHeading + "   0: :"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ls, _ := sockdiag.ParseProcNetTCP(bytes.NewReader(b))
		if len(ls) > bytes.Count(b, []byte(" 0A ")) {
			t.Errorf("%d listeners from fewer rows", len(ls))
		}
		for _, l := range ls {
			if !l.HasQueue || l.HasLimit || !l.Addr.IsValid() || l.Addr.Addr().Is4In6() {
				t.Errorf("%+v", l)
			}
			back, err := netip.ParseAddrPort(strings.TrimPrefix(l.Addr.String(), "unix:"))
			if err != nil || back != l.Addr {
				t.Errorf("address %v does not survive its text", l.Addr)
			}
		}
	})
}

func FuzzParseProcNetUnix(f *testing.F) {
	f.Add([]byte(unixHeading + "0: 00000002 00000000 00010000 0001 01 17 /run/x.sock\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ls, err := sockdiag.ParseProcNetUnix(bytes.NewReader(b))
		for _, l := range ls {
			if l.Network != sockdiag.Unix || l.HasQueue || l.HasLimit || !bytes.Contains(b, []byte(l.Path)) {
				t.Errorf("%+v is not in the file", l)
			}
		}
		if err == nil && bytes.Count(b, []byte("\n")) == 0 && len(ls) > 0 {
			t.Error("a listener in the heading")
		}
	})
}

func BenchmarkParseProcNetTCP(b *testing.B) {
	in := tcpHeading + strings.Repeat(listenRow, 15) + strings.Repeat(talking, 5000)
	b.ReportAllocs()
	for b.Loop() {
		ls, err := sockdiag.ParseProcNetTCP(bufio.NewReader(strings.NewReader(in)))
		if err != nil || len(ls) != 15 {
			b.Fatal(len(ls), err)
		}
	}
}

// TestProcAgrees compares the fallback with sock_diag for the same sockets, with
// established connections in the table.
func TestProcAgrees(t *testing.T) {
	c := dial(t, 0)
	for _, p := range endpoints(t.TempDir()) {
		t.Run(p.name, func(t *testing.T) {
			addr, inode := listen(t, p.family, p.at)
			fill(t, p.family, addr, 2)
			want := await(t, c, inode, 2)
			want.HasLimit, want.Limit = false, 0
			file, parse := "/proc/self/net/"+p.network, sockdiag.ParseProcNetTCP
			if p.network == sockdiag.Unix {
				parse = sockdiag.ParseProcNetUnix
				want.HasQueue, want.Queue, want.UID = false, 0, 0
			}
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			ls, err := parse(f)
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := find(ls, inode); !ok || got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// TestProcListenersComeFirst checks the kernel's order that the fallback
// relies on to stop early.
func TestProcListenersComeFirst(t *testing.T) {
	addr, _ := listen(t, unix.AF_INET, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	fill(t, unix.AF_INET, addr, 2)
	for range 5 {
		listen(t, unix.AF_INET, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	b, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	other, listening := 0, 0
	for _, line := range strings.Split(string(b), "\n")[1:] {
		f := strings.Fields(line)
		switch {
		case len(f) < 4:
		case f[3] == "0A" && other > 0:
			t.Fatalf("a listener after %d other rows: %s", other, line)
		case f[3] == "0A":
			listening++
		default:
			other++
		}
	}
	if listening < 6 || other == 0 {
		t.Errorf("%d listeners and %d others prove nothing", listening, other)
	}
}
