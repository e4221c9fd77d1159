package discovery

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// A script that keeps sockets for servers that it started is no app, also while none of them
// runs.
func TestKeepsSocketsOnly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(q, kid *table.Process)
		root   bool
		want   bool
	}{
		"a server has it":        {func(_, _ *table.Process) {}, true, true},
		"no root":                {func(_, _ *table.Process) {}, false, false},
		"of another user":        {func(_, kid *table.Process) { kid.Owner.Account = 34 }, true, false},
		"setuid":                 {func(_, kid *table.Process) { kid.Owner.Changed = true }, true, false},
		"a known server":         {func(q, _ *table.Process) { q.Program.Server = cmdline.Gunicorn }, true, false},
		"it accepts":             {func(q, _ *table.Process) { q.Accepts = true }, true, false},
		"its sockets are hidden": {func(q, _ *table.Process) { q.Descriptors.Err = unix.EACCES }, true, false},
		"without its socket":     {func(_, kid *table.Process) { delete(kid.Descriptors.Sockets, 10) }, true, false},
	} {
		w := host(t)
		q, kid := server(w, 10, 33, "keeper"), server(w, 20, 33, "shop")
		q.Program = cmdline.Program{Server: cmdline.Script, Script: "keeper"}
		childOf(w, q, kid)
		c.change(q, kid)
		if got := w.keepsSocketsOnly(q, map[*table.Process]bool{kid: c.root}); got != c.want || q.HandedOn[10] != c.want {
			t.Errorf("%s: %v, handed on %v", name, got, q.HandedOn)
		}
		end(w, kid)
		if got := w.keepsSocketsOnly(q, nil); got != c.want {
			t.Errorf("%s, after its end: %v", name, got)
		}
	}
}

// Of several listeners the app is named after one that a child has too.
func TestBindOf(t *testing.T) {
	t.Parallel()
	w := host(t)
	p := server(w, 10, 33, "shop")
	if got := w.bindOf(p); got != ":10" {
		t.Errorf("alone: %q", got)
	}
	n := w.netOf(p)
	n.Listeners[9] = sockdiag.Listener{Network: sockdiag.TCP, Addr: netipPort(9), Inode: 9}
	p.Descriptors.Sockets[9] = []int{6}
	p.Descriptors.Held = table.HeldListeners{}
	if got := w.bindOf(p); got != ":10" && got != ":9" {
		t.Errorf("two: %q", got)
	}
	kid := server(w, 20, 33, "shop")
	kid.Stat.PPID, kid.FirstSeen = 10, time.Unix(1, 0)
	kid.Descriptors.Sockets[10] = []int{5}
	w.table.Link()
	p.Descriptors.Held = table.HeldListeners{}
	if got := w.bindOf(p); got != ":10" {
		t.Errorf("with a child: %q", got)
	}
	delete(kid.Descriptors.Sockets, 10)
	kid.Descriptors.Sockets[9] = []int{5}
	if got := w.bindOf(p); got != ":9" {
		t.Errorf("with a child that has the other: %q", got)
	}
}
