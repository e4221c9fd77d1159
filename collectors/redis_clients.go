package collectors

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

const (
	// slowPing is the round-trip time from which a ping has waited for something.
	slowPing = 50 * time.Millisecond
	// redisListShare is the divisor of the part of the time that a server may spend on
	// lists of its connections: one that took t is followed by a pause of 100 t.
	redisListShare = 100
	// redisListPause is the longest pause: a server that is slow for another reason is
	// asked again.
	redisListPause = 5 * time.Second
	// redisRefusedPause is how long a refused command is not sent again: the server logs
	// each refusal (ACL LOG).
	redisRefusedPause = 5 * time.Minute
	// redisWaitAfter is how long a worker must wait for a server to have its connections
	// listed.
	redisWaitAfter = time.Second
	// redisWaitMemory is how long its connections are listed after that: a server that
	// answers again has a slow command to name.
	redisWaitMemory = 10 * time.Second
)

// redisClients is what is kept of one server between reads.
type redisClients struct {
	mu     sync.Mutex
	wanted time.Time // until then a worker waits, or has just waited
	next   time.Time // no list before
	list   refusal
	slow   refusal
	last   []redis.Activity // of the last list
	lastAt time.Time
	script time.Time // since when it has been busy with a script; zero: it is not
	silent time.Time // since when it has not answered; zero: it has

	answered redisAnswered
}

// refusal is a command that the server does not let the exporter's user run.
type refusal struct {
	err   error
	until time.Time
}

// redisLook is what one read found of the connections.
type redisLook struct {
	list  []redis.Activity
	at    time.Time // of the list
	waits []model.StoreWait
	lacks []error
	taken *redisTaken // nil: it answers, or that is not known
}

// look sets l.clients: the connections of a server for which a worker waits, and the
// waits in it. During a script the server lists no clients, so it returns the last list;
// who keeps it busy is read from the kernel, see [redisClients.takenRequest].
//
// If no worker waits, it sends no query: the server may refuse it and log that.
func (c *redisClients) look(ctx context.Context, l *redisRead, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	server := "redis:" + l.Name
	if l.workersWait {
		c.wanted = now.Add(redisWaitMemory)
	}
	var e *redis.Error
	switch errors.As(l.failure, &e); {
	case e != nil && e.Script:
		if c.script.IsZero() {
			if c.script = c.silent; c.script.IsZero() {
				c.script = now
			}
		}
		l.clients = redisLook{list: c.last, at: c.lastAt, waits: []model.StoreWait{{Server: server, Kind: "script", Seconds: now.Sub(c.script).Seconds()}}}
		c.takenRequest(ctx, l, e)
		return
	case !l.server.Up:
		if c.silent.IsZero() && e != nil && e.Reason == reason.Timeout {
			c.silent = now.Add(-redisTimeout)
		}
		c.takenRequest(ctx, l, e)
		return
	}
	c.remember(l)
	waited := l.took
	if !c.silent.IsZero() {
		waited = now.Sub(c.silent)
	}
	c.silent, c.script = time.Time{}, time.Time{}
	if now.After(c.wanted) || l.info.Clients == nil || *l.info.Clients > redis.MaxListed || l.info.Mode == "cluster" {
		return
	}
	c.inspect(ctx, l, now, waited)
}

// inspect reads the connections, if that takes little of the server's time, and the slow
// commands, if the exporter's ping has waited for long. waited is how long that took.
func (c *redisClients) inspect(ctx context.Context, l *redisRead, now time.Time, waited time.Duration) {
	clients := !now.Before(c.next) && c.list.permits(l, now)
	slow := waited >= slowPing && l.info.Time != nil && c.slow.permits(l, now)
	if !clients && !slow {
		return
	}
	began := time.Now()
	in, err := l.Server.Inspect(ctx, clients, slow)
	if clients {
		c.next = now.Add(min(redisListShare*time.Since(began), redisListPause))
	}
	if err != nil {
		return
	}
	c.list.take(l, in.ClientsErr, now, "the connections that wait in it cannot be listed")
	c.slow.take(l, in.SlowErr, now, "the command that keeps others waiting cannot be named")
	if clients && in.ClientsErr == nil {
		c.last, c.lastAt = in.Clients, now
		l.addBlocked(in.Clients, now)
	}
	if slow {
		l.addSlowCommand(in.Slow, waited)
	}
}

