package listeners

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// socketApp is an app with listeners of these inodes and their holders.
type socketApp struct {
	server  cmdline.Server
	master  []uint64
	workers [][]uint64
	watched map[int][]uint64 // by worker: what its epoll set has
	alone   bool             // the master is the worker
	seen    int              // when the processes were first seen, in seconds
}

// requestsOf returns the inodes that count as request listeners.
func requestsOf(t *testing.T, tab *table.Table, c socketApp, u *Purposes, at int) []uint64 {
	t.Helper()
	var all []sockdiag.Listener
	make1 := func(pid int, inodes []uint64, watched []uint64) *table.Process {
		p := &table.Process{PID: pid, Start: uint64(pid), FirstSeen: time.Unix(int64(c.seen), 0), Program: cmdline.Program{Server: c.server}}
		p.Descriptors = &table.Descriptors{Known: true, Sockets: make(map[uint64][]int), Heartbeat: -1}
		var targets string
		for _, ino := range inodes {
			p.FDs().Sockets[ino] = []int{int(ino)}
			if !slices.ContainsFunc(all, func(l sockdiag.Listener) bool { return l.Inode == ino }) {
				all = append(all, sockdiag.Listener{Network: sockdiag.TCP, Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(ino)), Inode: ino})
			}
			if slices.Contains(watched, ino) {
				targets += fmt.Sprintf("tfd: %d events: 19 data: 3\n", ino)
			}
		}
		if targets != "" {
			p.FDs().Polls = []int{3}
			dir := filepath.Join(tab.FS.Path(pid, "fdinfo"))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "3"), []byte(targets), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	var of ProcessTree
	of.Roots = []*table.Process{make1(1, c.master, c.watched[-1])}
	of.Members, of.Workers = slices.Clone(of.Roots), nil
	if c.alone {
		of.Workers = slices.Clone(of.Roots)
	}
	for i, inodes := range c.workers {
		p := make1(10+i, inodes, c.watched[i])
		of.Workers, of.Members = append(of.Workers, p), append(of.Members, p)
	}
	var out []uint64
	tab.Budget.Begin(false)
	for _, l := range u.Requests(tab, of, all, time.Unix(int64(at), 0)) {
		out = append(out, l.Inode)
	}
	slices.Sort(out)
	return out
}

