package diagnosis

import (
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// skew is by how much times may differ that two sources have of one thing, in
// seconds: servers count whole ones, and are read one after another.
const skew = 3

// join finds the connection on which each thread waits: by the socket, and where
// there is none, by the process, if one thread and one connection of it remain.
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

// joinSocket joins a thread to the connection of its socket, if the rows agree.
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

// pair joins a thread and a connection. A connection on which two threads wait is
// joined to the first one only.
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

// owned returns the connections of each worker to each server.
func (g *graph) owned() map[place][]key {
	out := make(map[place][]key)
	for k, c := range g.connections {
		if w := g.ownerOf(c); w >= 0 {
			out[place{w, c.Server}] = append(out[place{w, c.Server}], k)
		}
	}
	return out
}

// joinRest joins the thread of a worker without a known socket to a connection, for
// each server for which exactly one such thread waits.
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

// unused returns the connections of a list that do something, and on which no thread
// that is known waits.
func (g *graph) unused(list []key) []key {
	return slices.DeleteFunc(slices.Clone(list), func(k key) bool {
		_, taken := g.used[k]
		return taken || asleep(g.connections[k])
	})
}

// ownerOf returns the worker that has a connection; -1: none of ours, or not known.
func (g *graph) ownerOf(c *model.StoreConnection) int {
	i, ok := g.byPID[c.PID]
	if !ok || i < 0 || c.App != "" && c.App != g.workers[i].app || c.Slot != "" && c.Slot != g.workers[i].Slot {
		return -1
	}
	return i
}

// threadOf returns the thread that uses a connection, or that has left it in a
// transaction; -1: that is not known. A thread cannot have left it which has waited
// for longer than the connection sleeps, or whose request is younger. Of several with a
// request, it is none that waits on another connection to the server.
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

// mayHaveLeft reports whether a thread may have used a connection last.
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
