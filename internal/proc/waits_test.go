package proc

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// TestSpeaker picks the thread that stands for a worker, out of a main thread and
// others whose calls began so many seconds ago.
func TestSpeaker(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	in := func(nr, seconds int) thread {
		return thread{tid: seconds, call: call{nr: nr}, since: now.Add(-time.Duration(seconds) * time.Second)}
	}
	accepts, runs, rests := thread{waits: true}, thread{call: call{running: true, nr: -1}, since: now}, in(unix.SYS_RECVFROM, 900)
	rests.rests = true
	lock, reads := func(s int) thread { return in(unix.SYS_FUTEX, s) }, func(s int) thread { return in(unix.SYS_RECVFROM, s) }
	for name, c := range map[string]struct {
		server  Server
		threads int
		hands   int
		main    thread
		others  []thread
		want    int // its number; -1: none
	}{
		"the main thread":                       {Script, 0, 1, reads(3), []thread{reads(9)}, 3},
		"the main thread in a lock":             {Script, 0, 1, lock(3), nil, 3},
		"a pool, and its thread at rest":        {Waitress, 4, 1, accepts, []thread{lock(9), reads(3), rests}, 3},
		"a pool with a request in a lock":       {Waitress, 4, 2, accepts, []thread{lock(9), reads(3)}, 9},
		"a pool that is all in a lock":          {Waitress, 4, 3, accepts, []thread{lock(8), lock(9), lock(7)}, 9},
		"a pool of which the longest counts":    {Waitress, 4, 2, accepts, []thread{reads(3), reads(5), lock(9)}, 5},
		"uWSGI's main thread waits its turn":    {UWSGI, 2, 1, lock(9), []thread{reads(3)}, 3},
		"uWSGI's main thread is one of a pool":  {UWSGI, 2, 2, reads(1), []thread{reads(3)}, 3},
		"uWSGI without threads":                 {UWSGI, 0, 1, reads(1), []thread{reads(3)}, 1},
		"two of which one is in a lock":         {Waitress, 4, 2, accepts, []thread{lock(3), in(unix.SYS_READ, 3)}, 3},
		"one that computes, others in its lock": {Waitress, 4, 3, accepts, []thread{lock(0), runs, lock(0)}, 0},
		"nobody works":                          {Waitress, 4, 1, accepts, []thread{rests}, -1},
	} {
		l := look{server: c.server, main: c.main, others: c.others, hands: hands{n: c.hands}}
		k := l.speaker(c.threads)
		switch {
		case k == nil != (c.want < 0):
			t.Errorf("%s: %+v", name, k)
		case k != nil && k.tid != c.want:
			t.Errorf("%s: the one since %d s, want %d s", name, k.tid, c.want)
		case k != nil && locks(k.call.nr) && slices.ContainsFunc(c.others, func(o thread) bool { return o.since.Equal(k.since) && !locks(o.call.nr) }):
			t.Errorf("%s: a thread in a lock, want the other one", name)
		}
	}
}

// A thread computes if it has run, or been ready to, for half of the time.
func TestThreadShare(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	var k task
	for _, c := range []struct{ after, busy, want float64 }{
		{0, 5, 0}, {0.5, 5.5, 0}, {1, 6, 1}, {1.5, 6, 1 / 1.5}, {2, 6, 0}, {12, 6, 0}, {22, 11, 0.5},
	} {
		at, busy := now.Add(time.Duration(c.after*1e9)), time.Duration(c.busy*1e9)
		if got := k.share(at, busy); got < c.want-0.01 || got > c.want+0.01 {
			t.Errorf("after %g s: %g, want %g", c.after, got, c.want)
		}
	}
}

