package uwsgi_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/discovery/uwsgi"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// Inodes of sockets.
const (
	app     = 100 // where the workers listen
	second  = 101 // as with --map-socket
	clients = 102 // where a gateway listens
	stats   = 103
	pipe    = 104 // by which the master signals
	farm    = 105 // of mules
)

// process is a process as /proc shows it: the sockets that it holds, and those that its epoll set
// has.
type process struct {
	holds, polls []uint64
	library      []uint64 // what an epoll set has that a library made before the fork
	change       func(*table.Process)
}

// host is a /proc.
type host struct {
	t    testing.TB
	root string
}

// add returns a process with its files in /proc. The epoll set is descriptor 4, a socket has its
// inode as its number.
func (h host) add(pid int, p process) *table.Process {
	h.t.Helper()
	d := &table.Descriptors{Known: true, Sockets: make(map[uint64][]int), Heartbeat: -1}
	for _, inode := range p.holds {
		d.Sockets[inode] = []int{int(inode)} //nolint:gosec // small
	}
	if p.polls != nil {
		d.Polls = []int{4}
		h.epoll(pid, "4", p.polls)
	}
	if p.library != nil {
		d.Polls = append(d.Polls, 3)
		h.epoll(pid, "3", p.library)
	}
	out := &table.Process{PID: pid, Descriptors: d}
	if p.change != nil {
		p.change(out)
	}
	return out
}

// epoll writes the descriptors of an epoll set.
func (h host) epoll(pid int, set string, fds []uint64) {
	h.t.Helper()
	text := "pos:\t0\nflags:\t02\n"
	for _, fd := range fds {
		text += fmt.Sprintf("tfd: %8d events:       19 data: %16x  pos:0 ino:1 sdev:8\n", fd, fd)
	}
	dir := filepath.Join(h.root, fmt.Sprint(pid), "fdinfo")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, set), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// workers returns the names of the processes that are workers; the children are named by their