// In each case port 9 is a control, statistics or administration socket.
func TestControlSocketsAreNoListeners(t *testing.T) {
	r := table.New(procfs.New(t.TempDir()))
	both := []uint64{1, 2}
	for name, c := range map[string]struct {
		app  socketApp
		want []uint64
	}{
		"the master alone has it":               {socketApp{server: cmdline.Gunicorn, master: []uint64{1, 9}, workers: [][]uint64{{1}, {1}}}, []uint64{1}},
		"with several binds":                    {socketApp{server: cmdline.Gunicorn, master: []uint64{1, 2, 9}, workers: [][]uint64{both, both}}, both},
		"a later worker inherits it":            {socketApp{server: cmdline.Gunicorn, master: []uint64{1, 9}, workers: [][]uint64{{1}, {1, 9}}}, []uint64{1}},
		"no worker yet":                         {socketApp{server: cmdline.Gunicorn, master: both}, both},
		"bound anew while old workers drain":    {socketApp{server: cmdline.Gunicorn, master: []uint64{2}, workers: [][]uint64{{1}, {2}}}, both},
		"each worker has a socket of its own":   {socketApp{server: cmdline.Gunicorn, workers: [][]uint64{{1}, {2}}}, both},
		"a server of one process":               {socketApp{server: cmdline.Uvicorn, master: both, alone: true}, both},
		"uWSGI's statistics":                    {socketApp{server: cmdline.UWSGI, master: []uint64{1, 9}, workers: [][]uint64{{1}, {1}}, watched: map[int][]uint64{0: {1}}}, []uint64{1}},
		"and its one worker was forked anew":    {socketApp{server: cmdline.UWSGI, master: []uint64{1, 9}, workers: [][]uint64{{1, 9}}, watched: map[int][]uint64{0: {1}}}, []uint64{1}},
		"and without a master":                  {socketApp{server: cmdline.UWSGI, master: []uint64{1, 9}, alone: true, watched: map[int][]uint64{-1: {1}}}, []uint64{1}},
		"sockets mapped to workers":             {socketApp{server: cmdline.UWSGI, master: []uint64{1, 2, 9}, workers: [][]uint64{{1}, {2}}, watched: map[int][]uint64{0: {1}, 1: {2}}}, both},
		"uWSGI's workers still load":            {socketApp{server: cmdline.UWSGI, master: both, workers: [][]uint64{both}}, both},
		"threads that watch, one inherited it":  {socketApp{server: cmdline.Gunicorn, master: []uint64{1, 9}, workers: [][]uint64{{1, 9}, {1}}, watched: map[int][]uint64{0: {1}, 1: {1}}}, []uint64{1}},
		"a second bind that one worker dropped": {socketApp{server: cmdline.Gunicorn, master: both, workers: [][]uint64{both, {1}}, watched: map[int][]uint64{0: both, 1: {1}}}, both},
	} {
		if got := requestsOf(t, r, c.app, new(Purposes), 1000); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// A known control socket is no request listener either while there is no worker.
func TestControlSocketIsRemembered(t *testing.T) {
	r, u := table.New(procfs.New(t.TempDir())), new(Purposes)
	steps := []struct {
		app  socketApp
		want []uint64
	}{
		{socketApp{server: cmdline.Gunicorn, master: []uint64{1, 9}, workers: [][]uint64{{1}}}, []uint64{1}},
		{socketApp{server: cmdline.Gunicorn, master: []uint64{1, 9}}, []uint64{1}},
		{socketApp{server: cmdline.Gunicorn, master: []uint64{1, 9}, workers: [][]uint64{{1}, {1, 9}}}, []uint64{1}},
		{socketApp{server: cmdline.Gunicorn, master: []uint64{9}}, []uint64{9}}, // there must be one
	}
	for i, s := range steps {
		if got := requestsOf(t, r, s.app, u, 1000+i); !slices.Equal(got, s.want) {
			t.Errorf("step %d: %v, want %v", i, got, s.want)
		}
	}
}

// A young worker may fill its epoll set after its gateway: that is read in each scan. That of an
// old one is read again after half a minute.
func TestEpollSetsAreReadAgain(t *testing.T) {
	for name, c := range map[string]struct {
		seen int
		want []uint64 // a scan later
	}{
		"young": {990, []uint64{1, 2}},
		"old":   {900, []uint64{2}},
	} {
		t.Run(name, func(t *testing.T) {
			r, u := table.New(procfs.New(t.TempDir())), new(Purposes)
			a := socketApp{server: cmdline.UWSGI, workers: [][]uint64{{1, 2}, {1, 2}}, watched: map[int][]uint64{1: {2}}, seen: c.seen}
			if got := requestsOf(t, r, a, u, 1000); !slices.Equal(got, []uint64{2}) {
				t.Errorf("at first: %v", got)
			}
			a.watched[0] = []uint64{1}
			if got := requestsOf(t, r, a, u, 1001); !slices.Equal(got, c.want) {
				t.Errorf("a scan later: %v, want %v", got, c.want)
			}
			if got := requestsOf(t, r, a, u, 1031); !slices.Equal(got, []uint64{1, 2}) {
				t.Errorf("half a minute later: %v", got)
			}
		})
	}
}

// While an epoll set is too large to be read, what it had counts, and it is not read again at
// once. Another process that serves is looked at at once.
func TestLargeEpollSet(t *testing.T) {
	r, u := table.New(procfs.New(t.TempDir())), new(Purposes)
	a := socketApp{server: cmdline.UWSGI, workers: [][]uint64{{1, 2}, {1, 2}}, watched: map[int][]uint64{0: {1}, 1: {2}}}
	both := []uint64{1, 2}
	if got := requestsOf(t, r, a, u, 1000); !slices.Equal(got, both) {
		t.Fatalf("at first: %v", got)
	}
	a.watched[0] = slices.Repeat([]uint64{7}, 5000)
	for inode := range a.watched[0] {
		a.watched[0][inode] = uint64(3 + inode)
	}
	a.workers[0] = append(both, a.watched[0]...)
	for _, at := range []int{1031, 1032, 1063} {
		if got := requestsOf(t, r, a, u, at); !slices.Contains(got, 1) || !slices.Contains(got, 2) {
			t.Errorf("at %d: %v", at, got[:min(len(got), 5)])
		}
	}
	a.workers = append(a.workers, []uint64{1, 2, 9})
	a.watched[2] = []uint64{9}
	if got := requestsOf(t, r, a, u, 1064); !slices.Contains(got, 9) {
		t.Errorf("a new worker: %v", got[:min(len(got), 5)])
	}
}

func TestInternalSocket(t *testing.T) {
	for in, want := range map[string]bool{
		"/root/.gunicorn/gunicorn.ctl": true, "/run/user/1000/gunicorn.ctl": true, "/tmp/pymp-x1/listener-2": true,
		"/tmp/gunicorn-dirty-ab12/arbiter.sock": true, "/run/gunicorn.sock": false, "/run/shop.ctl": false, "@gunicorn": false, "": false,
	} {
		if got := Internal(in); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
	p := &table.Process{Program: cmdline.Program{Server: cmdline.Gunicorn}, Argv: []string{"gunicorn", "--control-socket", "./run/g.sock", "shop:app"}}
	if l := (sockdiag.Listener{Network: sockdiag.Unix, Path: "/srv/shop/run/g.sock"}); !IsControl(p, l) {
		t.Error("the socket that --control-socket names is none")
	}
	if l := (sockdiag.Listener{Network: sockdiag.Unix, Path: "/srv/shop/run/shop.sock"}); IsControl(p, l) {
		t.Error("another socket is the control socket")
	}
}
