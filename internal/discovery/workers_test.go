package discovery

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// child is one process below a server, as /proc shows it.
type child struct {
	argv     string // words between bars; empty: the server's
	inherits bool   // it holds the server's listening socket
	beats    []string
	waits    bool // an epoll set of its has the socket
	state    byte // 0: it sleeps
	dirty    bool // it listens where a dirty arbiter does
	reloaded bool // its environment is that of a server below Werkzeug's reloader
}

// workersOf returns which of the children are workers, by their numbers, and
// "root" if the server itself is one.
func workersOf(t *testing.T, argv string, rootWaits bool, kids ...child) string {
	t.Helper()
	w := host(t)
	w.table.Boot = at(0)
	const pid = 100
	add := func(pid, ppid int, c child) *table.Process {
		p := rooted(w, pid, uint16(8000+pid))
		delete(w.netOf(p).Listeners, uint64(pid))
		p.Usage().Reread = at(1000) // what there is was read
		p.Argv = strings.Split(c.argv, "|")
		p.Program = cmdline.Classify(p.Argv)
		p.Owner = table.Ownership{Known: true, Placed: true, Owner: procfs.Owner{Account: 33, UID: 33}}
		p.Stat = procfs.Stat{PPID: ppid, State: c.state}
		p.Descriptors = &table.Descriptors{Known: true, Sockets: map[uint64][]int{}, Heartbeat: -1, Heartbeats: len(c.beats)}
		if c.inherits {
			p.FDs().Sockets[7] = []int{5}
		}
		if len(c.beats) == 1 {
			p.FDs().Heartbeat, p.FDs().HeartbeatName = 6, c.beats[0]
		}
		if c.dirty {
			p.FDs().Sockets[8] = []int{6}
		}
		if c.reloaded {
			if err := os.MkdirAll(w.fs.Path(pid, ""), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(w.fs.Path(pid, "environ"), []byte("A=b\x00WERKZEUG_RUN_MAIN=true\x00"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if c.waits {
			p.FDs().Polls = []int{3}
			dir := filepath.Join(w.fs.Path(pid, "fdinfo"))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "3"), []byte("tfd: 5 events: 19\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	root := add(pid, 1, child{argv: argv, inherits: true, waits: rootWaits})
	l := w.netOf(root)
	l.Listeners[7] = listener(7, 8000)
	l.Listeners[8] = sockdiag.Listener{Network: sockdiag.Unix, Path: "/tmp/gunicorn-dirty-a1/arbiter.sock", Inode: 8}
	a := newApp("shop", -1)
	a.roots, a.members, root.Member = []*table.Process{root}, []*table.Process{root}, a
	for i, c := range kids {
		if c.argv == "" {
			c.argv = argv
		}
		p := add(pid+1+i, pid, c)
		p.Member = a
		a.members = append(a.members, p)
	}
	w.table.Link()
	w.scanTime = at(1000)
	var out []string
	for _, p := range w.workersOf(root) {
		if p == root {
			out = append(out, "root")
		} else {
			out = append(out, fmt.Sprint(p.PID-pid-1))
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestWhoIsAWorker(t *testing.T) {
	const (
		gunicorn = "python3|/usr/bin/gunicorn|-w|2|shop:app"
		spawn    = "python3|-c|from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=6, pipe_handle=8)|--multiprocessing-fork"
		tracker  = "python3|-c|from multiprocessing.resource_tracker import main;main(5)"
	)
	fork, beat := child{inherits: true}, func(names ...string) child { return child{inherits: true, beats: names} }
	for name, c := range map[string]struct {
		argv  string
		waits bool
		kids  []child
		want  string
	}{
		"waitress and its pool":             {"python3|-m|waitress|shop:app", false, []child{fork, fork}, "root"},
		"flask and its pool":                {"flask|--app|shop|run", false, []child{fork}, "root"},
		"flask below its reloader":          {"flask|--app|shop|run", false, []child{{inherits: true, reloaded: true}}, "0"},
		"a script below its reloader":       {"python3|app.py", true, []child{{inherits: true, waits: true, reloaded: true}}, "0"},
		"a reloader of another server":      {"flask|--app|shop|run", false, []child{{argv: "python3|other.py", inherits: true, reloaded: true}}, "root"},
		"a reloader without its socket":     {"flask|--app|shop|run", false, []child{{reloaded: true}}, "root"},
		"uvicorn and its pool":              {"uvicorn|shop:app", false, []child{fork, fork}, "root"},
		"uvicorn with workers":              {"uvicorn|--workers|2|shop:app", false, []child{{argv: spawn, inherits: true}, {argv: spawn, inherits: true}, {argv: tracker}}, "0 1"},
		"uvicorn and a spawned pool":        {"uvicorn|shop:app", false, []child{{argv: spawn}, {argv: tracker}}, "root"},
		"hypercorn":                         {"hypercorn|shop:app", false, []child{{argv: spawn, inherits: true}}, "0"},
		"hypercorn whose workers are forks": {"hypercorn|-w|2|shop:app", false, []child{fork, {inherits: true, waits: true}}, "0 1"},
		"hypercorn and its pool":            {"hypercorn|shop:app", true, []child{fork, {inherits: true, waits: true}}, "root"},
		"a script that waits, and its pool": {"python3|app.py", true, []child{fork, fork}, "root"},
		"a script that forks to serve":      {"python3|app.py", false, []child{fork, fork}, "0 1"},
		"one that serves as its forks do":   {"python3|app.py", true, []child{{inherits: true, waits: true}, fork}, "0 root"},
		"gunicorn":                          {gunicorn, false, []child{beat("a"), beat("b")}, "0 1"},
		"gunicorn and a watchdog":           {gunicorn, false, []child{fork, beat("a"), beat("b")}, "1 2"},
		"one forked behind a worker":        {gunicorn, false, []child{beat("a"), beat("a")}, "0"},
		"one forked behind two":             {gunicorn, false, []child{beat("a"), beat("b"), beat("a", "b")}, "0 1"},
		"gunicorn's dirty arbiter":          {gunicorn, false, []child{{inherits: true, beats: []string{"d"}, dirty: true}, beat("a")}, "1"},
		"and with titles":                   {"gunicorn: master [shop:app]", false, []child{{argv: "gunicorn: dirty-arbiter", inherits: true}, {argv: "gunicorn: worker [shop:app]", inherits: true}}, "1"},
		"a worker with a title of its own":  {"gunicorn: master [shop:app]", false, []child{{argv: "till", inherits: true, beats: []string{"a"}}}, "0"},
		"a worker that ended":               {gunicorn, false, []child{{inherits: true, beats: []string{"a"}, state: 'Z'}, beat("b")}, "1"},
		"granian":                           {"granian|shop:app", false, []child{fork, fork}, "0 1"},
		"uWSGI":                             {"uwsgi|--module|shop:app", false, []child{{inherits: true, waits: true}, {inherits: true, waits: true}}, "0 1"},
		"uWSGI and a pool of its app's":     {"uwsgi|--module|shop:app", false, []child{fork, {inherits: true, waits: true}}, "1"},
		"uWSGI's workers still load":        {"uwsgi|--module|shop:app", false, []child{fork, fork}, "0 1"},
	} {
		if got := workersOf(t, c.argv, c.waits, c.kids...); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// A script that only holds the sockets of the servers it started is no app.
func TestParentThatKeepsASocket(t *testing.T) {
	w := host(t)
	parent, child := server(w, 8000, 33, ""), server(w, 8001, 33, "shop")
	parent.Program, parent.Argv = cmdline.Program{Server: cmdline.Script, Script: "start"}, []string{"python3", "start.py"}
	parent.FDs().Sockets[8001] = []int{6}
	delete(parent.FDs().Sockets, 8000)
	child.Stat.PPID = 8000
	w.table.Link()
	wantListed(t, w, 0, "shop=8001")

	parent.FDs().Sockets[8000] = []int{5} // it listens itself as well
	wantListed(t, w, 10, "shop=8001 start=8000")
	a := memberOf(parent)
	a.namespace, a.roots = w.netOf(parent), []*table.Process{parent}
	w.updateListeners(a, at(10))
	if len(a.listeners) != 1 || a.listeners[0].Inode != 8000 {
		t.Errorf("its listeners are %+v", a.listeners)
	}
}

// A parent of another user stays an app.
func TestStrangerDoesNotSilenceItsParent(t *testing.T) {
	w := host(t)
	parent, child := server(w, 8000, 0, ""), server(w, 8001, 65534, "shop")
	parent.Program = cmdline.Program{Server: cmdline.Script, Script: "start"}
	child.FDs().Sockets = map[uint64][]int{8000: {5}}
	child.Stat.PPID = 8000
	w.table.Link()
	discoverAt(w, 0)
	if parent.Member == nil || memberOf(parent).name != "start" {
		t.Errorf("%s", listed(w))
	}
}

// Workers whose master has ended are one app, with its name.
func TestOrphansAreOneApp(t *testing.T) {
	w := host(t)
	master := server(w, 8000, 33, "shop")
	var kids []*table.Process
	for i := range 3 {
		kid := server(w, 8001+i, 33, "shop")
		kid.FDs().Sockets = map[uint64][]int{8000: {5}}
		kid.Stat.PPID = 8000
		kids = append(kids, kid)
	}
	w.table.Link()
	wantListed(t, w, 0, "shop=8000")
	discoverAt(w, 100)
	end(w, master)
	for _, kid := range kids {
		kid.Stat.PPID = 1
	}
	w.table.Link()
	discoverAt(w, 110)
	if len(w.apps) != 1 || len(w.apps[0].roots) != 3 || w.apps[0].name != "shop" {
		t.Errorf("%s", listed(w))
	}
}

// A zombie master is no root, although its descriptors were read before, and its
// successor gets the name.
func TestZombieKeepsNoName(t *testing.T) {
	w := host(t)
	master := server(w, 8000, 33, "shop")
	discoverAt(w, 0)
	discoverAt(w, 100)
	dir := w.fs.Path(8000, "")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	stat := "8000 (gunicorn) Z 1 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 8000 0 0 0"
	if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(stat), 0o600); err != nil {
		t.Fatal(err)
	}
	next := server(w, 9000, 33, "shop")
	next.FDs().Sockets = master.FDs().Sockets // it was handed the same socket
	wantListed(t, w, 110, "shop=9000")
}
