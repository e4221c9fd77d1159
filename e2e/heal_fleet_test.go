package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/leases"
)

// fleetRights are the rights of docs/redis.md for a fleet, in addition to redisRights.
const fleetRights = "+time +set +get +del +expire +zadd +zcount +zremrangebyscore +zrem +watch +unwatch +multi +exec ~resp:heal:*"

// TestFleet checks exporters that share leases in a Redis, with the user of the
// documentation.
func TestFleet(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	server.cli("ACL", append([]string{"SETUSER", redisUser}, strings.Fields(fleetRights)...)...)
	if page, err := os.ReadFile("../docs/redis.md"); err != nil || !strings.Contains(string(page), fleetRights) {
		t.Errorf("docs/redis.md does not give %s, %v", fleetRights, err)
	}
	member := func(name string) *leases.Leases {
		u, err := config.ParseRedisURL(config.Secret(fmt.Sprintf("redis://%s:%s@127.0.0.1:%d/0", redisUser, redisPassword, server.port)))
		if err != nil {
			t.Fatal(err)
		}
		s := redis.Open(redis.Options{URL: u})
		t.Cleanup(func() { _ = s.Close() })
		return leases.New(s, name)
	}
	a, b, c := member("web-1"), member("web-2"), member("web-3")
	for _, l := range []*leases.Leases{a, b, c} {
		if err := l.Heartbeat(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	const key = "recycle_worker/app:shop/workers"
	if f, err := a.Request(t.Context(), "recycle_worker"); err != nil || f != (leases.Fleet{Members: 3, Requested: 1}) {
		t.Errorf("one asked: %+v, %v", f, err)
	}
	if f, err := b.Request(t.Context(), "recycle_worker"); err != nil || f != (leases.Fleet{Members: 3, Requested: 2}) {
		t.Errorf("two asked: %+v, %v", f, err)
	}
	if held, f, err := a.Acquire(t.Context(), "recycle_worker", key, "r-1", time.Minute); err != nil || !held || f.Repairing != 1 {
		t.Errorf("the lease: %v %+v %v", held, f, err)
	}
	if held, _, err := b.Acquire(t.Context(), "recycle_worker", key, "r-2", time.Minute); err != nil || held {
		t.Errorf("a second one has it: %v, %v", held, err)
	}
	if err := b.Release(t.Context(), "recycle_worker", key, "r-2"); err != nil { // not b's
		t.Error(err)
	}
	if got := server.cli("GET", "resp:heal:lease:"+key); got != "r-1" {
		t.Errorf("the lease is %q's", got)
	}
	if err := a.Release(t.Context(), "recycle_worker", key, "r-1"); err != nil {
		t.Error(err)
	}
	if held, f, err := b.Acquire(t.Context(), "recycle_worker", key, "r-2", 300*time.Millisecond); err != nil || !held || f.Repairing != 1 {
		t.Errorf("given back: %v %+v %v", held, f, err)
	}
	eventually(t, 5*time.Second, func() error { // the registration expires
		held, _, err := c.Acquire(t.Context(), "recycle_worker", key, "r-3", time.Minute)
		return all(err, wants("held", held, true))
	})
	for k := range strings.FieldsSeq(server.cli("KEYS", "*")) {
		if strings.HasPrefix(k, "resp:heal:") && server.cli("TTL", k) == "-1" {
			t.Errorf("%s would stay for ever", k)
		}
	}
	server.proc.Stop()
	var fault *redis.Error
	if _, err := a.Request(t.Context(), "recycle_worker"); !errors.As(err, &fault) {
		t.Errorf("with the Redis gone: %v", err)
	}
}
