package collectors

import (
	"cmp"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// poolStates are the values of the label state, in the order of [poolCounts].
var poolStates = [...]string{"in_use", "idle", "in_transaction", "leaked"} //nolint:gochecknoglobals // a table that nothing changes

// The indexes in poolStates.
const (
	poolInUse = iota
	poolIdle
	poolInTransaction
	poolLeaked
)

// poolCounts is the number of connections by the index in poolStates.
type poolCounts [len(poolStates)]int

// poolServer is what is kept of one server between reads.
type poolServer struct {
	lastRead time.Time
	seen     map[uint64]*seenConnection // by connection id
	leaks    map[leakKey]bool           // leaked now, and logged
}

// seenConnection is when a connection was first seen. The same id with another client
// is another connection: the server has been restarted.
type seenConnection struct {
	host  string
	after time.Time // the last read without it: it is younger than that
	first time.Time
	last  time.Time
}

// leakKey identifies a leak, also if a restarted server reuses a connection id.
type leakKey struct {
	connection  uint64
	transaction string
}

// poolRead is one read of one server.
type poolRead struct {
	MySQLTarget

	*activity

	view    *sampledConnections
	details lockDetails
	inside  insidePools
	owners  []model.Owner // of the threads
	sockets []uint64      // inodes of the clients' ends of the threads; 0: not known
}

// pool is one pool of an app on one server.
type pool struct {
	app, name string
	config    *config.Pool // nil: found, not configured
	leakAfter time.Duration
	counts    poolCounts
	workers   map[string]*poolCounts // by slot; "" for connections that are no worker's
	leaks     []leak
}

// leak is one connection that is leaked.
type leak struct {
	model.Owner

	connection  uint64
	asleep      time.Duration
	transaction *mysql.Transaction
}

// server adds the pools of one server. If the server has clients that are newer than the
// sample of connections, it asks for a new sample.
func (c *Pool) server(s *Sample, p *poolServer, l poolRead) {
	pools := c.poolsOf(l)
	open := make(map[uint64]*mysql.Transaction, len(l.transactions))
	for i := range l.transactions {
		if t := &l.transactions[i]; t.Thread != 0 {
			open[t.Thread] = t
		}
	}
	clients, named := clientsOf(l.threads)
	l.owners, l.sockets = make([]model.Owner, len(l.threads)), make([]uint64, len(l.threads))
	fresh := false
	for i := range l.threads {
		t := &l.threads[i]
		if t.Own || t.Command == "Daemon" {
			continue
		}
		at := p.markSeen(t, l.began)
		var who model.Owner
		if place := l.find(clients[i], at, named); place >= 0 {
			who, l.sockets[i] = l.view.owner(place), l.view.list[place].Inode
		} else if clients[i].port != 0 && l.view.taken.Before(at.first) {
			fresh = true
		}
		if in := pools.poolFor(t, who); in != nil {
			in.add(t, open[t.ID], who)
			who.App = cmp.Or(who.App, in.app)
		}
		l.owners[i] = who
	}
	p.prune(l.began)
	if fresh {
		c.o.Connections.SampleConnections()
	}
	pools.publish(s, l)
	c.logLeaks(p, l, pools)
	l.addLockWaits(s, l.owners)
	l.addQueries(s, l.owners)
	c.addStore(s, p, l)
}

// markSeen records that a connection was seen in the read at now, and returns what is kept
// of it: a new entry for one that was not seen before, or has another client now.
func (p *poolServer) markSeen(t *mysql.Thread, now time.Time) *seenConnection {
	seen := p.seen[t.ID]
	if seen == nil || seen.host != t.Host {
		seen = &seenConnection{host: t.Host, after: p.lastRead, first: now}
		p.seen[t.ID] = seen
	}
	seen.last = now
	return seen
}

// prune removes the connections that were not seen in the read at now.
func (p *poolServer) prune(now time.Time) {
	for id, at := range p.seen {
		if !at.last.Equal(now) {
			delete(p.seen, id)
		}
	}
	p.lastRead = now
}

// find returns the index of a thread's connection in the sample; −1 if it is not known.
// It is not, if the connection is newer than the sample, in which another one may have
// had its port.
func (l *poolRead) find(from client, at *seenConnection, named map[uint16]int) int {
	if l.view.taken.Before(at.after) {
		return -1
	}
	i := l.view.find(from, "mysql:"+l.Name, named)
	if i >= 0 {
		l.view.list[i].component = "mysql:" + l.Name
	}
	return i
}

// add counts one connection of the pool, by its state and its worker.
func (p *pool) add(t *mysql.Thread, open *mysql.Transaction, who model.Owner) {
	state := poolState(t, open, p.leakAfter)
	p.counts[state]++
	if p.workers[who.Slot] == nil {
		p.workers[who.Slot] = &poolCounts{}
	}
	p.workers[who.Slot][state]++
	if state == poolLeaked {
		p.leaks = append(p.leaks, leak{Owner: who, connection: t.ID, asleep: t.Time, transaction: open})
	}
}

// poolState returns the state of a connection, as an index in poolStates; open is its
// transaction, nil if it has none. Times asleep are whole seconds, so it is leaked only
// above leakAfter.
//
// Transactions are read after the threads: a connection that is asleep for longer than its
// transaction has been open began that in between, and is in use.
func poolState(t *mysql.Thread, open *mysql.Transaction, leakAfter time.Duration) int {
	switch {
	case t.Command != "Sleep", open != nil && t.Time > open.Age+time.Second:
		return poolInUse
	case open == nil:
		return poolIdle
	case t.Time > leakAfter:
		return poolLeaked
	default:
		return poolInTransaction
	}
}
