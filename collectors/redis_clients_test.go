package collectors_test

import (
	"context"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// redisActivity is one client at 10.0.0.1:PORT.
func redisActivity(id uint64, port uint16, command string, idle time.Duration, blocked bool) redis.Activity {
	a := redis.Activity{ID: id, User: "default", Command: command, Age: time.Minute, Idle: idle, Blocked: blocked}
	a.Addr, a.Name = netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), port), "hunter2"
	return a
}

// waitingShop is the apps with a worker that waits for a Redis.
func waitingShop() *discovery.Snapshot {
	snap := shop()
	snap.Apps[1].Workers[0].Wait = &discovery.Wait{On: "redis", Peer: "redis:cache", Call: 2 * time.Second}
	return snap
}

// redisState returns the state of one read.
func redisState(t *testing.T, c *collectors.Redis) model.State {
	t.Helper()
	s, _ := c.Collect(t.Context())
	return s.State
}

// Clients in a blocking command are listed with the workers at their connections.
// They have no blocker.
func TestRedisBlockedClients(t *testing.T) {
	f := &fakeRedis{info: wholeInfo(), list: []redis.Activity{
		redisActivity(3, 4003, "blpop", 42*time.Second, true), redisActivity(4, 4004, "get", 0, false), redisActivity(5, 4005, "client|list", 0, false),
		redisActivity(6, 4006, "brpop", time.Second, true), redisActivity(7, 4007, "get", 0, false),
	}}
	f.list[3].User = "x\x1b[2J"
	local := &fakeConnections{sample: conns.Sample{Taken: time.Now(), List: []conns.Connection{connect("shop", 101, "redis:cache", 4003), connect("shop", 102, "redis", 4004), connect("shop", 102, "redis:other", 4007)}}}
	for i := range local.sample.List {
		local.sample.List[i].Inode = uint64(70 + i)
	}
	c := redisWith(map[string]*fakeRedis{"cache": f}, collectors.RedisOptions{Apps: fakeApps{snap: waitingShop()}, Connections: local})
	now := redisState(t, c)
	if want := []model.StoreWait{{Server: "redis:cache", Waiter: 3, Kind: "blocked", Seconds: 42}, {Server: "redis:cache", Waiter: 6, Kind: "blocked", Seconds: 1}}; !reflect.DeepEqual(now.StoreWaits, want) {
		t.Errorf("waits are %+v", now.StoreWaits)
	}
	want := []model.StoreConnection{
		{Connection: model.Connection{Owner: model.Owner{App: "shop", Slot: "0", PID: 101}, ID: 3, User: "default", Host: "10.0.0.1"}, Server: "redis:cache", Socket: 70, Command: "blpop", State: "blocked", Seconds: 42},
		{Connection: model.Connection{Owner: model.Owner{App: "shop", Slot: "1", PID: 102}, ID: 4, User: "default", Host: "10.0.0.1"}, Server: "redis:cache", Socket: 71, Command: "get"},
		{Connection: model.Connection{ID: 6, User: "x_[2J~b3b9ddbb", Host: "10.0.0.1"}, Server: "redis:cache", Command: "brpop", State: "blocked", Seconds: 1},
	}
	if len(now.StoreConnections) == 3 {
		if user := now.StoreConnections[2].User; slices.Contains([]byte(user), '\x1b') {
			t.Errorf("the user is %q", user)
		}
		want[2].User = now.StoreConnections[2].User
	}
	if !reflect.DeepEqual(now.StoreConnections, want) {
		t.Errorf("connections are %+v\nwant %+v", now.StoreConnections, want)
	}
	// A client that is newer than the sample of connections may have the port of another.
	local.sample.Taken = time.Now().Add(-2 * time.Minute)
	c = redisWith(map[string]*fakeRedis{"cache": f}, collectors.RedisOptions{Apps: fakeApps{snap: waitingShop()}, Connections: local})
	if now := redisState(t, c); len(now.StoreConnections) != 2 || now.StoreConnections[0].App != "" || local.asked != 1 {
		t.Errorf("by an old sample: %+v, asked for %d more", now.StoreConnections, local.asked)
	}
}

