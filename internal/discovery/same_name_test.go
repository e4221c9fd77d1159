package discovery

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// rooted returns a process named shop that holds a listener on that port.
func rooted(w *Watcher, pid int, port uint16) *table.Process {
	ino := uint64(pid)
	p := &table.Process{PID: pid, Start: uint64(pid), NetNS: w.namespaces.GetOwn(1).Inode, Program: cmdline.Program{Server: cmdline.Gunicorn, Name: "shop"}}
	p.Descriptors = &table.Descriptors{Known: true, Sockets: map[uint64][]int{ino: {5}}}
	n := w.netOf(p)
	if n.Listeners == nil {
		n.Listeners = make(map[uint64]sockdiag.Listener)
	}
	n.Listeners[ino] = sockdiag.Listener{Network: sockdiag.TCP, Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), port), Inode: ino}
	w.table.Processes[pid] = p
	w.table.Link()
	return p
}

func names(w *Watcher) map[string]int {
	out := make(map[string]int)
	for _, a := range w.apps {
		if r := a.root(); r != nil {
			out[a.name] = r.PID
			a.last = r
			r.Member = a
		}
	}
	return out
}

// Two apps with one name stay separate, and each is recognised by its address.
func TestTwoAppsOfOneName(t *testing.T) {
	w, err := New(Options{ProcRoot: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	first, second := rooted(w, 10, 8000), rooted(w, 20, 8001)
	w.discover(now)
	if got := names(w); got["shop"] != first.PID || got["shop@:8001"] != second.PID {
		t.Fatalf("names %v", got)
	}
	delete(w.table.Processes, 10)
	delete(w.table.Processes, 20)
	rooted(w, 30, 8001) // the second is back, the first is still down
	w.discover(now)
	if got := names(w); len(got) != 1 || got["shop@:8001"] != 30 {
		t.Errorf("names %v, want the second under its own name", got)
	}
	rooted(w, 40, 9000) // the first is back, on another port
	w.discover(now)
	if got := names(w); got["shop"] != 40 || got["shop@:8001"] != 30 {
		t.Errorf("names %v", got)
	}
}

func TestTooManyAppsAreCountedOnce(t *testing.T) {
	w, err := New(Options{ProcRoot: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range MaxApps + 3 {
		rooted(w, i+1, uint16(8000+i))
	}
	for range 4 {
		w.discover(time.Unix(1000, 0))
		names(w)
	}
	if len(w.apps) != MaxApps || w.rejectedApps != 3 {
		t.Errorf("%d apps, %d left out", len(w.apps), w.rejectedApps)
	}
}

// A server whose descriptors cannot be read counts once it is too old to be a
// "gunicorn --version"; one that ended before does not.
func TestUnseenServers(t *testing.T) {
	w, err := New(Options{ProcRoot: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w.table.Boot, w.scanTime = time.Unix(0, 0), time.Unix(100, 0)
	p := &table.Process{PID: 1, Start: 9800, NetNS: w.namespaces.GetOwn(1).Inode, Program: cmdline.Program{Server: cmdline.Gunicorn}}
	for _, c := range []struct {
		err   error
		start uint64
		want  bool
	}{{errAccess, 9000, true}, {errAccess, 9800, false}, {errGone, 9000, false}} {
		p.Descriptors, p.Start = &table.Descriptors{Known: true, Err: c.err}, c.start
		if got := w.mayServe(p); got != c.want {
			t.Errorf("%v at %d: %v", c.err, c.start, got)
		}
	}
}

var (
	errAccess = error(unix.EACCES)
	errGone   = error(unix.ENOENT)
)
