package diagnosis

import (
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// afterThread returns what thread i waits for; nil if for nothing, not for long enough, for
// something else than a store, an upstream or a lock, or if it is not known.
func (g *graph) afterThread(i int) *step {
	t := &g.threads[i]
	if !(t.Seconds >= minWait) {
		return nil
	}
	switch t.On {
	case "mysql", "redis":
		return g.afterStore(i)
	case "upstream":
		app, ok := strings.CutPrefix(t.Peer, "app:")
		switch {
		case t.Peer == "", ok && app == "":
			return nil
		case ok:
			return &step{to: node{sort: ofApp, name: app}, on: t.On, peer: t.Peer, kind: kindUpstream}
		}
		return &step{to: node{sort: ofPlace, name: t.Peer}, on: t.On, peer: t.Peer, kind: kindUpstream}
	case "gil":
		return g.afterGIL(i)
	case "lock":
		return g.afterLock(i)
	}
	return nil
}

// afterStore returns what thread i waits for, which waits for a store: the holder in the
// store, the store itself, or nil if the store is not known.
func (g *graph) afterStore(i int) *step {
	t := &g.threads[i]
	if t.Peer == "" {
		return nil
	}
	k, joined := g.uses[i]
	if joined {
		if w := g.waits[k]; w != nil {
			return g.afterWait(w)
		}
	}
	server := g.mysqlServer(t.Peer)
	w := g.everybody[t.Peer]
	full := server != nil && server.Full || w != nil && w.Kind == kindFull
	s := &step{to: node{sort: ofPlace, name: t.Peer}, on: t.On, peer: t.Peer}
	switch {
	case full && !joined && !g.active[place{t.worker, t.Peer}]:
		s.kind, s.to = kindFull, g.holderOf(t.Peer)
	case w != nil && joined && !w.Over && blockerOf(w) == k:
		s.kind = w.Kind // its own command holds up the others
	case w != nil && w.Kind != kindFull && (!joined || blockerOf(w) != k) && explains(w, t):
		return g.afterWait(w)
	case !full && g.isDown(t.Peer):
		s.kind = kindDown
	case joined && t.On == "redis" && waitsForData(g.connections[k].Command):
		s.kind = kindBlocking
	}
	s.to.kind = s.kind
	return s
}

// explains reports whether a wait of all clients of a server explains that of a thread:
// it lasts, or it is over and took at least as long as the thread has waited.
func explains(w *model.StoreWait, t *thread) bool { return !w.Over || t.Seconds <= w.Seconds+skew }

// holderOf returns the node of who has most connections of a full server; that of the
// server if the holders are not known.
func (g *graph) holderOf(server string) node {
	if m := g.mysqlServer(server); m != nil && len(m.Holders) > 0 {
		return node{sort: ofHolder, name: server, kind: kindFull}
	}
	return node{sort: ofPlace, name: server, kind: kindFull}
}

// afterWait returns the holder of what a connection waits for inside a store; the
// connection that is suspected of it, or the server, if the store does not name the
// holder.
func (g *graph) afterWait(w *model.StoreWait) *step {
	on, _, _ := strings.Cut(w.Server, ":")
	s := &step{on: on, peer: w.Server, kind: w.Kind, object: w.Object, held: true}
	switch suspect := g.suspects[w.Server]; {
	case w.Kind == kindFull:
		s.to = g.holderOf(w.Server)
	case w.Kind == kindBlocking:
		s.to, s.held = node{sort: ofPlace, name: w.Server, kind: w.Kind}, false
	case blockerOf(w) != (key{}):
		s.connection, s.probable = blockerOf(w), w.Likely
		s.to = g.nodeOf(s.connection)
	case suspect != nil && suspect.ID != w.Waiter:
		s.connection, s.probable = key{server: w.Server, id: suspect.ID}, true
		s.to = node{sort: ofConnection, name: w.Server, id: suspect.ID, kind: likely}
	default:
		s.to = node{sort: ofPlace, name: w.Server, kind: w.Kind, object: w.Object}
	}
	return s
}

// nodeOf returns the node of the thread that uses a connection, or that of the connection
// if no such thread is known.
func (g *graph) nodeOf(k key) node {
	if i := g.threadOf(k); i >= 0 {
		return node{sort: ofThread, index: i}
	}
	return node{sort: ofConnection, name: k.server, id: k.id, served: k.served}
}

// mysqlServer returns the server with a name such as "mysql:main"; nil if it was not
// read.
func (g *graph) mysqlServer(server string) *model.MySQLServer {
	for i := range g.state.MySQL {
		if s := &g.state.MySQL[i]; "mysql:"+s.Name == server {
			return s
		}
	}
	return nil
}

// isDown reports whether a server was read and did not answer; false if it was not read.
func (g *graph) isDown(server string) bool {
	if m := g.mysqlServer(server); m != nil {
		return !m.Up
	}
	for i := range g.state.Redis {
		if s := &g.state.Redis[i]; "redis:"+s.Name == server {
			return !s.Up
		}
	}
	return false
}

// waitsForData reports whether a command of Redis may wait by design: for what another client
// writes or publishes, or for replicas; xread and xreadgroup with or without BLOCK.
func waitsForData(command string) bool {
	switch strings.ToLower(command) {
	case "blpop", "brpop", "brpoplpush", "blmove", "blmpop", "bzpopmin", "bzpopmax", "bzmpop", "xread", "xreadgroup",
		"subscribe", "psubscribe", "ssubscribe", "wait", "waitaof", "monitor":
		return true
	}
	return false
}

// afterGIL returns the thread of the same process that holds the interpreter's lock, or the
// process if none or several were seen to hold it; nil if thread i holds the lock itself.
func (g *graph) afterGIL(i int) *step {
	t := &g.threads[i]
	if t.GIL {
		return nil
	}
	s := &step{to: node{sort: ofProcess, index: t.worker, kind: kindGIL}, on: t.On, kind: kindGIL, held: true}
	if holders := g.workers[t.worker].holders; len(holders) == 1 {
		s.to = node{sort: ofThread, index: holders[0]}
	}
	return s
}