// Nobody is listed on a server in which nobody waits, in which too many are connected,
// or that refuses it, which is an optional lack with its remedy.
func TestRedisListsNobody(t *testing.T) {
	calm, large := wholeInfo(), wholeInfo()
	calm.Blocked, large.Clients = known(0), known(2001)
	short, other := waitingShop(), waitingShop()
	short.Apps[1].Workers[0].Wait.Call, other.Apps[1].Workers[0].Wait.Peer = time.Second/2, "redis:other"
	refused := &redis.Error{Reason: reason.Permission, Detail: "needs a right for its user: ACL SETUSER <user> +client|list", Remedy: "ACL SETUSER <user> +client|list", Answered: true}
	for name, c := range map[string]struct {
		f      fakeRedis
		snap   *discovery.Snapshot
		listed int // in two reads
		lacks  int
	}{
		"no worker waits": {fakeRedis{info: wholeInfo(), took: time.Second}, shop(), 0, 0},
		"not for long":    {fakeRedis{info: wholeInfo()}, short, 0, 0},
		"for another":     {fakeRedis{info: wholeInfo()}, other, 0, 0},
		"large":           {fakeRedis{info: large}, waitingShop(), 0, 0},
		"a worker waits":  {fakeRedis{info: calm}, waitingShop(), 1, 0},
		"it refuses":      {fakeRedis{info: wholeInfo(), noList: refused}, waitingShop(), 1, 1},
		"it does not say": {fakeRedis{info: redis.Info{Version: "7.0.15"}}, waitingShop(), 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := redisWith(map[string]*fakeRedis{"cache": &c.f}, collectors.RedisOptions{Apps: fakeApps{snap: c.snap}, Connections: &fakeConnections{}})
			for range 2 {
				c.f.listed = min(c.f.listed, 1) // a list is followed by a pause of 100 times its duration
				_, err := r.Collect(t.Context())
				lacks := collectors.Lacks(err)
				if len(lacks) != c.lacks {
					t.Fatalf("lacks %v", lacks)
				}
				for _, u := range lacks {
					if !u.Optional || u.Reason != collectors.Permission || u.Remedy != refused.Remedy || u.Of != "redis:cache" {
						t.Errorf("the lack is %+v", u)
					}
				}
			}
			if min(c.f.listed, 1) != c.listed || c.lacks > 0 && c.f.listed > 1 {
				t.Errorf("it was listed %d times", c.f.listed)
			}
		})
	}
}

