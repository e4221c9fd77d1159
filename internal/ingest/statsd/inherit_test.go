package statsd_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/ingest/statsd"
)

// TestMain calls Inherit in a process of its own, because it moves descriptors of the
// whole process. That process reports its descriptors afterwards.
func TestMain(m *testing.M) {
	if os.Getenv("STATSD_TEST_INHERIT") == "" {
		os.Exit(m.Run())
	}
	if os.Getenv("LISTEN_PID") == "self" {
		_ = os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	}
	addresses := statsd.Inherit().Addresses()
	slices.Sort(addresses)
	link, _ := os.Readlink("/proc/self/fd/3")
	kind, _, _ := strings.Cut(link, ":")
	fmt.Printf("%s; fds %q names %q; 3 is a %s\n", strings.Join(addresses, ", "), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES"), kind)
	os.Exit(0)
}

type file interface{ File() (*os.File, error) }

func fileOf(t *testing.T, c file) *os.File {
	t.Helper()
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestInherit(t *testing.T) {
	dir := t.TempDir()
	at := filepath.Join(dir, "s")
	u, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = u.Close() }()
	d, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	s, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	unixgram, udp, tcp := fileOf(t, u), fileOf(t, d), fileOf(t, s)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	both := fmt.Sprintf("udp %s, unixgram %s", d.LocalAddr(), at)
	for name, c := range map[string]struct {
		files           []*os.File
		pid, fds, names string
		want            string
	}{
		"one":                   {[]*os.File{unixgram}, "self", "1", "statsd", "unixgram " + at + `; fds "" names ""; 3 is a `},
		"two":                   {[]*os.File{unixgram, udp}, "self", "2", "statsd:statsd", both + `; fds "" names ""; 3 is a `},
		"the page's is left":    {[]*os.File{unixgram, tcp, udp}, "self", "3", "statsd:web:statsd", both + `; fds "1" names "web"; 3 is a socket`},
		"the page's comes last": {[]*os.File{unixgram, udp, null}, "self", "3", "statsd:statsd:n", both + `; fds "1" names "n"; 3 is a /dev/null`},
		"of another process":    {[]*os.File{unixgram}, "1", "1", "statsd", `; fds "1" names "statsd"; 3 is a socket`},
		"another name":          {[]*os.File{unixgram}, "self", "1", "syslog", `; fds "1" names "syslog"; 3 is a socket`},
		"no name":               {[]*os.File{unixgram}, "self", "1", "", `; fds "1" names ""; 3 is a socket`},
		"a stream":              {[]*os.File{tcp}, "self", "1", "statsd", `; fds "1" names "statsd"; 3 is a socket`},
		"the same twice":        {[]*os.File{unixgram, unixgram}, "self", "2", "statsd:statsd", "unixgram " + at + `; fds "1" names "statsd"; 3 is a socket`},
		"more than there are":   {[]*os.File{unixgram}, "self", "9", "statsd", `; fds "9" names "statsd"; 3 is a socket`},
		"a wild number":         {[]*os.File{unixgram}, "self", "999999999", "statsd", `; fds "999999999" names "statsd"; 3 is a socket`},
		"no number":             {[]*os.File{unixgram}, "self", "-1", "statsd", `; fds "-1" names "statsd"; 3 is a socket`},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.ExtraFiles = c.files
			cmd.Env = append(os.Environ(), "STATSD_TEST_INHERIT=1", "LISTEN_PID="+c.pid, "LISTEN_FDS="+c.fds, "LISTEN_FDNAMES="+c.names)
			out, err := cmd.Output()
			got := strings.TrimSuffix(string(out), "\n")
			if !strings.HasSuffix(c.want, "3 is a ") && err == nil && got != c.want || err != nil || !strings.HasPrefix(got, c.want) {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

// A socket from systemd is read, with the senders' user ids, and stays open and bound
// when its listener is closed; a second listener continues to read it.
func TestListenInherited(t *testing.T) {
	at := filepath.Join(t.TempDir(), "s")
	held, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	passed := statsd.InheritedOf("unixgram "+at, int(fileOf(t, held).Fd()))
	sender, err := net.Dial("unixgram", at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sender.Close() }()
	for round := range 2 {
		got := make(chan ingest.Source, 1)
		l := statsd.New(statsd.Options{Network: "unixgram", Address: at, Inherited: passed, Sink: sinkFunc(func(e *ingest.Event, from ingest.Source) {
			if string(e.App) == "shop" {
				got <- from
			}
		})})
		if err := l.Listen(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		if _, err := sender.Write([]byte("gunicorn.request.status.200:1|c|#app:shop")); err != nil {
			t.Fatal(err)
		}
		select {
		case from := <-got:
			if !from.Proven || int(from.UID) != os.Getuid() || int(from.PID) != os.Getpid() {
				t.Errorf("round %d: from %+v", round, from)
			}
		case <-time.After(time.Minute):
			t.Fatal("nothing came")
		}
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(at); err != nil {
			t.Error(err)
		}
	}
}

type sinkFunc func(e *ingest.Event, from ingest.Source)

func (f sinkFunc) Observe(e *ingest.Event, from ingest.Source) { f(e, from) }
