package discovery_test

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
)

// waiting is a pre-forking server with one worker per request: the worker runs the
// first line of the request, until it is killed.
const waiting = `
import os, select, socket, subprocess, sys, tempfile, threading, time
def to(port, *a): return socket.create_connection(("127.0.0.1", int(port)), *a)
def unix(path):
    s = socket.socket(socket.AF_UNIX); s.connect(path); return s
def upstream(c, port): to(port).recv(1)
def timeout(c, port): to(port, 600).recv(1)
def sends(c, port): to(port).sendall(b"x" * (64 << 20))
def connects(c, port):
    held = []
    while True:
        s = socket.socket(); s.settimeout(600); s.connect(("127.0.0.1", int(port))); held.append(s)
def resolves(c, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(("127.0.0.1", int(port))); s.recv(1)
def selects(c, port):
    s = to(port); select.select([s], [], [s])
def epolls(c, port):
    e, s, (a, b) = select.epoll(), to(port), socket.socketpair()
    e.register(s, select.EPOLLIN); e.register(a, select.EPOLLIN); e.poll()
def two(c, port, other):
    a, b = to(port), to(other); select.select([a, b], [], [])
def local(c, path): unix(path).recv(1)
def queue(c, path):
    held = []
    while True: held.append(unix(path))
def client(c): c.recv(1)
def spins(c):
    while True: pass
def sleeps(c): time.sleep(600)
def locks(c):
    l = threading.Lock(); l.acquire(); l.acquire()
def child(c): subprocess.Popen(["sleep", "600"]).wait()
def pipe(c): os.read(os.pipe()[0], 1)
def serve(s):
    while True:
        c, _ = s.accept()
        f, *a = c.recv(256).decode().split()
        globals()[f](c, *a)
s = socket.socket(socket.AF_INET); s.bind(("127.0.0.1", 0)); s.listen(64)
for _ in range(int(sys.argv[1])):
    if os.fork() == 0: serve(s)
print(s.getsockname()[1], flush=True)
while True: time.sleep(60)
`

// startWaiting runs the server with that many workers and returns its port.
func startWaiting(t testing.TB, name string, workers int) (port int) {
	t.Helper()
	runServer(t, waiting, name, workers, &port)
	return port
}

// ask sends one request, and keeps the connection.
func ask(t testing.TB, port int, request string) {
	t.Helper()
	c, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := c.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
}

// quiet listens with a queue of that length and never accepts.
func quiet(t testing.TB, at syscall.Sockaddr, family, backlog int) (port int) {
	t.Helper()
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, at); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, backlog); err != nil {
		t.Fatal(err)
	}
	got, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	if in, ok := got.(*syscall.SockaddrInet4); ok {
		return in.Port
	}
	return 0
}

func loopback(t testing.TB, backlog int) (port int) {
	t.Helper()
	return quiet(t, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}, syscall.AF_INET, backlog)
}

// waitsOf returns the number of workers by what they wait for.
func waitsOf(a discovery.App) map[string]int {
	out := make(map[string]int)
	for i := range a.Workers {
		switch w := a.Workers[i].Wait; {
		case w != nil:
			out[strings.TrimSpace(w.On+" "+w.Peer)]++
		case a.Workers[i].State == discovery.Idle:
			out["idle"]++
		default:
			out["not yet"]++
		}
	}
	return out
}

