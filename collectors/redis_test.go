package collectors_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// fakeRedis is a server that returns fixed values.
type fakeRedis struct {
	info          redis.Info
	ping, noInfo  error
	hangs, panics bool

	took   time.Duration // of a ping; 0: 200 µs
	list   []redis.Activity
	slow   []redis.SlowCommand
	noList error
	peer   string
	listed int // how often CLIENT LIST was sent
}

func (r *fakeRedis) Inspect(_ context.Context, clients, slow bool) (redis.Inspection, error) {
	var in redis.Inspection
	if clients {
		r.listed++
		in.Clients, in.ClientsErr = r.list, r.noList
	}
	if slow {
		in.Slow, in.SlowErr = r.slow, r.noList
	}
	return in, nil
}

func (r *fakeRedis) Ping(ctx context.Context) (time.Duration, error) {
	if r.hangs {
		<-ctx.Done()
		return 0, &redis.Error{Reason: reason.Timeout, Detail: "did not answer in time"}
	}
	if r.panics {
		panic("on purpose")
	}
	if r.ping != nil {
		return 0, r.ping
	}
	return cmp.Or(r.took, 200*time.Microsecond), nil
}

func (r *fakeRedis) Info(context.Context) (redis.Info, error) { return r.info, r.noInfo }

func (r *fakeRedis) Peer() string { return r.peer }

func known(v float64) *float64 { return new(v) }

func wholeInfo() redis.Info {
	return redis.Info{
		Version: "7.0.15", Mode: "standalone", Role: "master", Hits: known(900), Misses: known(100), Evicted: known(0),
		Expired: known(7), Commands: known(4711), Rejected: known(1), Received: known(1 << 16), Sent: known(1 << 18),
		Keyspace: &redis.Keyspace{Databases: []redis.Database{{Number: 0, Keys: 40, Expiring: known(30)}, {Number: 3, Keys: 2}}},
		Memory:   known(1 << 20), MaxMemory: known(64 << 20), Clients: known(12), Blocked: known(2),
	}
}

func redisWith(servers map[string]*fakeRedis, o collectors.RedisOptions) *collectors.Redis {
	return collectors.NewRedis(func() []collectors.RedisTarget {
		var out []collectors.RedisTarget
		for _, name := range slices.Sorted(maps.Keys(servers)) {
			out = append(out, collectors.RedisTarget{Name: name, Server: servers[name]})
		}
		return out
	}, o)
}

func redisOf(servers map[string]*fakeRedis) *collectors.Redis {
	return redisWith(servers, collectors.RedisOptions{})
}

func TestRedisGolden(t *testing.T) {
	noLimit := redis.Info{Version: "6.0.16", Mode: "cluster", Role: "master", Memory: known(2 << 20), Clients: known(1)}
	golden(t, redisOf(map[string]*fakeRedis{
		"cache": {info: wholeInfo()}, "queue": {info: noLimit},
		"gone":   {ping: &redis.Error{Reason: reason.NotFound, Detail: "does not listen at its address"}},
		"closed": {noInfo: &redis.Error{Reason: reason.Permission, Detail: "needs a right for its user: ACL SETUSER <user> +info"}},
	}))
}

func TestRedisReasons(t *testing.T) {
	for _, c := range []struct {
		kind reason.Reason
		want collectors.Reason
	}{
		{reason.Failed, collectors.Failed},
		{reason.Timeout, collectors.Timeout},
		{reason.Permission, collectors.Permission},
		{reason.NotFound, collectors.NotFound},
		{reason.Busy, collectors.Busy},
	} {
		_, err := redisOf(map[string]*fakeRedis{"cache": {ping: &redis.Error{Reason: c.kind, Detail: "does so"}}}).Collect(t.Context())
		if reason, detail := collectors.ReasonOf(err); reason != c.want || detail != "redis cache does so" {
			t.Errorf("%s: %s %q", c.kind, reason, detail)
		}
	}
	if s, err := redisOf(nil).Collect(t.Context()); err != nil || len(s.Metrics) != 0 {
		t.Errorf("with no server: %d metrics, %v", len(s.Metrics), err)
	}
}

func reading(s collectors.Sample, name string, labels ...string) (float64, error) {
	for _, r := range facts(s) {
		if r.Name == name && strings.Join(r.Labels, ",") == strings.Join(labels, ",") {
			return r.Value, nil
		}
	}
	return 0, fmt.Errorf("no %s%v", name, labels)
}