// What kept the exporter's ping waiting is a slow command; what ended before it, or
// took less, is not.
func TestRedisSlowCommand(t *testing.T) {
	clock := time.Unix(1_800_000_000, 0)
	entry := func(command string, ago, took time.Duration) redis.SlowCommand {
		return redis.SlowCommand{Command: command, Ended: clock.Add(-ago), Took: took, Client: "10.0.0.1:4004"}
	}
	info := wholeInfo()
	info.Time, info.Blocked = known(float64(clock.UnixMicro())), known(0)
	keys := model.StoreWait{Server: "redis:cache", Blocker: 4, Kind: "slow_command", Over: true, Object: "keys", Seconds: 0.3}
	unknown := keys
	unknown.Blocker = 0
	for name, c := range map[string]struct {
		took time.Duration
		list []redis.Activity
		slow []redis.SlowCommand
		want []model.StoreWait
	}{
		"the ping waited":   {300 * time.Millisecond, []redis.Activity{redisActivity(4, 4004, "keys", 0, false)}, []redis.SlowCommand{entry("get", 0, time.Millisecond), entry("keys", time.Second, 300*time.Millisecond), entry("sort", time.Minute, time.Second)}, []model.StoreWait{keys}},
		"its client left":   {300 * time.Millisecond, []redis.Activity{redisActivity(5, 4005, "keys", 0, false)}, []redis.SlowCommand{entry("keys", 0, 300*time.Millisecond)}, []model.StoreWait{unknown}},
		"the ping was fast": {time.Millisecond, nil, []redis.SlowCommand{entry("keys", 0, 300*time.Millisecond)}, nil},
		"long ago":          {300 * time.Millisecond, nil, []redis.SlowCommand{entry("keys", 10*time.Second, 300*time.Millisecond)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeRedis{info: info, took: c.took, list: c.list, slow: c.slow}
			if got := redisState(t, redisWith(map[string]*fakeRedis{"cache": f}, collectors.RedisOptions{Apps: fakeApps{snap: waitingShop()}, Connections: &fakeConnections{}})).StoreWaits; !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// While a script runs, nothing is known but that, for how long, and who was there
// before. A command that kept the server silent is found when it answers again.
func TestRedisScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := time.Now()
		info := wholeInfo()
		info.Time = known(float64(clock.Add(11 * time.Second).UnixMicro()))
		f := &fakeRedis{info: info, list: []redis.Activity{redisActivity(3, 4003, "blpop", 0, true)}}
		c := redisWith(map[string]*fakeRedis{"cache": f}, collectors.RedisOptions{Apps: fakeApps{snap: waitingShop()}, Connections: &fakeConnections{sample: conns.Sample{Taken: clock.Add(time.Hour)}}})
		if now := redisState(t, c); len(now.StoreConnections) != 1 || now.StoreWaits[0].Kind != "blocked" {
			t.Errorf("before: %+v", now.StoreWaits)
		}
		f.ping = &redis.Error{Reason: reason.Timeout, Detail: "did not answer in time"}
		if now := redisState(t, c); len(now.StoreWaits) != 0 {
			t.Errorf("silent: %+v", now.StoreWaits)
		}
		time.Sleep(4 * time.Second)
		f.ping = &redis.Error{Reason: reason.Busy, Detail: "is busy", Script: true}
		for i := range 2 {
			want := []model.StoreWait{{Server: "redis:cache", Kind: "script", Seconds: 5.5 + float64(i)}}
			if now := redisState(t, c); !reflect.DeepEqual(now.StoreWaits, want) || len(now.StoreConnections) != 1 || f.listed != 1 {
				t.Errorf("a script: %+v, %+v", now.StoreWaits, now.StoreConnections)
			}
			time.Sleep(time.Second)
		}
		f.ping = nil
		f.slow = []redis.SlowCommand{{Command: "eval", Ended: clock.Add(6 * time.Second), Took: 5 * time.Second, Client: "/run/redis.sock:0"}}
		if now := redisState(t, c); len(now.StoreWaits) != 2 || now.StoreWaits[0] != (model.StoreWait{Server: "redis:cache", Kind: "slow_command", Over: true, Object: "eval", Seconds: 5}) {
			t.Errorf("after: %+v", now.StoreWaits)
		}
		if now := redisState(t, c); len(now.StoreWaits) != 1 {
			t.Errorf("later: %+v", now.StoreWaits)
		}
	})
}

// While a server does not answer, the client whose request it works on is the one that
// the kernel shows; if that is not certain, nobody is named.
func TestRedisTaken(t *testing.T) {
	const pid, peer = 900, "127.0.0.1:6379"
	timeout := &redis.Error{Reason: reason.Timeout, Detail: "did not answer in time"}
	script := &redis.Error{Reason: reason.Busy, Detail: "is busy", Script: true}
	served := func(inode uint64, port uint16, sent, received time.Duration, queue uint32) sockdiag.Served {
		return sockdiag.Served{
			Accepted: sockdiag.Accepted{Inode: inode, Sent: sent, Received: received, HasTimes: true},
			Remote:   netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), port), Queue: queue,
		}
	}
	runs, waits := served(501, 4003, 4*time.Second, 2*time.Second, 0), served(502, 4004, 4*time.Second, time.Second, 20)
	foreign := served(503, 4900, 4*time.Second, 2*time.Second, 0)
	hung := conns.ServerProcess{Served: []sockdiag.Served{runs, waits}, Works: true}
	owned := model.StoreConnection{
		Connection: model.Connection{Owner: model.Owner{App: "shop", Slot: "0", PID: 101}, Host: "10.0.0.1:4003"}, Server: "redis:cache", Socket: 70, Served: 501, Seconds: 2,
	}
	slow := model.StoreWait{Server: "redis:cache", Served: 501, Likely: true, Kind: "slow_command", Seconds: 2}
	for name, c := range map[string]struct {
		failure *redis.Error
		process conns.ServerProcess
		err     error
		calm    bool // no worker waits
		old     bool // the sample of connections is older than the request
		conns   []model.StoreConnection
		waits   []model.StoreWait
	}{
		"a worker's command": {failure: timeout, process: hung, conns: []model.StoreConnection{owned}, waits: []model.StoreWait{slow}},
		"a worker's script": {
			failure: script, process: conns.ServerProcess{Served: []sockdiag.Served{runs}}, conns: []model.StoreConnection{owned},
			waits: []model.StoreWait{{Server: "redis:cache", Served: 501, Likely: true, Kind: "script", Seconds: 0}},
		},
		"another client's command": {
			failure: timeout, process: conns.ServerProcess{Served: []sockdiag.Served{foreign, waits}, Works: true},
			conns: []model.StoreConnection{{Connection: model.Connection{Host: "10.0.0.1:4900"}, Server: "redis:cache", Served: 503, Seconds: 2}},
			waits: []model.StoreWait{{Server: "redis:cache", Served: 503, Likely: true, Kind: "slow_command", Seconds: 2}},
		},
		"two fit":                         {failure: timeout, process: conns.ServerProcess{Served: []sockdiag.Served{runs, foreign, waits}, Works: true}},
		"it is stopped":                   {failure: timeout, process: conns.ServerProcess{Served: []sockdiag.Served{runs, waits}}},
		"a client over a UNIX socket":     {failure: timeout, process: conns.ServerProcess{Served: []sockdiag.Served{runs, waits}, Unix: 1, Works: true}},
		"no right, or not its process":    {failure: timeout, err: conns.ErrNotServer},
		"it does not listen":              {failure: &redis.Error{Reason: reason.NotFound, Detail: "does not listen"}, process: hung},
		"no worker waits":                 {failure: timeout, process: hung, calm: true},
		"the connection may be a new one": {failure: timeout, process: hung, old: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				info := wholeInfo()
				info.PID = pid
				f := &fakeRedis{info: info, peer: peer}
				snap := waitingShop()
				if c.calm {
					snap = shop()
				}
				local := &fakeConnections{sample: conns.Sample{Taken: time.Now().Add(time.Hour), List: []conns.Connection{connect("shop", 101, "redis:cache", 4003)}}}
				local.sample.List[0].Inode = 70
				r := redisWith(map[string]*fakeRedis{"cache": f}, collectors.RedisOptions{
					Apps: fakeApps{snap: snap}, Connections: local,
					Process: func(_ context.Context, p int, at string) (conns.ServerProcess, error) {
						if p != pid || at != peer {
							t.Errorf("asked for %d at %q", p, at)
						}
						return c.process, c.err
					},
				})
				f.ping = c.failure
				if now := redisState(t, r); len(now.StoreConnections) != 0 {
					t.Errorf("before the first answer: %+v", now.StoreConnections)
				}
				r = redisWith(map[string]*fakeRedis{"cache": f}, collectors.RedisOptions{
					Apps: fakeApps{snap: snap}, Connections: local,
					Process: func(context.Context, int, string) (conns.ServerProcess, error) { return c.process, c.err },
				})
				f.ping = nil
				redisState(t, r)
				time.Sleep(3 * time.Second)
				if f.ping = c.failure; c.old {
					local.sample.Taken = time.Now().Add(-3 * time.Second)
				}
				now := redisState(t, r)
				if !reflect.DeepEqual(now.StoreConnections, c.conns) || !reflect.DeepEqual(now.StoreWaits, c.waits) {
					t.Errorf("%+v\n%+v", now.StoreConnections, now.StoreWaits)
				}
				if want := map[bool]int{true: 1}[c.old]; local.asked != want {
					t.Errorf("a new sample was asked for %d times, want %d", local.asked, want)
				}
			})
		})
	}
}
