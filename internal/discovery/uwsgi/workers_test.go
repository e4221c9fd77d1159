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
	events       int      // for how many it waits in epoll_wait; 0: it does something else
	change       func(*table.Process)
}

// host is a /proc.
type host struct {
	t   testing.TB
	tab *table.Table
}

// newHost returns a /proc without processes.
func newHost(t testing.TB) host {
	t.Helper()
	tab := table.New(procfs.New(t.TempDir()))
	tab.Boot = time.Unix(1000, 0)
	return host{t, tab}
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
	h.waits(pid, p.events)
	return out
}

// file writes a file of a process.
func (h host) file(pid int, name, text string) {
	h.t.Helper()
	path := h.tab.FS.Path(pid, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// waits writes for how many events a process waits; 0: it reads.
func (h host) waits(pid, events int) {
	h.t.Helper()
	nr := procfs.SysEpollWait
	if events == 0 {
		nr++
	}
	h.file(pid, "syscall", fmt.Sprintf("%d 0x4 0x1 %#x 0x0 0x0 0x0 0x1 0x1\n", nr, events))
}

// epoll writes the descriptors of an epoll set.
func (h host) epoll(pid int, set string, fds []uint64) {
	h.t.Helper()
	text := "pos:\t0\nflags:\t02\n"
	for _, fd := range fds {
		text += fmt.Sprintf("tfd: %8d events:       19 data: %16x  pos:0 ino:1 sdev:8\n", fd, fd)
	}
	h.file(pid, "fdinfo/"+set, text)
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
	for _, p := range uwsgi.Workers(h.tab, root, kids, held, h.tab.Boot.Add(age)) {
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
	master := process{holds: sockets{app, clients, pipe, farm}, polls: sockets{pipe}, events: 1}
	withStats := process{holds: sockets{app, clients, pipe, farm, stats}, polls: sockets{pipe, stats}, events: 1}
	worker := process{holds: sockets{app, pipe}, polls: sockets{app, pipe}, events: 1}
	busy := process{holds: worker.holds, polls: worker.polls}
	respawned := process{holds: sockets{app, pipe, stats}, polls: sockets{app, pipe}, events: 1}
	green := process{holds: worker.holds, polls: worker.polls, events: 64} // gevent, --ugreen
	other := process{holds: worker.holds, polls: sockets{app}, events: 3}  // asyncio: not the pipe
	starting := process{holds: sockets{app, pipe}}
	gateway := process{holds: sockets{clients, pipe, 900}, polls: sockets{clients, 900}, events: 64}
	subscribed := process{holds: gateway.holds, polls: sockets{clients, pipe}, events: 64} // with a subscription server
	mule := process{holds: sockets{farm, pipe, stats}, polls: sockets{farm}, events: 1}
	serving := process{holds: sockets{app, clients}, polls: sockets{app}, events: 1}
	fork := process{holds: sockets{app, clients, 901}, polls: sockets{app}, events: 1}
	router := process{holds: sockets{clients}, polls: sockets{clients}, events: 64}
	with := func(p process, change func(*table.Process)) process { p.change = change; return p }
	unread := func(p *table.Process) { p.Descriptors.Err = unix.EACCES }
	titled := func(p *table.Process) { p.Program.Worker = true }
	full := func(p *table.Process) { p.Descriptors.Full = true }
	long := make(sockets, 2000)
	for i := range long {
		long[i] = 2000 + uint64(i)
	}
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
		"behind a busy gateway":                {master, []process{busy, {holds: gateway.holds, polls: gateway.polls}}, 0, "0"},
		"behind one with a subscription":       {master, []process{subscribed, worker, worker}, 0, "1 2"},
		"behind it, all busy":                  {master, []process{subscribed, busy, busy}, 0, "0 1 2"}, // it was never seen otherwise
		"green threads behind a gateway":       {master, []process{green, gateway, green}, 0, "0 2"},
		"asyncio":                              {withStats, []process{other, other}, time.Hour, "0 1"},
		"asyncio behind a gateway":             {withStats, []process{other, gateway, other}, time.Hour, "0 2"},
		"asyncio alone, statistics":            {withStats, []process{other}, time.Hour, "0"},
		"mules":                                {withStats, []process{worker, mule, mule}, 0, "0"},
		"a mule that holds nothing":            {master, []process{worker, {holds: none, polls: none}}, 0, "0"},
		"a worker that starts":                 {master, []process{worker, starting}, 0, "0 1"},
		"a worker that starts, the gateway":    {master, []process{starting, gateway}, time.Hour, "0"},
		"a mapped socket, it starts":           {process{holds: sockets{app, second, pipe}, polls: sockets{pipe}}, []process{worker, {holds: sockets{second, pipe}}}, 0, "0 1"},
		"with an epoll set of the app":         {master, []process{worker, {holds: sockets{app, pipe}, polls: none}}, time.Hour, "0 1"},
		"a spooler":                            {master, []process{worker, starting}, time.Hour, "0"},
		"a worker by its title":                {master, []process{worker, with(process{}, titled)}, time.Hour, "0 1"},
		"a gateway's shape, a worker's title":  {master, []process{worker, with(gateway, titled)}, 0, "0 1"},
		"each worker its own socket":           {process{holds: sockets{app, second, pipe}, polls: none}, []process{worker, {holds: sockets{second, pipe}, polls: sockets{second, pipe}}}, 0, "0 1"},
		"no master":                            {serving, []process{fork, fork}, 0, "0 1 root"},
		"no master, a set of the app":          {process{holds: sockets{app, pipe}, polls: sockets{app}, library: sockets{pipe}}, []process{{holds: sockets{app, pipe}, polls: sockets{app}, library: sockets{pipe}}}, 0, "0 root"},
		"no master, a socket of the app":       {process{holds: sockets{app, pipe}, polls: sockets{app}}, []process{{holds: sockets{app, pipe}, polls: sockets{app, pipe}}, fork}, 0, "0 1 root"},
		"no master, behind a gateway":          {serving, []process{router, fork}, 0, "1 root"},
		"no master, it holds the app's socket": {serving, []process{{holds: sockets{app, clients}, polls: sockets{clients}}, fork}, 0, "1 root"},
		"alone behind a gateway":               {serving, []process{router}, 0, ""},
		"a master by its title":                {with(serving, func(p *table.Process) { p.Program.Master = true }), []process{fork}, 0, "0"},
		"a master, the workers start":          {withStats, []process{starting, starting}, 0, "0 1"},
		"no master, the others start":          {serving, []process{{holds: fork.holds}}, 0, "0"},
		"not readable":                         {with(process{}, unread), []process{with(process{}, unread), with(process{}, unread)}, time.Hour, "0 1"},
		"one not readable":                     {master, []process{worker, with(process{}, unread)}, time.Hour, "0 1"},
		"sockets of the first one left out":    {with(process{holds: sockets{app, clients}, polls: none}, full), []process{worker, gateway}, 0, "0 1"},
		"sockets of a worker left out":         {master, []process{worker, with(process{holds: sockets{app}, polls: sockets{app}}, full)}, 0, "0 1"},
		"descriptors of a child not all read":  {master, []process{worker, with(process{holds: none, polls: none}, func(p *table.Process) { p.Descriptors.Skipped = 1 })}, 0, "0 1"},
		"a set that is too large":              {master, []process{worker, {holds: gateway.holds, polls: long}}, time.Hour, "0 1"},
		"descriptors of the first one unknown": {process{}, []process{worker, gateway}, 0, "0 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
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

// What a worker under a master watches is kept, and what is known of a process whose set grows
// too large. A process that was read while it filled its epoll set, and the first one, are read
// again. A gateway stays one while it works and while the workers start.
func TestWorkersAgain(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	root := h.add(10, process{holds: []uint64{app, clients, pipe}, polls: []uint64{pipe}})
	a := h.add(20, process{holds: []uint64{app, pipe}, polls: []uint64{app, pipe}})
	b := h.add(21, process{holds: []uint64{app, pipe}, polls: []uint64{app}})
	g := h.add(22, process{holds: []uint64{clients}, polls: []uint64{clients}, events: 64})
	kids := []*table.Process{a, b, g}
	check := func(what, want string) {
		t.Helper()
		if got := h.workers(root, kids, 0); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	check("at first", "0 1")
	h.epoll(20, "4", nil)
	h.waits(22, 0)
	check("later", "0 1")
	kids = []*table.Process{h.add(30, process{holds: []uint64{app, pipe}}), h.add(31, process{holds: []uint64{app, pipe}}), g}
	check("the workers are new", "0 1")
	long := []uint64{clients}
	for i := range uint64(2000) {
		long = append(long, 3000+i)
	}
	h.epoll(22, "4", long)
	check("the gateway has many clients", "0 1")
	kids = kids[:0]
	for i := range 2 { // the first process watches too while it has no workers, as with --cheap
		kids = append(kids, h.add(40+i, process{holds: []uint64{app}, polls: []uint64{app}}))
	}
	h.epoll(10, "4", []uint64{app})
	check("no workers", "0 1 root")
	h.epoll(10, "4", nil)
	check("workers", "0 1")
}

// BenchmarkWorkers is a scan of an instance with 16 workers and a gateway.
func BenchmarkWorkers(b *testing.B) {
	h := newHost(b)
	root := h.add(10, process{holds: []uint64{app, clients, pipe}, polls: []uint64{pipe}})
	kids := []*table.Process{h.add(20, process{holds: []uint64{clients}, polls: []uint64{clients}})}
	for i := range 16 {
		kids = append(kids, h.add(30+i, process{holds: []uint64{app, pipe}, polls: []uint64{app, pipe}}))
	}
	held := []sockdiag.Listener{{Inode: app}, {Inode: clients}}
	b.ReportAllocs()
	for b.Loop() {
		h.tab.Budget.Begin(false)
		if n := len(uwsgi.Workers(h.tab, root, kids, held, h.tab.Boot)); n != 16 {
			b.Fatal(n)
		}
	}
}