// A server that hangs and a read that panics do not affect the third server, and the result
// is complete before the deadline of the scrape.
func TestRedisSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		s, err := redisOf(map[string]*fakeRedis{"well": {info: wholeInfo()}, "hung": {hangs: true}, "mad": {panics: true}}).Collect(ctx)
		if ctx.Err() != nil {
			t.Error("not before the deadline")
		}
		if up, err := reading(s, "resp_up", "redis:well"); err != nil || up != 1 {
			t.Errorf("well: %v, %v", up, err)
		}
		if up, err := reading(s, "resp_up", "redis:hung"); err != nil || up != 0 {
			t.Errorf("hung: %v, %v", up, err)
		}
		if up, err := reading(s, "resp_up", "redis:mad"); err != nil || up != 0 {
			t.Errorf("mad: %v, %v", up, err)
		}
		if _, err := reading(s, "resp_redis_memory_bytes", "hung"); err == nil {
			t.Error("numbers of a server that hangs")
		}
		if reason, detail := collectors.ReasonOf(err); reason != collectors.Timeout || !strings.Contains(detail, "redis mad: ") || !strings.Contains(detail, "redis hung ") {
			t.Errorf("error %v", err)
		}
	})
}

func TestRedisHitRatio(t *testing.T) {
	var l collectors.Lookups
	now := time.Unix(1000, 0)
	for i, c := range []struct {
		after        time.Duration
		hits, misses float64
		want         float64
		ok           bool
	}{
		{0, 1000, 1000, 0, false}, // nothing to compare with
		{5 * time.Second, 1000, 1000, 0, false},
		{10 * time.Second, 1090, 1010, 0.9, true},
		{15 * time.Second, 1090, 1110, 0.45, true},
		{20 * time.Second, 3, 1, 0, false}, // restarted
		{25 * time.Second, 3, 5, 0, true},
		{30 * time.Second, 7, 5, 0.5, true},
		{10 * time.Minute, 7, 5, 0, false}, // silent for long
	} {
		if got, ok := l.Ratio(now.Add(c.after), c.hits, c.misses); got != c.want || ok != c.ok {
			t.Errorf("%d: %v %t, want %v %t", i, got, ok, c.want, c.ok)
		}
	}
	r := redisOf(map[string]*fakeRedis{"cache": {info: wholeInfo()}})
	s, err := r.Collect(t.Context())
	if _, noted := reading(s, "page.redis_hit_ratio", "cache"); err != nil || noted == nil {
		t.Errorf("a ratio at the first look: %v, %v", noted, err)
	}
}

// A server lists only databases with keys: one that had some has none now, and a server
// that lists nothing has no keys in db0. Of a server that has no such list, nothing is known.
func TestRedisKeys(t *testing.T) {
	f := &fakeRedis{info: redis.Info{Mode: "standalone", Keyspace: &redis.Keyspace{}}}
	r := redisOf(map[string]*fakeRedis{"cache": f, "old": {info: redis.Info{Mode: "standalone"}}})
	for i, c := range []struct {
		now  *redis.Keyspace
		want map[string]float64
	}{
		{&redis.Keyspace{}, map[string]float64{"db0": 0}},
		{&redis.Keyspace{Databases: []redis.Database{{Number: 2, Keys: 5}}, LeftOut: 3}, map[string]float64{"db0": 0, "db2": 5}},
		{&redis.Keyspace{Databases: []redis.Database{{Keys: 1}}}, map[string]float64{"db0": 1, "db2": 0}},
		{nil, map[string]float64{}},
		{&redis.Keyspace{}, map[string]float64{"db0": 0, "db2": 0}},
	} {
		f.info.Keyspace = c.now
		s, err := r.Collect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, x := range facts(s) {
			if x.Name == "resp_redis_keys" {
				got[x.Labels[1]] = x.Value
			}
			if slices.Contains(x.Labels, "old") && x.Name != "resp_up" && strings.Contains(x.Name, "keys") {
				t.Errorf("%d: %s of a server that does not report it", i, x.Name)
			}
			if x.Name == "resp_series_dropped_total" && x.Labels[0] == "redis_database" && x.Value != map[bool]float64{true: 3}[i > 0] {
				t.Errorf("%d: %v left out", i, x.Value)
			}
		}
		if !maps.Equal(got, c.want) {
			t.Errorf("%d: keys %v, want %v", i, got, c.want)
		}
	}
}
