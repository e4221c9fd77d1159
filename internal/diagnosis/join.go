package diagnosis

import (
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// skew is by how much times may differ that two sources have of one thing, in
// seconds: servers count whole ones, and are read one after another.
const skew = 3

// join sets on which connection each thread waits: that of its socket or, if the socket
// is not known, the only active one of its process that no other thread uses.
func (g *graph) join() {
	for i := range g.threads {
		g.joinSocket(i)
	}
	owned := g.owned()
	for i := range g.workers {
		g.joinRest(i, owned)
	}
	for p, list := range owned {
		g.active[p] = len(g.unused(list)) > 0
	}
}

// joinSocket joins a thread to the connection of its socket. It does nothing if the
// socket is not known, or the rows contradict each other.
func (g *graph) joinSocket(i int) {
	t := &g.threads[i]
	if !storeWait(t.Thread) || t.Socket == 0 {
		return
	}
	k := g.sockets[socket{t.Peer, t.Socket}]
	c := g.connections[k]
	if k == (key{}) || c.PID != 0 && c.PID != g.workers[t.worker].PID || asleep(c) {
		return // contradictory, or of another time
	}
	g.pair(i, k)
}

// pair joins a thread and a connection. A connection on which two threads wait stays
// joined to the first one.
func (g *graph) pair(i int, k key) {
	if _, twice := g.used[k]; !twice {
		g.uses[i], g.used[k] = k, i
	}
}

// place is a server as one worker sees it.
type place struct {
	worker int
	server string
}

// owned returns the connections of each worker to each server. Those without a known
// worker are left out.
func (g *graph) owned() map[place][]key {
	out := make(map[place][]key)
	for k, c := range g.connections {
		if w := g.ownerOf(c); w >= 0 {
			out[place{w, c.Server}] = append(out[place{w, c.Server}], k)
		}
	}
	return out
}

// joinRest joins threads of a worker whose sockets are not known: for each server, if
// exactly one such thread waits for it and one connection fits.
func (g *graph) joinRest(i int, owned map[place][]key) {
	waiting := make(map[string][]int)
	for _, j := range g.workers[i].threads {
		if t := &g.threads[j]; storeWait(t.Thread) && t.Socket == 0 {
			waiting[t.Peer] = append(waiting[t.Peer], j)
		}
	}
	for server, list := range waiting {
		if len(list) != 1 {
			continue
		}
		active := g.unused(owned[place{i, server}])
		queued := slices.DeleteFunc(slices.Clone(active), func(k key) bool { return g.waits[k] == nil })
		switch {
		case len(queued) == 1:
			g.pair(list[0], queued[0])
		case len(queued) == 0 && len(active) == 1:
			g.pair(list[0], active[0])
		}
	}
}

// unused returns those of a list of connections that no thread is known to use, without those
// of MySQL that run no statement.
func (g *graph) unused(list []key) []key {
	return slices.DeleteFunc(slices.Clone(list), func(k key) bool {
		_, taken := g.used[k]
		return taken || asleep(g.connections[k])
	})
}

// ownerOf returns the index of the worker that has a connection; -1 if none of the
// watched ones does, or it is not known.
func (g *graph) ownerOf(c *model.StoreConnection) int {
	i, ok := g.byPID[c.PID]
	if !ok || i < 0 || c.App != "" && c.App != g.workers[i].app || c.Slot != "" && c.Slot != g.workers[i].Slot {
		return -1
	}
	return i
}

// threadOf returns the index of the thread that uses a connection, or used a sleeping one of MySQL
// last; -1 if that is not known. That is the only thread with a request if it may have left it
// ([graph.mayHaveLeft]); of several the only one that may and waits on no other connection to the
// server; if none has a request, the only thread of the worker.
func (g *graph) threadOf(k key) int {
	if i, ok := g.used[k]; ok {
		return i
	}
	c := g.connections[k]
	if c == nil || !asleep(c) {
		return -1 // it is used, and not by a thread that is known
	}
	w := g.ownerOf(c)
	if w < 0 {
		return -1
	}
	var busy, free []int // with a request, and of them those that wait on no other connection
	for _, i := range g.workers[w].threads {
		if !g.threads[i].inHand() {
			continue
		}
		busy = append(busy, i)
		if other, uses := g.uses[i]; (!uses || other.server != k.server) && g.mayHaveLeft(&g.threads[i], c) {
			free = append(free, i)
		}
	}
	switch {
	case len(busy) == 0 && len(g.workers[w].threads) == 1:
		return g.workers[w].threads[0]
	case len(busy) == 1 && g.mayHaveLeft(&g.threads[busy[0]], c):
		return busy[0]
	case len(busy) > 1 && len(free) == 1:
		return free[0]
	}
	return -1
}

// mayHaveLeft reports whether a thread may be the last that used a sleeping connection: it
// has not waited for longer than that sleeps, and its request is not younger than the sleep and
// the transaction; each is taken to be so if it is not known.
func (g *graph) mayHaveLeft(t *thread, c *model.StoreConnection) bool {
	if t.Seconds > c.Seconds+skew && c.Seconds > 0 {
		return false
	}
	if t.Stack == nil || t.Stack.Started.IsZero() || g.now.IsZero() {
		return true
	}
	since := c.Seconds
	if c.Transaction != nil {
		since = max(since, *c.Transaction)
	}
	return since <= g.now.Sub(t.Stack.Started).Seconds()+skew
}