// The wait and the peer of each worker are reported: each kind of wait, each system call
// that waits for a socket, and each kind of peer.
func TestWhatWorkersWaitFor(t *testing.T) {
	dir, err := os.MkdirTemp("", "pw") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	silent, full, database, cache := loopback(t, 64), loopback(t, 1), loopback(t, 64), loopback(t, 64)
	second := loopback(t, 64)
	path, short, dbPath := filepath.Join(dir, "s"), filepath.Join(dir, "short"), filepath.Join(dir, "db")
	quiet(t, &syscall.SockaddrUnix{Name: path}, syscall.AF_UNIX, 64)
	quiet(t, &syscall.SockaddrUnix{Name: short}, syscall.AF_UNIX, 1)
	quiet(t, &syscall.SockaddrUnix{Name: dbPath}, syscall.AF_UNIX, 64)
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = udp.Close() })
	other := fmt.Sprintf("stock%d", os.Getpid())
	_, stock, _ := start(t, other, 1)

	at := func(port int) string { return fmt.Sprintf("upstream 127.0.0.1:%d", port) }
	cases := []struct{ request, want string }{
		{fmt.Sprint("upstream ", silent), at(silent)}, {fmt.Sprint("timeout ", silent), at(silent)}, {fmt.Sprint("sends ", silent), at(silent)},
		{fmt.Sprint("connects ", full), at(full)}, {fmt.Sprint("selects ", silent), at(silent)}, {fmt.Sprint("epolls ", silent), at(silent)},
		{fmt.Sprint("two ", silent, " ", silent), at(silent)}, {fmt.Sprint("two ", silent, " ", second), "upstream"}, {fmt.Sprint("two ", silent, " ", cache), "other"},
		{fmt.Sprint("resolves ", udp.LocalAddr().(*net.UDPAddr).Port), "upstream " + udp.LocalAddr().String()},
		{fmt.Sprint("upstream ", stock), "upstream app:" + other},
		{"local " + path, "upstream " + path}, {"queue " + short, "upstream " + short}, {"local " + dbPath, "mysql mysql:main"},
		{fmt.Sprint("upstream ", database), "mysql mysql:main"}, {fmt.Sprint("timeout ", cache), "redis redis:cache"},
		{"client", "client"}, {"spins", "cpu"}, {"sleeps", "sleep"}, {"locks", "lock"}, {"child", "child"}, {"pipe", "other"},
	}
	name := fmt.Sprintf("waits%d", os.Getpid())
	port := startWaiting(t, name, len(cases)+1)
	w := watch(t)
	w.SetServices([]conns.Service{
		{Component: "mysql:main", Kind: "mysql", Addrs: []string{fmt.Sprintf("localhost:%d", database)}, Paths: []string{dbPath}},
		{Component: "redis:cache", Kind: "redis", Addrs: []string{fmt.Sprintf("127.0.0.1:%d", cache)}},
	})
	await(t, w, name, func(a discovery.App) string {
		if got := waitsOf(a); !maps.Equal(got, map[string]int{"idle": len(cases) + 1}) {
			return fmt.Sprint("at rest: ", got)
		}
		return ""
	})
	want := map[string]int{"idle": 1}
	for _, c := range cases {
		ask(t, port, c.request)
		want[c.want]++
	}
	a := await(t, w, name, func(a discovery.App) string {
		got := waitsOf(a)
		for _, k := range slices.Sorted(maps.Keys(want)) {
			if got[k] != want[k] {
				return fmt.Sprintf("%d wait for %q, want %d: %v", got[k], k, want[k], got)
			}
		}
		return ""
	})
	for i := range a.Workers {
		if x := &a.Workers[i]; x.Wait != nil && x.For < time.Second {
			t.Errorf("%+v waits for %+v", x, x.Wait)
		}
	}
}

// The kernel is not queried while no worker waits, or for a socket in the sample of
// connections.
func TestWaitIsSampled(t *testing.T) {
	database := loopback(t, 64)
	name := fmt.Sprintf("sampled%d", os.Getpid())
	port := startWaiting(t, name, 2)
	w := watch(t, config.App{Name: name, Match: config.Match{Cmdline: name}})
	w.SetServices([]conns.Service{{Component: "mysql:main", Kind: "mysql", Addrs: []string{fmt.Sprintf("127.0.0.1:%d", database)}}})
	await(t, w, name, func(a discovery.App) string {
		if got := waitsOf(a); got["idle"] != 2 {
			return fmt.Sprint(got)
		}
		return ""
	})
	ask(t, port, fmt.Sprint("upstream ", database))
	for end := time.Now().Add(20 * time.Second); !slices.ContainsFunc(w.Connections().List, func(c conns.Connection) bool { return c.App == name }); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the connection is not sampled")
		}
	}
	await(t, w, name, func(a discovery.App) string {
		if got := waitsOf(a); got["mysql mysql:main"] != 1 {
			return fmt.Sprint(got)
		}
		return ""
	})
}