// addBlocked sets the list of connections, and adds a wait for each connection in a
// blocking command.
func (l *redisRead) addBlocked(list []redis.Activity, now time.Time) {
	l.clients.list, l.clients.at = list, now
	for i := range list {
		if a := &list[i]; a.Blocked {
			l.clients.waits = append(l.clients.waits, model.StoreWait{Server: "redis:" + l.Name, Waiter: a.ID, Kind: "blocked", Seconds: a.Idle.Seconds()})
		}
	}
}

// addSlowCommand adds a wait for the slowest command that ended while the exporter's ping
// waited, if there is one. The log has whole seconds of the server's clock.
func (l *redisRead) addSlowCommand(list []redis.SlowCommand, waited time.Duration) {
	from := time.UnixMicro(int64(*l.info.Time)).Add(-waited - time.Second)
	var worst *redis.SlowCommand
	for i := range list {
		if x := &list[i]; x.Took >= slowPing && !x.Ended.Before(from) && (worst == nil || x.Took > worst.Took) {
			worst = x
		}
	}
	if worst != nil {
		l.clients.waits = append(l.clients.waits, model.StoreWait{
			Server: "redis:" + l.Name, Blocker: l.clients.idOf(worst.Client), Kind: "slow_command", Over: true, Object: worst.Command, Seconds: worst.Took.Seconds(),
		})
	}
}

// permits reports whether a command may be sent; while it is known to be refused it may
// not, and that is added to the lacks.
func (r *refusal) permits(l *redisRead, now time.Time) bool {
	if now.Before(r.until) {
		l.clients.lacks = append(l.clients.lacks, r.err)
		return false
	}
	return true
}

// take adds to the lacks that a command was refused, and keeps that for a while, so that
// permits returns false. It does nothing for other errors. what is what is missing then.
func (r *refusal) take(l *redisRead, err error, now time.Time, what string) {
	var e *redis.Error
	if !errors.As(err, &e) || e.Reason != reason.Permission && e.Reason != reason.Unsupported {
		return
	}
	detail := what + ": it " + e.Detail
	*r = refusal{&Unavailable{Reason: e.Reason, Detail: "redis " + l.Name + ": " + detail, Short: detail, Remedy: e.Remedy, Of: "redis:" + l.Name, Optional: true}, now.Add(redisRefusedPause)}
	l.clients.lacks = append(l.clients.lacks, r.err)
}

// idOf returns the id of the only connection from an address with its port; 0 if there is
// none or several, or the text is no such address, as over a UNIX socket.
func (l *redisLook) idOf(client string) uint64 {
	at, err := netip.ParseAddrPort(client)
	if err != nil {
		return 0
	}
	id := uint64(0)
	for i := range l.list {
		if a := &l.list[i]; a.Addr == netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port()) {
			if id != 0 {
				return 0
			}
			id = a.ID
		}
	}
	return id
}

// clientsOf returns what is kept of each target, in their order, and forgets other
// servers.
func (c *Redis) clientsOf(targets []RedisTarget) []*redisClients {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]*redisClients, len(targets))
	now := make(map[string]*redisClients, len(targets))
	for i, t := range targets {
		if out[i] = c.watches[t.Name]; out[i] == nil {
			out[i] = &redisClients{}
		}
		now[t.Name] = out[i]
	}
	c.watches = now
	return out
}

// snapshot returns the apps with their workers; nil if no server is configured, there is no
// source of apps, or the apps cannot be read, which other collectors report.
func (c *Redis) snapshot(ctx context.Context, servers int) *discovery.Snapshot {
	if c.o.Apps == nil || servers == 0 {
		return nil
	}
	snap, err := c.o.Apps.Snapshot(ctx)
	if err != nil {
		return nil
	}
	return snap
}

