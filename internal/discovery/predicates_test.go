package discovery

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
)

// inProc writes a file of a process below the watcher's /proc.
func inProc(t *testing.T, w *Watcher, p *table.Process, name, text string) {
	t.Helper()
	file := w.fs.Path(p.PID, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// childOf makes p a child of root that has root's listening socket.
func childOf(w *Watcher, root, p *table.Process) *table.Process {
	p.Stat.PPID = root.PID
	for ino := range root.FDs().Sockets {
		p.Descriptors.Sockets[ino] = []int{5}
	}
	w.table.Link()
	return p
}

func TestNearness(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n     int
		limit uint64
		want  float64
	}{{0, 0, 0}, {5, 0, 0}, {5, 10, 0.5}, {1, 1, 1}, {3, 2, 1.5}} {
		if got := nearness(c.n, c.limit); got != c.want {
			t.Errorf("%d of %d: %v, want %v", c.n, c.limit, got, c.want)
		}
	}
	var out App
	for _, err := range []error{nil, ErrAllowance, fmt.Errorf("x: %w", ErrAllowance), unix.ENOENT} {
		out.note(err)
	}
	if out.Cut != 2 || out.StateErr != nil {
		t.Errorf("%d cut, %v", out.Cut, out.StateErr)
	}
	if out.note(unix.EACCES); out.Cut != 2 || !errors.Is(out.StateErr, unix.EACCES) {
		t.Errorf("%d cut, %v", out.Cut, out.StateErr)
	}
}

// A child is of its parent's app if it is the same server with a socket of it, or a worker
// of gunicorn with a socket of its own.
func TestParentInApp(t *testing.T) {
	t.Parallel()
	denied := func(p *table.Process) { p.Descriptors.Err = unix.EACCES }
	script := func(name string) func(*table.Process) {
		return func(p *table.Process) { p.Program = cmdline.Program{Server: cmdline.Script, Script: name} }
	}
	for name, c := range map[string]struct {
		parent, child func(*table.Process)
		own           bool // the child has a socket of its own only
		want          bool
	}{
		"a shared socket":             {nil, nil, false, true},
		"an own socket":               {nil, func(p *table.Process) { p.Program.Server = cmdline.Uvicorn }, true, false},
		"reuse port, same words":      {nil, nil, true, true},
		"reuse port, titles":          {func(p *table.Process) { p.Program.Master, p.Argv = true, []string{"gunicorn: master"} }, func(p *table.Process) { p.Program.Worker, p.Argv = true, []string{"gunicorn: worker"} }, true, true},
		"two titles of masters":       {func(p *table.Process) { p.Program.Master, p.Argv = true, []string{"a"} }, func(p *table.Process) { p.Program.Master, p.Argv = true, []string{"b"} }, true, false},
		"a worker of a worker":        {func(p *table.Process) { p.Program.Worker, p.Argv = true, []string{"a"} }, func(p *table.Process) { p.Program.Worker, p.Argv = true, []string{"b"} }, true, false},
		"reuse port, of another user": {nil, func(p *table.Process) { p.Owner.Account = 34 }, true, false},
		"reuse port, another server":  {func(p *table.Process) { p.Program.Server = cmdline.Uvicorn }, nil, true, false},
		"a helper as the parent":      {func(p *table.Process) { p.Program.Aux = true }, nil, false, false},
		"a parent that has ended":     {func(p *table.Process) { p.Stat.State = 'Z' }, nil, false, false},
		"a server of a script":        {script("run"), nil, false, false},
		"a script of a server":        {nil, script("run"), false, true},
		"two scripts":                 {script("run"), script("other"), false, false},
		"the same script":             {script("run"), script("run"), false, true},
		"a script of the interpreter": {script("run"), script("python"), false, true},
		"a spawned process":           {script("run"), func(p *table.Process) { script("other")(p); p.Argv = []string{"python", "--multiprocessing-fork"} }, false, true},
		"its parent accepts":          {func(p *table.Process) { script("run")(p); p.Accepts = true }, script("other"), false, true},
		"unreadable, the same server": {denied, denied, true, true},
		"unreadable, the parent":      {denied, nil, true, true},
		"unreadable, another server":  {denied, func(p *table.Process) { p.Program.Server = cmdline.Uvicorn }, false, false},
	} {
		w := host(t)
		q, p := server(w, 10, 33, "shop"), server(w, 20, 33, "shop")
		if c.own {
			p.Stat.PPID = q.PID
		} else {
			childOf(w, q, p)
			delete(p.Descriptors.Sockets, 20)
		}
		for _, of := range []struct {
			p      *table.Process
			change func(*table.Process)
		}{{q, c.parent}, {p, c.child}} {
			if of.p.Argv = []string{"python", "gunicorn"}; of.change != nil {
				of.change(of.p)
			}
		}
		want := p
		if c.want {
			want = q
		}
		if got := w.topOf(p); got != want {
			t.Errorf("%s: of process %d, want %d", name, got.PID, want.PID)
		}
	}
}

func TestServesLikeRoot(t *testing.T) {
	t.Parallel()
	w := host(t)
	root, kid, other := server(w, 10, 33, "shop"), server(w, 20, 33, "shop"), server(w, 30, 33, "shop")
	childOf(w, root, kid)
	if !w.servesLikeRoot(root, kid) || w.servesLikeRoot(root, other) {
		t.Error("by sockets")
	}
	other.Descriptors.Err = unix.EACCES
	if !w.servesLikeRoot(root, other) {
		t.Error("of the same server, unreadable")
	}
	other.Program.Server = cmdline.Uvicorn
	if w.servesLikeRoot(root, other) {
		t.Error("of another server, unreadable")
	}
	root.Program.Server, other.Program.Server = cmdline.Script, cmdline.Script
	if w.servesLikeRoot(root, other) {
		t.Error("two scripts, unreadable")
	}
}

// Root's master may have workers of any user, another's of its own user only.
func TestHasOtherUser(t *testing.T) {
	t.Parallel()
	w := host(t)
	for name, c := range map[string]struct {
		master, worker uint32
		changed, want  bool
	}{"root's": {0, 33, false, false}, "root's, setuid": {0, 33, true, false}, "its own": {33, 33, false, false}, "another's": {33, 34, false, true}, "setuid": {33, 33, true, true}} {
		root, kid := server(w, 10, c.master, "shop"), server(w, 20, c.worker, "shop")
		kid.Owner.Changed = c.changed
		if got := w.hasOtherUser(root, kid); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// The new master of an upgrade has the pid of the old one in its environment, and the server
// that a reloader runs its mark; both are read once.
func TestMarksOfTheEnvironment(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env  string
		kid  func(*table.Process)
		leaf bool
		want bool
	}{
		"an upgrade":        {"A=b\x00GUNICORN_PID=10\x00", nil, false, true},
		"of another master": {"GUNICORN_PID=11", nil, false, false},
		"no upgrade":        {"A=b", nil, false, false},
		"a longer name":     {"XGUNICORN_PID=10", nil, false, false},
		"without workers":   {"GUNICORN_PID=10", nil, true, false},
		"by its title":      {"", func(p *table.Process) { p.Program.Master = true }, true, true},
		"a worker's title":  {"GUNICORN_PID=10", func(p *table.Process) { p.Program.Worker = true }, false, false},
	} {
		w := host(t)
		root, kid := server(w, 10, 33, "shop"), server(w, 20, 33, "shop")
		childOf(w, root, kid)
		if !c.leaf {
			childOf(w, kid, server(w, 30, 33, "shop"))
		}
		inProc(t, w, kid, "environ", c.env)
		if c.kid != nil {
			c.kid(kid)
		}
		if got := w.isNewMaster(root, kid); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
		inProc(t, w, kid, "environ", "GUNICORN_PID=10")
		if got := w.isNewMaster(root, kid); got != c.want {
			t.Errorf("%s, at the second time: %v", name, got)
		}
		if root.Program.Server = cmdline.Uvicorn; w.isNewMaster(root, kid) {
			t.Errorf("%s: of another server", name)
		}
	}
	for name, c := range map[string]struct {
		root, kid string
		server    cmdline.Server
		want      bool
	}{
		"Flask":        {"", "WERKZEUG_RUN_MAIN=true", cmdline.Flask, true},
		"a script":     {"", "WERKZEUG_RUN_MAIN=true", cmdline.Script, true},
		"gunicorn":     {"", "WERKZEUG_RUN_MAIN=true", cmdline.Gunicorn, false},
		"both have it": {"WERKZEUG_RUN_MAIN=true", "WERKZEUG_RUN_MAIN=true", cmdline.Flask, false},
		"neither":      {"", "", cmdline.Flask, false},
		"it is false":  {"", "WERKZEUG_RUN_MAIN=false", cmdline.Flask, false},
	} {
		w := host(t)
		root, kid := server(w, 10, 33, "shop"), server(w, 20, 33, "shop")
		root.Program.Server, kid.Program.Server = c.server, c.server
		inProc(t, w, root, "environ", c.root)
		inProc(t, w, kid, "environ", c.kid)
		if w.isReloadedServer(root, kid) {
			t.Errorf("%s: without its socket", name)
		}
		childOf(w, root, kid)
		kid.Descriptors.Held = table.HeldListeners{} // they are kept
		if got := w.isReloadedServer(root, kid); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Dropping an app frees its members, and only its own.
func TestRemoveAndAdopt(t *testing.T) {
	t.Parallel()
	w := host(t)
	a, b := &app{name: "a"}, &app{name: "b"}
	w.apps = []*app{a, b}
	p, q, r := &table.Process{PID: 1}, &table.Process{PID: 2}, &table.Process{PID: 3}
	a.adopt([]*table.Process{p, q})
	b.adopt([]*table.Process{r})
	if p.Member != a || q.Member != a || r.Member != b {
		t.Errorf("members of %v, %v, %v", p.Member, q.Member, r.Member)
	}
	q.Member = b // it went over
	if w.remove(a); len(w.apps) != 1 || w.byName("a") != nil || w.byName("b") != b || !w.namesChanged || p.Member != nil || q.Member != b || r.Member != b {
		t.Errorf("%d apps, changed %v, members of %v, %v, %v", len(w.apps), w.namesChanged, p.Member, q.Member, r.Member)
	}
	a.last = &table.Process{PID: 7, Start: 8}
	for _, c := range []struct {
		pid   int
		start uint64
		want  bool
	}{{7, 8, true}, {7, 9, false}, {6, 8, false}} {
		if got := a.hadRoot(&table.Process{PID: c.pid, Start: c.start}); got != c.want {
			t.Errorf("%d of %d: %v", c.pid, c.start, got)
		}
	}
	if a.last = nil; a.hadRoot(p) {
		t.Error("an app without a last root had one")
	}
}

// A root continues an app that differs only by where it listened, unless a name is reserved
// for the root.
func TestResumeElsewhere(t *testing.T) {
	t.Parallel()
	id := appname.ID{Base: "shop", Owner: 33, Bind: ":8000"}
	moved, other := id, id
	moved.Bind, other.Base = ":9000", "till"
	for name, c := range map[string]struct {
		reserved appname.ID
		was      appname.ID
		want     bool
	}{
		"moved":                      {other, id, true},
		"another app":                {other, other, false},
		"a name is reserved":         {moved, id, false},
		"reserved for another place": {id, id, true},
	} {
		w := host(t)
		p := server(w, 10, 33, "shop")
		a := &app{name: "shop", id: c.was, owner: 33, matchIndex: -1}
		w.apps = []*app{a}
		w.reserved.Reserve("old", appname.Reservation{ID: c.reserved, Owner: 33, Since: at(1)})
		if got := w.resumeElsewhere(p, moved); got != c.want || got != (len(a.roots) == 1) || got && (a.id != moved || !w.namesChanged) {
			t.Errorf("%s: %v, %d roots, %+v", name, got, len(a.roots), a.id)
		}
	}
}

// Candidates are listed once a generation of the table, the oldest first.
func TestCandidates(t *testing.T) {
	t.Parallel()
	w := host(t)
	for _, pid := range []int{30, 10, 20} {
		server(w, pid, 33, "shop")
	}
	w.table.Processes[40] = &table.Process{PID: 40, Start: 1}
	pids := func() (out []int) {
		for _, p := range w.candidates() {
			out = append(out, p.PID)
		}
		return out
	}
	if got := pids(); !slices.Equal(got, []int{10, 20, 30}) {
		t.Errorf("%v", got)
	}
	w.table.Processes[5] = &table.Process{PID: 5, Start: 5, Program: cmdline.Program{Server: cmdline.Gunicorn}}
	if got := pids(); !slices.Equal(got, []int{10, 20, 30}) {
		t.Errorf("of the same generation: %v", got)
	}
	w.table.Generation++
	if got := pids(); !slices.Equal(got, []int{5, 10, 20, 30}) {
		t.Errorf("of the next generation: %v", got)
	}
}
