package conns_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// inodeOf returns the inode of a listener or a connection of package net.
func inodeOf(t *testing.T, socket any) uint64 {
	t.Helper()
	raw, err := socket.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	var statErr error
	if err := errors.Join(raw.Control(func(fd uintptr) { statErr = unix.Fstat(int(fd), &st) }), statErr); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// acceptedEnd is the inodes of a listener and of a connection that it accepted.
type acceptedEnd struct{ listener, accepted uint64 }

// accept opens a listener and accepts one connection; both stay open until the test ends.
func accept(t *testing.T) acceptedEnd {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	connect(t, l)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return acceptedEnd{inodeOf(t, l), inodeOf(t, c)}
}

// has reports whether a list has a listener with an inode.
func has(list []sockdiag.Listener, inode uint64) bool {
	return slices.ContainsFunc(list, func(l sockdiag.Listener) bool { return l.Inode == inode })
}

// A listener is new until it is acknowledged, and no listener after it was closed.
func TestNewListeners(t *testing.T) {
	t.Parallel()
	s := conns.NewNamespaces(procfs.New("/proc"))
	t.Cleanup(s.Close)
	n := s.GetOwn(os.Getpid())
	if n.Inode != netNS(t) || s.Get(os.Getpid(), 0, 1000) != n {
		t.Errorf("own namespace: %+v", n)
	}
	tcp := listen(t, "tcp4", "127.0.0.1:0")
	local := listen(t, "unix", filepath.Join(t.TempDir(), "s"))
	first, second := inodeOf(t, tcp), inodeOf(t, local)
	news := s.Refresh(t.Context(), time.Now())
	for _, inode := range []uint64{first, second} {
		if !has(news, inode) || !has(s.NewListeners(), inode) || !s.Listens(n.Inode, inode) {
			t.Errorf("socket %d is not new: %v", inode, n.Err)
		}
	}
	if l := n.Listeners[first]; l.Addr.Port() != portOf(tcp) || n.Listeners[second].Path != local.Addr().String() {
		t.Errorf("%+v, %+v", l, n.Listeners[second])
	}
	s.AcknowledgeNew()
	if news := s.Refresh(t.Context(), time.Now()); has(news, first) || has(news, second) || !s.Listens(n.Inode, first) {
		t.Error("an acknowledged listener is new again")
	}
	_ = tcp.Close()
	s.Refresh(t.Context(), time.Now())
	if s.Listens(n.Inode, first) || !s.Listens(n.Inode, second) || s.Listens(n.Inode+1, second) {
		t.Errorf("after the close: %t, %t", s.Listens(n.Inode, first), s.Listens(n.Inode, second))
	}
}

// A namespace that was not used since the last sweep is dropped; the own one stays.
func TestSweep(t *testing.T) {
	t.Parallel()
	s := conns.NewNamespaces(procfs.New("/proc"))
	t.Cleanup(s.Close)
	own, other := s.GetOwn(os.Getpid()), s.Get(os.Getpid(), 1, 0)
	s.Sweep()
	if s.Get(os.Getpid(), 1, 0) != other {
		t.Error("a used namespace was dropped")
	}
	s.Sweep()
	s.Sweep()
	if s.Get(os.Getpid(), 1, 0) == other || s.GetOwn(os.Getpid()) != own {
		t.Error("an unused namespace was kept, or the own one was dropped")
	}
}

// One account has at most 64 namespaces, root and all accounts together 256; beyond that
// a namespace has an error and no sockets, and the own one is there.
func TestNamespacesAreBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		owner func(i uint64) procfs.Account
		want  uint64
	}{
		"one account":   {func(uint64) procfs.Account { return 1000 }, 64},
		"root":          {func(uint64) procfs.Account { return 0 }, 256},
		"many accounts": {func(i uint64) procfs.Account { return procfs.Account(1000 + i) }, 256},
	} {
		s := conns.NewNamespaces(procfs.New("/proc"))
		for i := range uint64(300) {
			n := s.Get(os.Getpid(), i+1, c.owner(i))
			if (n.Err == nil) != (i < c.want) || n.Inode != i+1 {
				t.Errorf("%s: number %d is %+v", name, i, n)
			}
		}
		if n := s.GetOwn(os.Getpid()); n.Err != nil {
			t.Errorf("%s: the own one: %v", name, n.Err)
		}
		if n := s.Get(os.Getpid(), 1, 77); n.Err != nil {
			t.Errorf("%s: a known one: %v", name, n.Err)
		}
		s.Close()
	}
}

// A namespace that cannot be entered has its listeners from the files below /proc, with
// the reason why sock_diag is not used.
func TestListenersFromFiles(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := filepath.Join(root, "7", "net")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	tcp := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000002 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0\n"
	if err := os.WriteFile(filepath.Join(dir, "tcp"), []byte(tcp), 0o600); err != nil {
		t.Fatal(err)
	}
	s := conns.NewNamespaces(procfs.New(root))
	t.Cleanup(s.Close)
	n := s.Get(7, 1, 0)
	news := s.Refresh(t.Context(), time.Now())
	if n.Err == nil || len(news) != 1 || news[0].Inode != 4711 || news[0].Addr.String() != "127.0.0.1:8080" {
		t.Errorf("%v, %+v", n.Err, news)
	}
}

