package collectors

import (
	"context"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// processReader returns a function that calls [conns.ReadServer] with the directory where
// /proc is mounted.
func processReader(procRoot string) func(context.Context, int, string) (conns.ServerProcess, error) {
	return func(ctx context.Context, pid int, at string) (conns.ServerProcess, error) {
		return conns.ReadServer(ctx, procRoot, pid, at)
	}
}

// redisAnswered is what a server said of itself in the last read that it answered.
type redisAnswered struct {
	began time.Time // of that read; zero: there was none
	pid   int       // that it gave as its own, 0: none
	peer  string    // address of the connection, "" where it is not known
}

// redisTaken is the request that a server works on while it answers no other client.
type redisTaken struct {
	sockdiag.Served

	at time.Time // when that was read
}

// came returns when the request arrived at the server.
func (t *redisTaken) came() time.Time { return t.at.Add(-t.Received) }

// remember stores the process and the address of a server that has answered, to read it
// from the kernel when it does not.
func (c *redisClients) remember(l *redisRead) {
	c.answered = redisAnswered{began: l.began, pid: l.info.PID}
	if l.info.Mode == "standalone" {
		c.answered.peer = l.Server.Peer()
	}
}

// takenRequest sets l.clients.taken: the request that a server on this host works on, if
// a worker waits for it and e shows that it does not answer. It must be at work: a server
// that is stopped, or waits for a disk, has no client to blame. Unknown for a server with
// clients over a UNIX socket, of which the kernel has no times.
func (c *redisClients) takenRequest(ctx context.Context, l *redisRead, e *redis.Error) {
	a := c.answered
	if l.process == nil || !l.workersWait || a.began.IsZero() || a.pid == 0 || a.peer == "" || e == nil || !e.Script && e.Reason != reason.Timeout {
		return
	}
	p, err := l.process(ctx, a.pid, a.peer)
	if err != nil || p.Unix > 0 || !e.Script && !p.Works {
		return
	}
	now := time.Now()
	if s, ok := conns.TakenRequest(p.Served, now.Sub(a.began), e.Script); ok {
		l.clients.taken = &redisTaken{s, now}
	}
}

// addTaken adds to the state the connection whose request a server works on, and makes it
// the likely blocker: in the wait for a script if there is one, else in a wait of its
// own. fresh: the sample of connections is older than the request, so that another
// connection may have had its port; nothing is added then.
func (l *redisRead) addTaken(s *Sample, view *sampledConnections) (fresh bool) {
	t := l.clients.taken
	if view.taken.Before(t.came()) {
		l.clients.taken = nil
		return true
	}
	server := "redis:" + l.Name
	x := model.StoreConnection{Server: server, Served: t.Inode, Seconds: t.Received.Seconds()}
	x.Host = t.Remote.String()
	if place := view.find(client{addr: t.Remote.Addr(), port: t.Remote.Port()}, server, nil); place >= 0 {
		x.Owner, x.Socket = view.owner(place), view.list[place].Inode
	}
	s.State.StoreConnections = append(s.State.StoreConnections, x)
	for i := range l.clients.waits {
		if w := &l.clients.waits[i]; w.Kind == "script" {
			w.Served, w.Likely = t.Inode, true
			return false
		}
	}
	l.clients.waits = append(l.clients.waits, model.StoreWait{Server: server, Served: t.Inode, Likely: true, Kind: "slow_command", Seconds: x.Seconds})
	return false
}
