package diagnosis

import (
	"cmp"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// graph is the rows of a state, joined.
type graph struct {
	now     time.Time
	state   *model.State
	workers []worker
	threads []thread
	byApp   map[string][]int // workers of an app
	byPID   map[int]int      // worker of a process; -1: two of them claim it

	connections map[key]*model.StoreConnection
	sockets     map[socket]key // of connections; id 0: two of them claim it
	waits       map[key]*model.StoreWait
	everybody   map[string]*model.StoreWait // by server: what holds up all its clients
	suspects    map[string]*model.LockSuspect

	uses map[int]key // the connection on which a thread waits
	used map[key]int // the reverse
	// active is whether a worker has a connection to a server that is in use, and not
	// by a thread that is known.
	active map[place]bool

	steps map[node]*step // memory of next; nil: it waits for nothing
	apps  map[string]bool
}

// socket is the client's end of a connection to one server.
type socket struct {
	server string
	inode  uint64
}

// newGraph returns a graph of who waits for whom in a state, with its threads and
// connections joined. now may be zero, see Chains.
func newGraph(s *model.State, now time.Time) *graph {
	g := &graph{
		now: now, state: s,
		byApp: make(map[string][]int), byPID: make(map[int]int),
		connections: make(map[key]*model.StoreConnection), sockets: make(map[socket]key),
		waits: make(map[key]*model.StoreWait), everybody: make(map[string]*model.StoreWait),
		suspects: make(map[string]*model.LockSuspect),
		uses:     make(map[int]key), used: make(map[key]int), active: make(map[place]bool),
		steps: make(map[node]*step), apps: make(map[string]bool),
	}
	g.addWorkers()
	g.addConnections()
	g.addWaits()
	g.addLockWaits()
	g.join()
	return g
}

// addWorkers adds all workers with their threads. A pid that two workers have belongs to
// none.
func (g *graph) addWorkers() {
	for i := range g.state.Workers {
		a := &g.state.Workers[i]
		for j := range a.Workers {
			n := len(g.workers)
			w := worker{Worker: &a.Workers[j], app: a.App}
			g.addThreads(&w, n)
			g.workers = append(g.workers, w)
			g.byApp[a.App] = append(g.byApp[a.App], n)
			if _, twice := g.byPID[w.PID]; twice || w.PID == 0 {
				g.byPID[w.PID] = -1
			} else {
				g.byPID[w.PID] = n
			}
		}
	}
}

// addThreads adds the threads of the n-th worker. It skips the tasks of event loops: it
// is not known what these wait for.
func (g *graph) addThreads(w *worker, n int) {
	for k := range w.Threads {
		t := &w.Threads[k]
		if t.Task {
			continue
		}
		if !t.Helper {
			w.threads = append(w.threads, len(g.threads))
		}
		if t.GIL {
			w.holders = append(w.holders, len(g.threads))
		}
		g.threads = append(g.threads, thread{t, w.app, n})
	}
}

// addConnections adds the connections that the stores list. One that is listed for two
// owners gets none, and a socket that two connections have belongs to neither.
func (g *graph) addConnections() {
	for i := range g.state.StoreConnections {
		c := &g.state.StoreConnections[i]
		k := keyOf(c)
		if k == (key{}) {
			continue
		}
		if known := g.connections[k]; known != nil {
			if known.Owner != c.Owner || known.Socket != c.Socket {
				x := *known
				x.Owner, x.Socket = model.Owner{}, 0
				g.connections[k] = &x
				g.sockets[socket{c.Server, c.Socket}], g.sockets[socket{c.Server, known.Socket}] = key{}, key{}
			}
			continue
		}
		g.connections[k] = c
		if c.Socket == 0 {
			continue
		}
		s := socket{c.Server, c.Socket}
		if _, twice := g.sockets[s]; twice {
			k = key{}
		}
		g.sockets[s] = k
	}
}

// addWaits adds the waits inside the stores that have lasted long enough, and who is
// suspected of holding a table's lock. It skips rows in which a connection waits for
// itself, or waits and sleeps.
func (g *graph) addWaits() {
	waiters := make(map[key]bool, len(g.state.StoreWaits))
	for i := range g.state.StoreWaits {
		waiters[key{server: g.state.StoreWaits[i].Server, id: g.state.StoreWaits[i].Waiter}] = true
	}
	for i := range g.state.StoreWaits {
		if w := &g.state.StoreWaits[i]; w.Seconds >= minWait {
			g.addWait(w, waiters)
		}
	}
	for i := range g.state.LockSuspects {
		x := &g.state.LockSuspects[i]
		if server := "mysql:" + x.Server; g.suspects[server] == nil && x.ID != 0 {
			g.suspects[server] = x
			g.addSuspect(server, x)
		}
	}
}

// addWait adds a wait if it says more than the one that is kept: one is kept for each
// waiter, and one for each server all of whose clients wait.
func (g *graph) addWait(w *model.StoreWait, waiters map[key]bool) {
	if w.Waiter == 0 {
		if old := g.everybody[w.Server]; old == nil || saysMore(w, old, waiters) {
			g.everybody[w.Server] = w
		}
		return
	}
	k := key{server: w.Server, id: w.Waiter}
	if c := g.connections[k]; w.Waiter == w.Blocker || c != nil && asleep(c) {
		return
	}
	if old := g.waits[k]; old == nil || saysMore(w, old, waiters) {
		g.waits[k] = w
	}
}

// addSuspect adds the connection of a suspected lock holder, unless the graph has it.
func (g *graph) addSuspect(server string, x *model.LockSuspect) {
	k := key{server: server, id: x.ID}
	if g.connections[k] != nil {
		return
	}
	c := &model.StoreConnection{Connection: x.Connection, Server: server, Seconds: x.Seconds}
	if x.Did == "slept" {
		c.Command = "Sleep"
	} else {
		c.Transaction = &x.Seconds
	}
	g.connections[k] = c
}

// saysMore reports whether w says more than another wait of the same waiter: first, by a named
// blocker that does not wait itself, then by a named blocker, then by having lasted longer; of
// two that are equal in this, one is chosen by their numbers and names. False also for the same.
func saysMore(w, old *model.StoreWait, waiters map[key]bool) bool {
	rank := func(x *model.StoreWait) int {
		switch {
		case blockerOf(x) == (key{}):
			return 2
		case waiters[blockerOf(x)]:
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(w), rank(old)), cmp.Compare(old.Seconds, w.Seconds), cmp.Compare(w.Blocker, old.Blocker), cmp.Compare(w.Served, old.Served),
		strings.Compare(w.Kind, old.Kind), strings.Compare(w.Object, old.Object)) < 0
}

// addLockWaits adds the lock waits of MySQL servers whose waiters have no other wait,
// with their connections.
func (g *graph) addLockWaits() {
	for i := range g.state.LockWaits {
		w := &g.state.LockWaits[i]
		server := "mysql:" + w.Server
		k := key{server: server, id: w.Waiter.ID}
		if w.Waiter.ID == 0 || w.Waiter.ID == w.Blocker.ID || !(w.Seconds >= minWait) || g.waits[k] != nil {
			continue
		}
		x := model.StoreWait{Server: server, Waiter: w.Waiter.ID, Blocker: w.Blocker.ID, Seconds: w.Seconds}
		if x.Blocker == 0 {
			x.Kind = "table"
		}
		if c := g.connections[k]; c != nil && asleep(c) {
			continue
		}
		g.waits[k] = &x
		g.addLockParty(server, &w.Waiter, "Query")
		g.addLockParty(server, &w.Blocker, map[string]string{"sleeping": "Sleep", "running": "Query"}[w.State])
	}
}

// addLockParty adds a connection of a lock wait, unless the graph has it or it has no id.
func (g *graph) addLockParty(server string, c *model.Connection, command string) {
	if k := (key{server: server, id: c.ID}); c.ID != 0 && g.connections[k] == nil {
		g.connections[k] = &model.StoreConnection{Connection: *c, Server: server, Command: command}
	}
}