// The accepted connections of an app's listeners are read once a scan, and the listeners
// are known.
func TestAccepted(t *testing.T) {
	t.Parallel()
	s := conns.NewNamespaces(procfs.New("/proc"))
	t.Cleanup(s.Close)
	n := s.GetOwn(os.Getpid())
	tcp, other := accept(t), accept(t)
	s.Refresh(t.Context(), time.Now())
	if n.Err != nil {
		t.Fatalf("sock_diag: %v", n.Err)
	}
	app := conns.AppListeners{Name: "shop", Up: true, Namespace: n, Listeners: []sockdiag.Listener{n.Listeners[tcp.listener]}}
	never := func(*conns.Accepted) bool { return false }
	for number, deadline := uint64(1), time.Now().Add(time.Minute); ; number++ {
		a := n.Accepted(t.Context(), conns.Scan{Number: number, Apps: []conns.AppListeners{app}}, never)
		if a == nil {
			t.Fatal("no response of the kernel")
		}
		if _, ok := a.ByInode[other.accepted]; ok {
			t.Errorf("a connection of a listener of no app: %+v", a.ByInode)
		}
		if _, ok := a.ByInode[tcp.accepted]; ok && a.Listening[tcp.listener] && a.Fresh {
			if again := n.Accepted(t.Context(), conns.Scan{Number: number}, never); again != a {
				t.Error("a second query in one scan")
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %+v", a)
		}
		time.Sleep(20 * time.Millisecond)
	}
	closed := s.Get(os.Getpid(), 1, 0)
	if a := closed.Accepted(t.Context(), conns.Scan{Number: 1}, never); a != nil {
		t.Errorf("of a namespace without a connection to the kernel: %+v", a)
	}
}

// The wait of a worker for a connection of this process has the kind and the name of the
// peer, by the kernel and by the sample of connections.
func TestNamePeers(t *testing.T) {
	t.Parallel()
	s := conns.NewNamespaces(procfs.New("/proc"))
	t.Cleanup(s.Close)
	n := s.GetOwn(os.Getpid())
	db, app := listen(t, "tcp4", "127.0.0.1:0"), listen(t, "tcp4", "127.0.0.1:0")
	toDB, toApp := connect(t, db), connect(t, app)
	s.Refresh(t.Context(), time.Now())
	listener := n.Listeners[inodeOf(t, app)]
	shop := conns.AppListeners{Name: "shop", Up: true, Namespace: n}
	stock := conns.AppListeners{Name: "stock", Up: true, Namespace: n, Listeners: []sockdiag.Listener{listener}}
	sampler := conns.NewSampler("/proc", time.Hour, nil)
	sampler.SetServices([]conns.Service{{Component: "mysql:main", Kind: "mysql", Addrs: []string{db.Addr().String()}}})
	waits := func() []conns.SocketWait {
		socket := func(c any) []conns.WaitSocket {
			return []conns.WaitSocket{{Inode: inodeOf(t, c)}}
		}
		return []conns.SocketWait{
			{App: &shop, Sockets: socket(toDB)}, {App: &shop, Sockets: socket(toApp)},
			{App: &shop, Sockets: []conns.WaitSocket{{Inode: 1, Accepted: true}}}, {App: &shop},
			{App: &shop, Sockets: []conns.WaitSocket{{Path: "/run/none.sock"}}},
		}
	}
	got := waits()
	s.NamePeers(t.Context(), conns.Scan{Number: 1, Apps: []conns.AppListeners{shop, stock}}, got, sampler)
	for i, want := range []string{"mysql mysql:main", "upstream app:stock", "client ", "other ", "upstream /run/none.sock"} {
		if have := got[i].On + " " + got[i].Peer; have != want {
			t.Errorf("wait %d: %q, want %q", i, have, want)
		}
	}
	s.NamePeers(t.Context(), conns.Scan{Number: 2}, nil, sampler) // nothing waits
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	other := conns.AppListeners{Name: "shop", Up: true, Namespace: s.Get(os.Getpid(), 1, 0)}
	unknown := []conns.SocketWait{{App: &other, Sockets: []conns.WaitSocket{{Inode: 99}}}}
	s.NamePeers(ctx, conns.Scan{Number: 3, Apps: []conns.AppListeners{other}}, unknown, sampler)
	if unknown[0].On != conns.OnOther || unknown[0].Peer != "" {
		t.Errorf("without the kernel: %+v", unknown[0])
	}
}

// ConnectionsOf reads the descriptors of a process: without them it has an error.
func TestConnectionsOfUnreadable(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := filepath.Join(root, strconv.Itoa(7), "ns")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "net"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if h, err := conns.ConnectionsOf(t.Context(), root, 7, conns.Endpoints{Ports: []uint16{1}}); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", h, err)
	}
}
