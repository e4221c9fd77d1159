package conns_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// listen listens until the test ends and accepts every connection.
func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		var open []net.Conn
		defer func() {
			for _, c := range open {
				_ = c.Close()
			}
		}()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open = append(open, c)
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return l
}

// connect opens a connection to a listener that stays open until the test ends.
func connect(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// self returns this process as the only process of an app.
func self(t *testing.T, name string) conns.AppProcesses {
	t.Helper()
	b, err := procfs.New("/proc").Read(os.Getpid(), "stat")
	if err != nil {
		t.Fatal(err)
	}
	stat, err := procfs.ParseStat(b)
	if err != nil {
		t.Fatal(err)
	}
	return conns.AppProcesses{Name: name, NetNS: netNS(t), Members: []conns.ProcessKey{{PID: os.Getpid(), Start: stat.Start}}}
}

// netNS returns the inode of the network namespace of this process.
func netNS(t *testing.T) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// run runs a sampler until the test ends.
func run(t *testing.T, s *conns.Sampler) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

// await returns the first sample for which ok is true, within a minute.
func await(t *testing.T, s *conns.Sampler, ok func(*conns.Sample) bool) *conns.Sample {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		sample := s.Latest()
		if ok(sample) {
			return sample
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %+v", sample)
		}
	}
}

// of returns the connections of a sample to a component.
func of(s *conns.Sample, component string) (list []conns.Connection) {
	for _, c := range s.List {
		if c.Component == component {
			list = append(list, c)
		}
	}
	return list
}

// portOf returns the port of a TCP listener.
func portOf(l net.Listener) uint16 { return netip.MustParseAddrPort(l.Addr().String()).Port() }

// A sample has each connection to a configured server, by TCP over both families and by
// a UNIX socket, with its two ends and the process that holds it; and no other connection.
func TestSample(t *testing.T) {
	t.Parallel()
	four, six, local, other := listen(t, "tcp4", "127.0.0.1:0"), listen(t, "tcp6", "[::1]:0"), listen(t, "unix", filepath.Join(t.TempDir(), "s")), listen(t, "tcp4", "127.0.0.1:0")
	s := conns.NewSampler("/proc", time.Second, nil)
	s.SetServices([]conns.Service{
		{Component: "mysql:main", Kind: "mysql", Addrs: []string{four.Addr().String()}, Paths: []string{local.Addr().String()}},
		{Component: "redis:cache", Kind: "redis", Addrs: []string{six.Addr().String()}},
	})
	s.SetApps([]conns.AppProcesses{self(t, "shop")})
	ends := []net.Conn{connect(t, four), connect(t, six), connect(t, local), connect(t, other), connect(t, four)}
	run(t, s)
	sample := await(t, s, func(s *conns.Sample) bool { return len(s.List) >= 4 })
	if len(sample.List) != 4 || len(sample.Errs) > 0 || sample.Dropped > 0 || sample.Taken.IsZero() {
		t.Errorf("%+v", sample)
	}
	for i, want := range map[int]string{0: "mysql:main", 1: "redis:cache", 4: "mysql:main"} {
		from, to := netip.MustParseAddrPort(ends[i].LocalAddr().String()), netip.MustParseAddrPort(ends[i].RemoteAddr().String())
		if !slices.ContainsFunc(of(sample, want), func(c conns.Connection) bool {
			return c.App == "shop" && c.PID == os.Getpid() && c.Local == from && c.Remote == to && c.Proven && c.Vouched
		}) {
			t.Errorf("no connection from %v to %v of %s: %+v", from, to, want, sample.List)
		}
	}
	if !slices.ContainsFunc(of(sample, "mysql:main"), func(c conns.Connection) bool {
		return !c.Remote.IsValid() && c.PID == os.Getpid() && !c.Proven && c.Vouched
	}) {
		t.Errorf("no connection over the UNIX socket: %+v", sample.List)
	}
	_ = ends[4].Close()
	await(t, s, func(s *conns.Sample) bool { return len(s.List) == 3 })
}

// A new connection is in the next sample, and changed services rename it.
func TestSampleFollows(t *testing.T) {
	t.Parallel()
	l := listen(t, "tcp4", "127.0.0.1:0")
	s := conns.NewSampler("/proc", time.Hour, nil)
	s.SetApps([]conns.AppProcesses{self(t, "shop")})
	run(t, s)
	s.SetServices([]conns.Service{{Component: "mysql:main", Kind: "mysql", Addrs: []string{l.Addr().String()}}})
	first := await(t, s, func(s *conns.Sample) bool { return !s.Taken.IsZero() })
	if len(of(first, "mysql:main")) != 0 {
		t.Errorf("before a connection: %+v", first.List)
	}
	connect(t, l)
	s.Request()
	await(t, s, func(s *conns.Sample) bool { return len(of(s, "mysql:main")) == 1 })
	s.SetServices([]conns.Service{{Component: "mysql:second", Kind: "mysql", Addrs: []string{l.Addr().String()}}})
	await(t, s, func(s *conns.Sample) bool { return len(of(s, "mysql:second")) == 1 })
	s.SetServices([]conns.Service{{Component: "redis:none", Kind: "redis", Addrs: []string{"192.0.2.1:" + l.Addr().String()[strings.LastIndex(l.Addr().String(), ":")+1:]}}})
	await(t, s, func(s *conns.Sample) bool { return len(of(s, "redis")) == 1 }) // by its port
	s.SetApps(nil)
	s.Request()
	await(t, s, func(s *conns.Sample) bool { return len(s.List) == 0 })
}