// order.
func (h host) workers(root *table.Process, kids []*table.Process, age time.Duration) string {
	h.t.Helper()
	var held []sockdiag.Listener
	for _, inode := range []uint64{app, second, clients, stats} {
		if root.Holds(sockdiag.Listener{Inode: inode}) {
			held = append(held, sockdiag.Listener{Inode: inode})
		}
	}
	var out []string
	for _, p := range uwsgi.Workers(procfs.New(h.root), root, kids, held, func(*table.Process) time.Duration { return age }) {
		name := "root"
		if i := slices.Index(kids, p); i >= 0 {
			name = fmt.Sprint(i)
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

func TestWorkers(t *testing.T) {
	t.Parallel()
	type sockets = []uint64
	none := sockets{}
	master := process{holds: sockets{app, clients, pipe, farm}, polls: sockets{pipe}}
	withStats := process{holds: sockets{app, clients, pipe, farm, stats}, polls: sockets{pipe, stats}}
	worker := process{holds: sockets{app, pipe}, polls: sockets{app, pipe}}
	respawned := process{holds: sockets{app, pipe, stats}, polls: sockets{app, pipe}}
	gateway := process{holds: sockets{clients, pipe, 900}, polls: sockets{clients, 900}}
	mule := process{holds: sockets{farm, pipe, stats}, polls: sockets{farm}}
	serving := process{holds: sockets{app, clients}, polls: sockets{app}}
	fork := process{holds: sockets{app, clients, 901}, polls: sockets{app}}
	router := process{holds: sockets{clients}, polls: sockets{clients}}
	unread := func(p *table.Process) { p.Descriptors.Err = unix.EACCES }
	for name, c := range map[string]struct {
		root process
		kids []process
		age  time.Duration
		want string
	}{
		"a master":                             {master, []process{worker, worker}, 0, "0 1"},
		"a master with statistics":             {withStats, []process{worker, respawned}, 0, "0 1"},
		"all respawned":                        {withStats, []process{respawned, respawned}, 0, "0 1"},
		"behind a gateway":                     {master, []process{worker, worker, gateway}, 0, "0 1"},
		"behind two gateways":                  {withStats, []process{gateway, worker, gateway}, 0, "1"},
		"mules":                                {withStats, []process{worker, mule, mule}, 0, "0"},
		"a mule that holds nothing":            {master, []process{worker, {holds: none, polls: none}}, 0, "0"},
		"a worker that starts":                 {master, []process{worker, {holds: sockets{app, pipe}}}, 0, "0 1"},
		"with an epoll set of the app":         {master, []process{worker, {holds: sockets{app, pipe}, polls: none}}, time.Hour, "0 1"},
		"a spooler":                            {master, []process{worker, {holds: sockets{app, pipe}}}, time.Hour, "0"},
		"a worker by its title":                {master, []process{worker, {change: func(p *table.Process) { p.Program.Worker = true }}}, time.Hour, "0 1"},
		"a gateway's shape, a worker's title":  {master, []process{worker, {holds: gateway.holds, polls: gateway.polls, change: func(p *table.Process) { p.Program.Worker = true }}}, 0, "0 1"},
		"each worker its own socket":           {process{holds: sockets{app, second, pipe}, polls: none}, []process{worker, {holds: sockets{second, pipe}, polls: sockets{second, pipe}}}, 0, "0 1"},
		"no master":                            {serving, []process{fork, fork}, 0, "0 1 root"},
		"no master, an epoll set of the app":   {process{holds: sockets{app, pipe}, polls: sockets{app}, library: sockets{pipe}}, []process{{holds: sockets{app, pipe}, polls: sockets{app}, library: sockets{pipe}}}, 0, "0 root"},
		"no master, behind a gateway":          {serving, []process{router, fork}, 0, "1 root"},
		"alone behind a gateway":               {serving, []process{router}, 0, ""},
		"a master by its title":                {process{holds: serving.holds, polls: serving.polls, change: func(p *table.Process) { p.Program.Master = true }}, []process{fork}, 0, "0"},
		"a master, the workers start":          {withStats, []process{{holds: sockets{app, pipe}}, {holds: sockets{app, pipe}}}, 0, "0 1"},
		"no master, the others start":          {serving, []process{{holds: fork.holds}}, 0, "0"},
		"not readable":                         {process{change: unread}, []process{{change: unread}, {change: unread}}, time.Hour, "0 1"},
		"one not readable":                     {master, []process{worker, {change: unread}}, time.Hour, "0 1"},
		"sockets of the first one left out":    {process{holds: sockets{app, clients}, polls: none, change: func(p *table.Process) { p.Descriptors.Full = true }}, []process{worker, gateway}, 0, "0 1"},
		"sockets of a worker left out":         {master, []process{worker, {holds: sockets{app}, polls: sockets{app}, change: func(p *table.Process) { p.Descriptors.Full = true }}}, 0, "0 1"},
		"descriptors of a child not all read":  {master, []process{worker, {holds: none, polls: none, change: func(p *table.Process) { p.Descriptors.Skipped = 1 }}}, 0, "0 1"},
		"descriptors of the first one unknown": {process{}, []process{worker, gateway}, 0, "0 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := host{t, t.TempDir()}
			root := h.add(10, c.root)
			var kids []*table.Process
			for i, k := range c.kids {
				kids = append(kids, h.add(20+i, k))
			}
			if got := h.workers(root, kids, c.age); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// What a worker under a master watches is kept; a process that was read while it filled its epoll
// set, and the first one, are read again.
func TestWorkersAgain(t *testing.T) {
	t.Parallel()
	h := host{t, t.TempDir()}
	root := h.add(10, process{holds: []uint64{app, pipe}, polls: []uint64{pipe}})
	a := h.add(20, process{holds: []uint64{app, pipe}, polls: []uint64{app, pipe}})
	b := h.add(21, process{holds: []uint64{app, pipe}, polls: []uint64{app}})
	kids := []*table.Process{a, b}
	if got := h.workers(root, kids, 0); got != "0" || !b.Router {
		t.Errorf("%q, gateway %t", got, b.Router)
	}
	h.epoll(21, "4", []uint64{app, pipe})
	h.epoll(20, "4", nil)
	if got := h.workers(root, kids, 0); got != "0 1" || b.Router {
		t.Errorf("%q, gateway %t", got, b.Router)
	}
	kids = kids[:0]
	for i := range 2 { // the master lets others serve while it has no workers, as with --cheap
		kids = append(kids, h.add(30+i, process{holds: []uint64{app}, polls: []uint64{app}}))
	}
	h.epoll(10, "4", []uint64{app})
	if got := h.workers(root, kids, 0); got != "0 1 root" {
		t.Errorf("%q", got)
	}
	h.epoll(10, "4", nil)
	if got := h.workers(root, kids, 0); got != "0 1" {
		t.Errorf("%q", got)
	}
}

// BenchmarkWorkers is a scan of an instance with 16 workers and a gateway.
func BenchmarkWorkers(b *testing.B) {
	dir := b.TempDir()
	h := host{b, dir}
	root := h.add(10, process{holds: []uint64{app, clients, pipe}, polls: []uint64{pipe}})
	kids := []*table.Process{h.add(20, process{holds: []uint64{clients}, polls: []uint64{clients}})}
	for i := range 16 {
		kids = append(kids, h.add(30+i, process{holds: []uint64{app, pipe}, polls: []uint64{app, pipe}}))
	}
	r, held := procfs.New(dir), []sockdiag.Listener{{Inode: app}, {Inode: clients}}
	b.ReportAllocs()
	for b.Loop() {
		if n := len(uwsgi.Workers(r, root, kids, held, func(*table.Process) time.Duration { return 0 })); n != 16 {
			b.Fatal(n)
		}
	}
}
