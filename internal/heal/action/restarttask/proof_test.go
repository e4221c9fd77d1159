package restarttask_test

import (
	"net/netip"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/restarttask"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// A process is the worker of an entry if both ends of one of its connections are in the
// server's list, in the same database, and not with the name of another worker.
func TestDisconnected(t *testing.T) {
	t.Parallel()
	tcp := func(local, remote string) sockdiag.Connection {
		return sockdiag.Connection{Local: ap(local), Remote: ap(remote)}
	}
	client := func(addr, to, name string, db int) redis.Client {
		c := redis.Client{Addr: ap(addr), Name: name, DB: db}
		if to != "" {
			c.To = ap(to)
		}
		return c
	}
	near := func(list ...sockdiag.Connection) conns.ProcessConnections {
		return conns.ProcessConnections{List: list, OurNet: true}
	}
	const here, there = "127.0.0.1:6379", "192.0.2.9:6379"
	listed := func(peer string, clients ...redis.Client) redis.ServerState {
		return redis.ServerState{Peer: ap(peer), Clients: clients}
	}
	hidden := redis.ServerState{Peer: ap(here), Hidden: "not allowed"}
	for name, c := range map[string]struct {
		held conns.ProcessConnections
		at   redis.ServerState
		name string // of the entry
		want action.Code
	}{
		"both ends":                     {near(tcp("127.0.0.1:5000", here)), listed(here, client("127.0.0.1:5000", here, "w", 0)), "w", ""},
		"no name any more":              {near(tcp("127.0.0.1:5000", here)), listed(here, client("127.0.0.1:5000", here, "", 0)), "w", ""},
		"one of several names":          {near(tcp("127.0.0.1:5000", here), tcp("127.0.0.1:5001", here)), listed(here, client("127.0.0.1:5000", here, "x", 0), client("127.0.0.1:5001", here, "w", 0)), "w", ""},
		"of Celery":                     {near(tcp("127.0.0.1:5000", here)), listed(here, client("127.0.0.1:5000", here, "anything", 0)), "", ""},
		"by another own address":        {near(tcp("127.0.0.1:5000", "127.0.0.2:6379")), listed(here, client("127.0.0.1:5000", "127.0.0.2:6379", "w", 0)), "w", ""},
		"from a container":              {conns.ProcessConnections{List: []sockdiag.Connection{tcp("192.0.2.5:5000", there)}}, listed(there, client("192.0.2.5:5000", there, "w", 0)), "w", ""},
		"before Redis 6.2":              {near(tcp("192.0.2.5:5000", there)), listed(there, client("192.0.2.5:5000", "", "w", 0)), "w", ""},
		"another port":                  {near(tcp("127.0.0.1:5002", here)), listed(here, client("127.0.0.1:5000", here, "w", 0)), "w", action.CodeNotListed},
		"a port of another server":      {near(tcp("192.0.2.5:5000", "192.0.2.8:6379")), listed(there, client("192.0.2.5:5000", there, "w", 0)), "w", action.CodeNotListed},
		"a container's own loopback":    {conns.ProcessConnections{List: []sockdiag.Connection{tcp("127.0.0.1:5000", here)}}, listed(here, client("127.0.0.1:5000", here, "w", 0)), "w", action.CodeNotListed},
		"our loopback, a far Redis":     {near(tcp("127.0.0.1:5000", here)), listed(there, client("127.0.0.1:5000", here, "w", 0)), "w", action.CodeNotListed},
		"another database":              {near(tcp("127.0.0.1:5000", here)), listed(here, client("127.0.0.1:5000", here, "w", 1)), "w", action.CodeOtherDatabase},
		"another name":                  {near(tcp("127.0.0.1:5000", here)), listed(here, client("127.0.0.1:5000", here, "v", 0)), "w", action.CodeOtherClientName},
		"a name that is another's":      {near(tcp("127.0.0.1:5000", here)), listed(here, client("127.0.0.1:5000", here, "", 0), client("127.0.0.1:5001", here, "w", 0)), "w", action.CodeClientNameTaken},
		"nobody is listed":              {near(tcp("127.0.0.1:5000", here)), listed(here), "w", action.CodeNotListed},
		"by its name over a socket":     {near(sockdiag.Connection{Path: "/r"}), redis.ServerState{Peer: ap(here), Clients: []redis.Client{{Path: "/r", Name: "w"}}}, "w", ""},
		"another name over a socket":    {near(sockdiag.Connection{Path: "/r"}), redis.ServerState{Path: "/r", Clients: []redis.Client{{Path: "/r", Name: "v"}}}, "w", action.CodeNotListed},
		"of Celery over our socket":     {near(sockdiag.Connection{Path: "/r"}), redis.ServerState{Path: "/r", Clients: []redis.Client{{Path: "/r"}}}, "", ""},
		"of Celery over another socket": {near(sockdiag.Connection{Path: "/s"}), redis.ServerState{Path: "/r", Clients: []redis.Client{{Path: "/r"}}}, "", action.CodeNotListed},
		"hidden, and there":             {near(tcp("127.0.0.1:5000", here)), hidden, "w", ""},
		"hidden, of another address":    {near(tcp("127.0.0.1:5000", "127.0.0.2:6379")), hidden, "w", action.CodeNotConnected},
		"hidden, of a container":        {conns.ProcessConnections{List: []sockdiag.Connection{tcp("127.0.0.1:5000", here)}}, hidden, "w", action.CodeNotConnected},
		"hidden, with nothing":          {near(), hidden, "w", action.CodeNotConnected},
		"hidden, over our socket":       {near(sockdiag.Connection{Path: "/r"}), redis.ServerState{Path: "/r", Hidden: "not allowed"}, "w", ""},
	} {
		if got := restarttask.Disconnected(c.held, c.at, c.name); got.Code != c.want || got.IsZero() != (c.want == "") {
			t.Errorf("%s: %+v, want %q", name, got, c.want)
		}
	}
}

// The app of a queue must be certain, also if two names are of one server.
func TestRestartTaskSharedQueue(t *testing.T) {
	t.Parallel()
	tasks := func(redis, kind string, queues ...string) []config.Tasks {
		return []config.Tasks{{Type: kind, Redis: redis, Queues: queues}}
	}
	for name, c := range map[string]struct {
		other []config.Tasks
		want  action.Code
	}{
		"one name":           {tasks("broker", config.RQ, "slow", "mail"), action.CodeSharedQueue},
		"two names":          {tasks("again", config.RQ, "mail"), action.CodeSharedQueue},
		"another server":     {tasks("other", config.RQ, "mail"), action.CodeNoWorker},
		"another queue":      {tasks("broker", config.RQ, "slow"), action.CodeNoWorker},
		"another library":    {tasks("broker", config.Celery, "mail"), action.CodeNoWorker},
		"no answer":          {tasks("down", config.RQ, "mail"), action.CodeShareUnknown},
		"not there any more": {tasks("gone", config.RQ, "mail"), action.CodeShareUnknown},
	} {
		servers := map[string]restarttask.TaskQueues{
			"broker": &queues{waiting: 1, keyspace: "a/0"}, "again": &queues{keyspace: "a/0"}, "other": &queues{keyspace: "b/0"}, "down": &queues{err: actiontest.ErrDown},
		}
		r := restarttask.New(restarttask.Deps{
			Apps: func() []config.App {
				return []config.App{{Name: "shop", Tasks: tasks("broker", config.RQ, "mail")}, {Name: "blog", Tasks: c.other}}
			},
			Queues: func(name string) restarttask.TaskQueues { return lookIn(servers, name) }, ProcRoot: "/proc", Host: "here", Processes: &actiontest.Processes{},
		}, mail())
		p, err := r.Plan(t.Context(), action.PlanRequest{})
		if err != nil || p.Refused.Code != c.want {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// lookIn returns a server by name; nil if there is none.
func lookIn(servers map[string]restarttask.TaskQueues, name string) restarttask.TaskQueues {
	if s, ok := servers[name]; ok {
		return s
	}
	return nil
}