// workersWaitFor reports whether a worker has waited in one call for at least a second for
// the Redis of that name, or for a Redis that is not known; false for a nil snapshot.
func workersWaitFor(snap *discovery.Snapshot, name string) bool {
	if snap == nil {
		return false
	}
	for i := range snap.Apps {
		for j := range snap.Apps[i].Workers {
			w := snap.Apps[i].Workers[j].Wait
			if w != nil && w.On == conns.OnRedis && w.Call >= redisWaitAfter && (w.Peer == "redis:"+name || !strings.HasPrefix(w.Peer, "redis:")) {
				return true
			}
		}
	}
	return false
}

// addClients adds to the state the waits inside the servers, and the connections of the
// apps and of all that wait or block, within the limits.
func (c *Redis) addClients(s *Sample, reads []redisRead, snap *discovery.Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var view *sampledConnections
	fresh := false
	for i := range reads {
		l := &reads[i]
		if snap != nil && c.o.Connections != nil && (len(l.clients.list) > 0 || l.clients.taken != nil) {
			if view == nil {
				view = newSampledConnections(snap, c.o.Connections.Connections())
			}
			if l.clients.taken != nil {
				fresh = l.addTaken(s, view) || fresh
			}
			fresh = l.addConnections(s, view) || fresh
		}
		slices.SortStableFunc(l.clients.waits, func(x, y model.StoreWait) int { return -cmp.Compare(x.Seconds, y.Seconds) })
		n := min(len(l.clients.waits), maxStoreWaits)
		c.dropped += len(l.clients.waits) - n
		s.State.StoreWaits = append(s.State.StoreWaits, l.clients.waits[:n]...)
	}
	if fresh {
		c.o.Connections.SampleConnections()
	}
	if len(reads) > 0 {
		s.add(seriesDropped, float64(c.dropped), "redis_store_wait")
	}
}

// addConnections adds to the state the connections of one server that an app has, that
// are blocked or that block others, without one that lists the clients right now, as the
// exporter does, and without l.clients.taken, which addTaken adds. fresh: one of all
// clients is newer than the sample of connections.
func (l *redisRead) addConnections(s *Sample, view *sampledConnections) (fresh bool) {
	blocks := make(map[uint64]bool)
	for i := range l.clients.waits {
		blocks[l.clients.waits[i].Blocker] = true
	}
	words := wordList{}
	for i := range l.clients.list {
		a := &l.clients.list[i]
		if a.Command == "client|list" && a.Idle == 0 {
			continue // the exporter's own
		}
		if t := l.clients.taken; t != nil && a.Addr == t.Remote {
			continue // it is there, and may have got the port of the one in the list
		}
		x := l.storeConnection(a, words)
		fresh = join(&x, a, l.clients.at, view) || fresh
		if x.App != "" || a.Blocked || blocks[a.ID] {
			s.State.StoreConnections = append(s.State.StoreConnections, x)
		}
	}
	return fresh
}

// join sets the owner and the socket of a connection that was listed at a time, if they
// are known. fresh: it is newer than the sample, in which another connection may have had
// its port; nothing is set then.
func join(x *model.StoreConnection, a *redis.Activity, at time.Time, view *sampledConnections) (fresh bool) {
	if !a.Addr.IsValid() {
		return false
	}
	if view.taken.Before(at.Add(-a.Age)) {
		return true
	}
	if place := view.find(client{addr: a.Addr.Addr(), port: a.Addr.Port()}, x.Server, nil); place >= 0 {
		x.Owner, x.Socket = view.owner(place), view.list[place].Inode
	}
	return false
}

// storeConnection returns a listed connection as the state has it, without its owner and
// without the name that the client has given itself. Its host is "localhost" if it has no
// address, as over a UNIX socket.
func (l *redisRead) storeConnection(a *redis.Activity, words wordList) model.StoreConnection {
	x := model.StoreConnection{
		Connection: model.Connection{ID: a.ID, User: words.clean(a.User), Host: "localhost"},
		Server:     "redis:" + l.Name, Command: a.Command, Seconds: a.Idle.Seconds(),
	}
	if a.Addr.IsValid() {
		x.Host = a.Addr.Addr().String()
	}
	switch {
	case a.Blocked:
		x.State = "blocked"
	case a.Multi:
		x.State = "in MULTI"
	}
	return x
}