// nameOf returns what a wait for a connection of the app shop is for, on a host
// with these other apps.
func nameOf(t *testing.T, component string, proven bool, c sockdiag.Connection) string {
	t.Helper()
	n := &netns{}
	at := func(name, address string) *app {
		return &app{name: name, net: n, roots: []*process{{}}, sockets: []sockdiag.Listener{{Network: sockdiag.TCP, Addr: netip.MustParseAddrPort(address)}}}
	}
	shop, local, elsewhere := at("shop", "0.0.0.0:8000"), at("local", "127.0.0.2:8003"), at("elsewhere", "0.0.0.0:8004")
	elsewhere.net = &netns{}
	unixApp := &app{name: "unix", net: n, roots: []*process{{}}, sockets: []sockdiag.Listener{{Network: sockdiag.Unix, Path: "/run/unix.sock"}}}
	ended := at("ended", "0.0.0.0:8005")
	ended.roots = nil
	w := &Watcher{apps: []*app{shop, at("stock", "0.0.0.0:8001"), at("six", "[::]:8002"), local, elsewhere, unixApp, ended, at("one", "[::]:8006"), at("two", "0.0.0.0:8006")}}
	on, peer := w.nameStore(shop, component, proven, c)
	return on + " " + peer
}

func TestNamePeer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		component     string
		proven        bool
		local, remote string
		want          string
	}{
		{"mysql:main", true, "10.0.0.1:40000", "10.0.0.2:3306", "mysql mysql:main"},
		{"mysql:main", false, "10.0.0.1:40000", "10.0.0.2:3306", "mysql 10.0.0.2:3306"},
		{"mysql", false, "10.0.0.1:40000", "10.0.0.2:3306", "mysql 10.0.0.2:3306"},
		{"redis:cache", true, "[::1]:40000", "[::1]:6379", "redis redis:cache"},
		{"postgresql", false, "10.0.0.1:40000", "10.0.0.9:5432", "upstream 10.0.0.9:5432 (postgresql)"},
		{"", false, "10.0.0.1:40000", "10.0.0.9:443", "upstream 10.0.0.9:443 (https)"},
		{"", false, "10.0.0.1:40000", "10.0.0.9:8001", "upstream 10.0.0.9:8001"},
		{"", false, "127.0.0.1:40000", "127.0.0.1:8001", "upstream app:stock"},
		{"", false, "10.0.0.1:40000", "10.0.0.1:8001", "upstream app:stock"},
		{"", false, "127.0.0.1:40000", "127.0.0.1:8002", "upstream app:six"},
		{"", false, "[::1]:40000", "[::1]:8001", "upstream [::1]:8001"},
		{"", false, "127.0.0.1:40000", "127.0.0.1:8003", "upstream 127.0.0.1:8003"},
		{"", false, "127.0.0.1:40000", "127.0.0.2:8003", "upstream app:local"},
		{"", false, "127.0.0.1:40000", "127.0.0.1:8000", "upstream 127.0.0.1:8000"},
		{"", false, "127.0.0.1:40000", "127.0.0.1:8004", "upstream 127.0.0.1:8004"},
		{"", false, "127.0.0.1:40000", "127.0.0.1:8005", "upstream 127.0.0.1:8005"},
		{"", false, "127.0.0.1:40000", "127.0.0.1:8006", "upstream 127.0.0.1:8006"},
		{"redis", false, "127.0.0.1:40000", "127.0.0.1:8001", "upstream app:stock"},
	} {
		con := sockdiag.Connection{Local: netip.MustParseAddrPort(c.local), Remote: netip.MustParseAddrPort(c.remote)}
		if got := nameOf(t, c.component, c.proven, con); got != c.want {
			t.Errorf("%s, %s to %s: %q, want %q", c.component, c.local, c.remote, got, c.want)
		}
	}
	for path, want := range map[[2]string]string{
		{"mysql:main", "/run/a.sock"}: "mysql mysql:main", {"postgresql", "/run/.s.PGSQL.5432"}: "upstream /run/.s.PGSQL.5432 (postgresql)",
		{"", "/run/unix.sock"}: "upstream app:unix", {"", "@name"}: "upstream @name", {"", "/run/a\x1b[2J"}: "upstream /run/a_[2J~0c671949",
	} {
		if got := nameOf(t, path[0], true, sockdiag.Connection{Path: path[1]}); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

// What several sockets have in common: a name, a kind, or nothing.
func TestNameSeveral(t *testing.T) {
	t.Parallel()
	n := &netns{peers: &peerBook{byInode: make(map[uint64]sockdiag.Peer)}}
	for inode, to := range map[uint64]string{1: "10.0.0.2:3306", 2: "10.0.0.2:3306", 3: "10.0.0.3:3306", 4: "10.0.0.9:443"} {
		n.peers.byInode[inode] = sockdiag.Peer{Connection: sockdiag.Connection{Remote: netip.MustParseAddrPort(to), Local: netip.MustParseAddrPort("10.0.0.1:40000")}}
	}
	n.peers.byInode[5] = sockdiag.Peer{Accepted: true}
	by := &peerNames{places: literal(nil), sample: &Connections{}, proofs: map[*netns]proof{n: {}}}
	for sockets, want := range map[[3]uint64]string{
		{1}: "mysql 10.0.0.2:3306", {1, 2}: "mysql 10.0.0.2:3306", {1, 3}: "mysql ", {1, 99}: "mysql 10.0.0.2:3306", {1, 4}: "other ",
		{5}: "client ", {5, 4}: "other ", {99}: "other ", {4, 98, 99}: "upstream 10.0.0.9:443 (https)", {}: "other ",
	} {
		u := &unnamed{app: &app{net: n}}
		for _, inode := range sockets {
			if inode != 0 {
				u.sockets = append(u.sockets, waitSocket{inode: inode})
			}
		}
		on, peer := new(Watcher).together(u, by)
		if got := on + " " + peer; got != want {
			t.Errorf("%v: %q, want %q", sockets, got, want)
		}
	}
}

func TestUnixPath(t *testing.T) {
	t.Parallel()
	family := binary.NativeEndian.AppendUint16(nil, unix.AF_UNIX)
	for name, want := range map[string]string{"/run/x.sock\x00rest": "/run/x.sock", "/run/x": "/run/x", "\x00ab\x00c": "@ab@c", "": "", "\x00": "@"} {
		if got := unixPath(append(slices.Clone(family), name...)); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got := unixPath([]byte{unix.AF_INET, 0, 1, 2, 3, 4}); got != "" {
		t.Errorf("an address of another family: %q", got)
	}
}

// Whatever memory of a stranger's holds, a path comes out of it or nothing.
func FuzzUnixPath(f *testing.F) {
	f.Add([]byte{1, 0, '/', 'x', 0})
	f.Add([]byte{1, 0, 0, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		if got := unixPath(b); len(got) > max(len(b)-2, 0) || slices.Contains([]byte(got), 0) {
			t.Errorf("%q became %q", b, got)
		}
	})
}

// BenchmarkWaitOf reads what this process waits for in a call on a socket: the
// hot path of a worker that has been busy for a second.
func BenchmarkWaitOf(b *testing.B) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	tid := make(chan int)
	go func() {
		runtime.LockOSThread()
		tid <- unix.Gettid()
		_, _ = unix.Read(pair[0], make([]byte, 1)) // until the end of the benchmark
	}()
	r := newReader("/proc")
	w := &Watcher{table: newTable(r)}
	w.caller = &caller{t: w.table}
	p, k := &process{pid: os.Getpid()}, thread{tid: <-tid}
	b.Cleanup(func() { _ = unix.Close(pair[1]); _ = unix.Close(pair[0]) })
	for k.call.nr != unix.SYS_READ || int(k.call.args[0]) != pair[0] {
		text, err := r.pid(p.pid, fmt.Sprintf("task/%d/syscall", k.tid))
		if err != nil {
			b.Fatal(err)
		}
		k.call, _ = parseSyscall(text)
	}
	l, x := &look{main: k}, &Worker{State: Busy, For: time.Minute}
	b.ReportAllocs()
	for b.Loop() {
		w.table.costs.begin(true) // a look
		if w.waitOf(&app{}, p, &stateTracker{}, l, x, time.Now()); len(w.unnamed) != 1 {
			b.Fatal(w.unnamed)
		}
		w.forgetUnnamed()
	}
}
