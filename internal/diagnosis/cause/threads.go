package cause

import (
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// blame is what one thread, or a part of the lost time, is held up by.
type blame struct {
	cause model.Cause // "": nothing that is known, or it waits by design
	peer  string
	chain *model.Chain
	own   bool // of the cause cpu: the requests themselves compute
}

// thought is what holds up one thread. designed: it waits for data by design, e.g. in a
// blocking command of Redis, which is no loss.
type thought struct {
	blame

	designed bool
}

// ofThread returns what holds up a thread that has a request: by its pool or its chain,
// else by what it waits for. The cause is "" if nothing that is known does.
func (l *look) ofThread(t threadAt) thought {
	if t.On == "lock" && t.Stack != nil && t.Stack.Pool {
		return thought{blame: l.ofPool(t)}
	}
	if c := l.chainOf(t); c != nil {
		return l.ofChain(c, t)
	}
	switch t.On {
	case "mysql":
		return thought{blame: l.ofMySQL(t.Peer, t.Socket)}
	case "redis":
		if l.waitsByDesign(t) {
			return thought{designed: true}
		}
		return thought{blame: blame{cause: model.CauseRedis, peer: t.Peer}}
	case "upstream":
		return thought{blame: blame{cause: model.CauseUpstream, peer: t.Peer}}
	}
	return thought{blame: blame{cause: plainCause(t.On)}}
}

// plainCause returns the cause of a kind of wait (Thread.On) if nothing else is known; ""
// for kinds that are no cause.
func plainCause(on string) model.Cause {
	switch on {
	case "cpu_queue":
		return model.CauseCPU
	case "throttled":
		return model.CauseCPUThrottled
	case "gc":
		return model.CauseGC
	case "gil":
		return model.CauseGIL
	case "disk":
		return model.CauseDisk
	case "client":
		return model.CauseSlowClients
	case "mysql":
		return model.CauseDBSlow
	case "redis":
		return model.CauseRedis
	case "upstream":
		return model.CauseUpstream
	case "lock":
		return model.CauseLock
	}
	return ""
}

// chainOf returns the chain of which a thread is a victim; nil if it is of none, and for a
// task.
func (l *look) chainOf(t threadAt) *model.Chain {
	if t.Task {
		return nil
	}
	for i := range l.state.Chains {
		c := &l.state.Chains[i]
		if slices.ContainsFunc(c.Victims, func(v model.Link) bool { return v.PID == t.worker.PID && v.TID == t.TID && v.App == l.workers.App }) {
			return c
		}
	}
	return nil
}

// ofChain returns what holds up a thread that is a victim of a chain: the cause and the peer of
// the last wait before the root; in MySQL db_lock if it is for a lock or a connection or worker is
// the root. designed: it waits in Redis by design. Of a chain without links it is the thread's own
// wait; of a deadlock db_lock or upstream if all its waits are in MySQL or for apps, else lock.
func (l *look) ofChain(c *model.Chain, t threadAt) thought {
	if len(c.Links) == 0 {
		return thought{blame: blame{cause: plainCause(t.On), peer: t.Peer}}
	}
	b := blame{chain: c, peer: c.Peer}
	if c.Deadlock {
		b.cause = model.CauseLock
		if all(c, "mysql") {
			b.cause = model.CauseDBLock
		} else if all(c, "upstream") {
			b.cause = model.CauseUpstream
		}
		return thought{blame: b}
	}
	last := len(c.Links) - 1
	root, on, kind := &c.Links[last], c.On, c.Kind
	if last > 0 {
		before := &c.Links[last-1]
		on, b.peer, kind = before.On, before.Peer, ""
		if on == "" {
			on = c.On
		}
		if isStore(root.Server) {
			b.peer = root.Server
		}
	}
	switch {
	case kind == "blocked":
		return thought{designed: true}
	case kind == "full":
		return thought{blame: l.ofFull(b.peer, c)}
	case on == "mysql" && root.Connection == 0 && root.Slot == "" && !isLock(kind):
		server := l.ofMySQL(b.peer, 0)
		server.chain = c
		return thought{blame: server}
	case on == "mysql":
		b.cause = model.CauseDBLock
	default:
		b.cause = plainCause(on)
	}
	return thought{blame: b}
}

// all reports whether all parties of a circle wait for one kind of thing. One whose wait is
// not known counts as such.
func all(c *model.Chain, on string) bool {
	return c.On == on && !slices.ContainsFunc(c.Links, func(l model.Link) bool { return l.On != on && l.On != "" })
}

// isLock reports whether a kind of wait inside MySQL is one for a lock.
func isLock(kind string) bool {
	return kind == "row" || kind == "metadata" || kind == "table" || kind == "global"
}

// ofMySQL returns the cause of a wait for a MySQL server: that it is down, that it is full
// if socket is 0 (the wait is on no known connection), that the connection of the socket
// waits for a lock, else, also for an unknown server, that it is slow.
func (l *look) ofMySQL(peer string, socket uint64) blame {
	b := blame{cause: model.CauseDBSlow, peer: peer}
	for i := range l.state.MySQL {
		m := &l.state.MySQL[i]
		if "mysql:"+m.Name != peer {
			continue
		}
		switch {
		case m.Full && socket == 0:
			return l.ofFull(peer, nil)
		case !m.Up && !m.Full:
			b.cause = model.CauseDBDown
			return b
		}
	}
	if socket == 0 {
		return b
	}
	for i := range l.state.StoreConnections {
		c := &l.state.StoreConnections[i]
		if c.Socket == socket && c.Server == peer && l.waitsForLock(c) {
			b.cause = model.CauseDBLock
			return b
		}
	}
	return b
}

// waitsForLock reports whether a connection waits for a lock inside its server.
func (l *look) waitsForLock(c *model.StoreConnection) bool {
	return slices.ContainsFunc(l.state.StoreWaits, func(w model.StoreWait) bool {
		return w.Server == c.Server && w.Waiter == c.ID && isLock(w.Kind)
	})
}

// ofFull returns the cause of a wait for a MySQL server that has no connection left: pool if
// one app, by its own sockets or by the server's list, has more than half of max_connections
// (if that is not known: any own socket, or more than half of the list); db_down else, also if
// the connections are not known. c is the chain of the wait, or nil.
func (l *look) ofFull(peer string, c *model.Chain) blame {
	b := blame{cause: model.CauseDBDown, peer: peer, chain: c}
	for i := range l.state.MySQL {
		m := &l.state.MySQL[i]
		if "mysql:"+m.Name != peer {
			continue
		}
		if most := l.mostOf(peer); most > 0 && 2*most > valueOf(m.MaxConnections) {
			b.cause = model.CausePool
		}
		if len(m.Holders) == 0 {
			continue
		}
		sum := 0.0
		for _, h := range m.Holders {
			sum += h.Connections
		}
		h := &m.Holders[0]
		if most := max(sum, valueOf(m.MaxConnections)); h.App != "" && 2*h.Connections > most {
			b.cause = model.CausePool
		}
	}
	return b
}

// mostOf returns how many connections to a server one app has: the app that has most. 0:
// no app has any.
func (l *look) mostOf(server string) (most float64) {
	counts := make(map[string]float64)
	for i := range l.state.StoreConnections {
		if c := &l.state.StoreConnections[i]; c.Server == server && c.App != "" {
			counts[c.App]++
			most = max(most, counts[c.App])
		}
	}
	return most
}

// ofPool returns the cause of a thread's wait for a connection of its process's pool, by
// what its MySQL connections do: db_lock if those that wait for a lock are no fewer than
// those that execute and than those asleep, else db_slow if more execute than are asleep,
// else, or with no known connection, pool.
func (l *look) ofPool(t threadAt) blame {
	var slow, locked, asleep int
	peer := ""
	for i := range l.state.StoreConnections {
		c := &l.state.StoreConnections[i]
		if c.PID != t.worker.PID || c.App != l.workers.App || !strings.HasPrefix(c.Server, "mysql:") {
			continue
		}
		peer = c.Server
		switch {
		case l.waitsForLock(c):
			locked++
		case c.Command == "Sleep":
			asleep++
		default:
			slow++
		}
	}
	switch {
	case locked > 0 && locked >= slow && locked >= asleep:
		return blame{cause: model.CauseDBLock, peer: peer, chain: l.chainAt(peer, model.CauseDBLock)}
	case slow > asleep:
		return blame{cause: model.CauseDBSlow, peer: peer, chain: l.chainAt(peer, model.CauseDBSlow)}
	}
	return blame{cause: model.CausePool, peer: peer}
}

// chainAt returns the first chain of which the app is a victim, that begins with a wait for the
// server or has its root there, and shows the cause; nil if there is none. Deadlocks are left
// out.
func (l *look) chainAt(server string, cause model.Cause) *model.Chain {
	for i := range l.state.Chains {
		c := &l.state.Chains[i]
		n := len(c.Links)
		if n == 0 || c.Deadlock || c.Peer != server && c.Links[n-1].Server != server || !shows(c, cause) {
			continue
		}
		if slices.ContainsFunc(c.Victims, func(v model.Link) bool { return v.App == l.workers.App }) {
			return c
		}
	}
	return nil
}

// shows reports whether a chain that ends at a store shows a cause, so that its sentence
// and its advice are those of the cause: db_lock if its kind is a lock, db_down if it is
// down or full, pool if it is full, db_slow if none of them, redis always. false for any
// other cause.
func shows(c *model.Chain, cause model.Cause) bool {
	switch cause { //nolint:exhaustive // the others are not those of a store
	case model.CauseDBLock:
		return isLock(c.Kind)
	case model.CauseDBDown:
		return c.Kind == "down" || c.Kind == "full"
	case model.CausePool:
		return c.Kind == "full"
	case model.CauseDBSlow:
		return !isLock(c.Kind) && c.Kind != "down" && c.Kind != "full"
	case model.CauseRedis:
		return true
	}
	return false
}
