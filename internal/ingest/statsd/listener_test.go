package statsd_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/ingest/statsd"
)

// memorySink is a sink that stores its events as text.
type memorySink struct {
	mu   sync.Mutex
	seen []string
	from []ingest.Source
}

func (m *memorySink) Observe(e *ingest.Event, from ingest.Source) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = append(m.seen, formatEvent(e))
	m.from = append(m.from, from)
}

func (m *memorySink) events() ([]string, []ingest.Source) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen, m.from
}

// run starts a listener and returns a function that stops it and waits.
func run(t *testing.T, l *statsd.Listener) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("run: %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Error("run did not end with its context")
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

func listen(t *testing.T, o statsd.Options) *statsd.Listener {
	t.Helper()
	l := statsd.New(o)
	if err := l.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func send(t *testing.T, c net.Conn, packet string) {
	t.Helper()
	if _, err := c.Write([]byte(packet)); err != nil {
		t.Fatal(err)
	}
}

func TestReceives(t *testing.T) {
	for _, network := range []string{"udp", "udp6", "unixgram"} {
		t.Run(network, func(t *testing.T) {
			address := map[string]string{"udp": "127.0.0.1:0", "udp6": "[::]:0", "unixgram": filepath.Join(t.TempDir(), "s")}[network]
			m := &memorySink{}
			l := listen(t, statsd.Options{Network: strings.TrimSuffix(network, "6"), Address: address, Sink: m})
			stop := run(t, l)
			to := l.Address()
			if network == "udp6" { // a socket for both families, reached by the old one
				_, port, _ := net.SplitHostPort(to)
				to = net.JoinHostPort("127.0.0.1", port)
			}
			c := dial(t, strings.TrimSuffix(network, "6"), to)
			send(t, c, gunicornLines)
			send(t, c, "a.gunicorn.request.duration:1:2|ms\r\nfoo:1|c\nrubbish\n\n")
			eventually(t, "two packets", func() bool { return l.Stats().Packets == 2 })
			stop()
			seen, from := m.events()
			want := "duration  0.0123s w1; ignored ; status  200 w1; duration a 0.001s w1; duration a 0.002s w1"
			if got := strings.Join(seen, "; "); got != want {
				t.Errorf("%s; want %s", got, want)
			}
			source := ingest.Source{PID: int32(os.Getpid()), UID: uint32(os.Getuid()), Proven: true}
			if network != "unixgram" {
				source = ingest.Source{Addr: c.LocalAddr().(*net.UDPAddr).AddrPort()}
			}
			for _, s := range from {
				if s != source {
					t.Errorf("from %v, want %v", s, source)
				}
			}
			st := l.Stats()
			if st.BufferBytes != 0 {
				t.Errorf("a closed socket has a buffer of %d bytes", st.BufferBytes)
			}
			if want := (statsd.Stats{Parsed: 4, Unknown: 1, Malformed: 1, Packets: 2}); st != want {
				t.Errorf("%+v, want %+v", st, want)
			}
		})
	}
}

// TestFlood fills the kernel's queue while nobody reads. Every packet must be
// either received or counted as dropped.
func TestFlood(t *testing.T) {
	l := listen(t, statsd.Options{Network: "udp", Address: "127.0.0.1:0", Sink: &memorySink{}})
	if got := l.Stats().BufferBytes; got < 64<<10 {
		t.Errorf("receive buffer of %d bytes", got)
	}
	c := dial(t, "udp", l.Address())
	packet := gunicornLines + strings.Repeat("\n", 8000) // big, so that few fill the buffer
	sent := uint64(0)
	for l.Stats().Dropped < 100 && sent < 100_000 {
		send(t, c, packet)
		sent++
	}
	asked, read, ok := l.DropsBothWays()
	if !ok || asked != read || asked < 100 {
		t.Errorf("drops: getsockopt says %d, the table %d, %t", asked, read, ok)
	}
	stop := run(t, l)
	eventually(t, "the queue is drained", func() bool { s := l.Stats(); return s.Packets+s.Dropped == sent })
	send(t, c, packet)
	eventually(t, "one more", func() bool { s := l.Stats(); return s.Packets+s.Dropped == sent+1 })
	stop()
	s := l.Stats()
	if s.Packets+s.Dropped != sent+1 || s.Dropped < 100 || s.Parsed != 3*s.Packets {
		t.Errorf("sent %d, %+v", sent+1, s)
	}
}

// TestFloodUnix: a UNIX datagram socket makes its sender wait and loses nothing.
func TestFloodUnix(t *testing.T) {
	l := listen(t, statsd.Options{Network: "unixgram", Address: filepath.Join(t.TempDir(), "s"), Sink: &memorySink{}})
	c := dial(t, "unixgram", l.Address())
	sent := uint64(0)
	var full error
	for full == nil && sent < 100_000 {
		if err := c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, full = c.Write([]byte(gunicornLines)); full == nil {
			sent++
		}
	}
	if !errors.Is(full, os.ErrDeadlineExceeded) {
		t.Fatalf("after %d packets: %v", sent, full)
	}
	stop := run(t, l)
	eventually(t, "the queue is drained", func() bool { return l.Stats().Packets == sent })
	stop()
	if s := l.Stats(); s.Dropped != 0 || s.Parsed != 3*sent || s.Packets != sent {
		t.Errorf("sent %d, %+v", sent, s)
	}
}

func TestLongDatagramIsDroppedWhole(t *testing.T) {
	m := &memorySink{}
	l := listen(t, statsd.Options{Network: "unixgram", Address: filepath.Join(t.TempDir(), "s"), Sink: m})
	stop := run(t, l)
	c := dial(t, "unixgram", l.Address())
	send(t, c, gunicornLines+strings.Repeat("\n", 70_000))
	send(t, c, "gunicorn.requests:1|c")
	eventually(t, "two packets", func() bool { return l.Stats().Packets == 2 })
	stop()
	if s, want := l.Stats(), (statsd.Stats{Parsed: 1, Malformed: 1, Packets: 2}); s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
}

// TestSteadyTraffic sends through the listener's pauses: no packet may be lost, and
// stopping must not wait for more packets. The sender waits for a listener that gets no
// CPU: a buffer of the kernel that is full would be no fault of the listener.
func TestSteadyTraffic(t *testing.T) {
	l := listen(t, statsd.Options{Network: "udp", Address: "127.0.0.1:0", Sink: &memorySink{}})
	stop := run(t, l)
	c := dial(t, "udp", l.Address())
	const packets = 2000
	for i := range uint64(packets) {
		send(t, c, gunicornLines)
		if i%10 == 0 {
			time.Sleep(50 * time.Microsecond)
		}
		if l.Stats().Packets+200 < i {
			eventually(t, "the listener follows", func() bool { return l.Stats().Packets+50 > i })
		}
	}
	eventually(t, "all packets", func() bool { return l.Stats().Packets == packets })
	stop() // no packet comes any more: it returns nevertheless
}

func TestCountersSurviveAnotherListener(t *testing.T) {
	var shared statsd.Counters
	for i := range uint64(2) {
		l := listen(t, statsd.Options{Network: "udp", Address: "127.0.0.1:0", Sink: &memorySink{}, Counters: &shared})
		stop := run(t, l)
		send(t, dial(t, "udp", l.Address()), gunicornLines)
		eventually(t, "a packet", func() bool { return shared.Stats().Packets == i+1 })
		stop()
	}
	if s, want := shared.Stats(), (statsd.Stats{Parsed: 6, Packets: 2}); s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
}

func TestAddressInUse(t *testing.T) {
	udp := listen(t, statsd.Options{Network: "udp", Address: "127.0.0.1:0"})
	t.Cleanup(func() { _ = udp.Close() })
	dir := t.TempDir()
	live := listen(t, statsd.Options{Network: "unixgram", Address: filepath.Join(dir, "live")})
	t.Cleanup(func() { _ = live.Close() })
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, o := range []statsd.Options{
		{Network: "udp", Address: udp.Address()},
		{Network: "unixgram", Address: filepath.Join(dir, "live")},
		{Network: "unixgram", Address: file},
	} {
		if err := statsd.New(o).Listen(t.Context()); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), o.Address) {
			t.Errorf("%s: %v", o.Address, err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "mine" {
		t.Errorf("the file: %q, %v", got, err)
	}
	if err := statsd.New(statsd.Options{Network: "unixgram", Address: filepath.Join(dir, "none", "s")}).Listen(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if err := statsd.New(statsd.Options{Network: "tcp", Address: "127.0.0.1:0"}).Listen(t.Context()); err == nil {
		t.Error("tcp was accepted")
	}
}

func TestUnixPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	old, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil { // leaves the path, as a crash does
		t.Fatal(err)
	}
	l := listen(t, statsd.Options{Network: "unixgram", Address: path})
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o666 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	// Another process replaces the path, so it must not be removed.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other := listen(t, statsd.Options{Network: "unixgram", Address: path})
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the other's path: %v", err)
	}
	if err := errors.Join(other.Close(), other.Close()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after close: %v", err)
	}
	if err := other.Run(t.Context()); !errors.Is(err, statsd.ErrClosed) {
		t.Errorf("run after close: %v", err)
	}
}

func TestTableDrops(t *testing.T) {
	const table = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  123: 0100007F:23A5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 42
  124: 0100007F:23A6 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 x
  125: 0100007F:23A7
`
	for inode, want := range map[uint64]struct {
		n  uint32
		ok bool
	}{4711: {42, true}, 4712: {0, false}, 1: {0, false}} {
		if n, ok := statsd.TableDrops(strings.NewReader(table), inode); n != want.n || ok != want.ok {
			t.Errorf("inode %d: %d, %t", inode, n, ok)
		}
	}
}

// Each line and datagram that cannot be read is reported with its fault and its
// sender, and counted once.
func TestRefused(t *testing.T) {
	at := filepath.Join(t.TempDir(), "s")
	var mu sync.Mutex
	got := make(map[string]int)
	l := listen(t, statsd.Options{Network: "unixgram", Address: at, Sink: &memorySink{}, OnFault: func(why ingest.Fault, from ingest.Source) {
		mu.Lock()
		defer mu.Unlock()
		got[why.String()]++
		if !from.Proven || int(from.PID) != os.Getpid() {
			t.Errorf("from %+v", from)
		}
	}})
	run(t, l)
	c, err := net.Dial("unixgram", at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, p := range []string{
		"rubbish\nx:1|c\ngunicorn.requests:1|c", "gunicorn.request.status.999:1|c\ngunicorn.requests:x|c", "gunicorn.requests:1|c|@7",
		"gunicorn.requests:1|q", "x:1|c|#" + strings.Repeat("a", 9000), strings.Repeat("b", 66_000),
	} {
		if _, err := c.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "seven faults", func() bool { return l.Stats().Malformed == 7 })
	mu.Lock()
	defer mu.Unlock()
	if want := map[string]int{"shape": 1, "value": 2, "rate": 1, "type": 1, "size": 2}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