// Before the first call of Latest no sample is taken.
func TestNoSampleWithoutReader(t *testing.T) {
	t.Parallel()
	l := listen(t, "tcp4", "127.0.0.1:0")
	s := conns.NewSampler("/proc", time.Second, nil)
	s.SetServices([]conns.Service{{Component: "mysql:main", Kind: "mysql", Addrs: []string{l.Addr().String()}}})
	s.SetApps([]conns.AppProcesses{self(t, "shop")})
	connect(t, l)
	run(t, s)
	s.Request()
	if first := s.Latest(); !first.Taken.IsZero() || len(first.List) > 0 {
		t.Errorf("%+v", first)
	}
	await(t, s, func(s *conns.Sample) bool { return len(s.List) == 1 })
}

// A pid with another start time is another process, and has no connection of the app.
func TestSampleOfReusedPID(t *testing.T) {
	t.Parallel()
	l := listen(t, "tcp4", "127.0.0.1:0")
	connect(t, l)
	app := self(t, "shop")
	app.Members[0].Start++
	s := conns.NewSampler("/proc", time.Second, nil)
	s.SetServices([]conns.Service{{Component: "mysql:main", Kind: "mysql", Addrs: []string{l.Addr().String()}}})
	s.SetApps([]conns.AppProcesses{app, self(t, "blog")})
	run(t, s)
	sample := await(t, s, func(s *conns.Sample) bool { return len(s.List) > 0 })
	if len(sample.List) != 1 || sample.List[0].App != "blog" {
		t.Errorf("%+v", sample.List)
	}
}

// connectFrom connects from a port that another connection may have (IP_LOCAL_PORT_RANGE,
// Linux 6.3); 0: from any.
func connectFrom(t *testing.T, to net.Addr, port int) net.Conn {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		_ = c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, 51, port<<16|port) })
		return err
	}}
	c, err := d.DialContext(t.Context(), "tcp4", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ConnectionsNow has the connections of the wanted apps and components only, as they are
// at the call.
func TestConnectionsNow(t *testing.T) {
	t.Parallel()
	db, cache, local := listen(t, "tcp4", "127.0.0.1:0"), listen(t, "tcp4", "127.0.0.1:0"), listen(t, "unix", filepath.Join(t.TempDir(), "s"))
	s := conns.NewSampler("/proc", time.Hour, nil)
	s.SetServices([]conns.Service{
		{Component: "mysql:main", Kind: "mysql", Addrs: []string{db.Addr().String()}, Paths: []string{local.Addr().String()}},
		{Component: "redis:cache", Kind: "redis", Addrs: []string{cache.Addr().String()}},
	})
	s.SetApps([]conns.AppProcesses{self(t, "shop"), self(t, "blog")})
	now := func(want func(string) bool, apps ...string) []conns.Connection {
		t.Helper()
		got, err := s.ConnectionsNow(t.Context(), want, apps...)
		if err != nil {
			t.Fatal(err)
		}
		return got.List
	}
	mysql := func(c string) bool { return c == "mysql:main" }
	if got := now(mysql); len(got) != 0 {
		t.Errorf("before a connection: %+v", got)
	}
	connect(t, local) // its address is no proof
	connect(t, cache)
	c := connect(t, db)
	if got := now(mysql, "shop"); len(got) != 1 || got[0].App != "shop" || got[0].Local.String() != c.LocalAddr().String() || !got[0].Proven {
		t.Errorf("of shop: %+v", got)
	}
	if got := now(mysql); len(got) != 2 || got[0].App != "shop" || got[1].App != "blog" {
		t.Errorf("of all: %+v", got)
	}
	if got := now(func(string) bool { return true }, "blog"); len(got) != 2 {
		t.Errorf("of every component: %+v", got)
	}
	if got := now(mysql, "none"); len(got) != 0 {
		t.Errorf("of no app: %+v", got)
	}
	same := connectFrom(t, cache.Addr(), c.LocalAddr().(*net.TCPAddr).Port)
	if got := now(mysql); len(got) != 0 {
		t.Errorf("from an address that a connection to another server has too: %+v", got)
	}
	_ = same.Close()
	other := connect(t, db)
	if got := now(mysql, "shop"); len(got) == 0 || got[len(got)-1].Local.String() != other.LocalAddr().String() && got[0].Local.String() != other.LocalAddr().String() {
		t.Errorf("after that: %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := s.ConnectionsNow(ctx, mysql); err == nil {
		t.Errorf("after the end of the context: %+v", got)
	}
}
