package leases_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/leases"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
)

const (
	recycle = "recycle_worker"
	purge   = "purge_sessions"
	key     = "recycle_worker/app:shop/workers"
)

// do runs f on the server's keys.
func do(t *testing.T, s *redis.Server, f func(ctx context.Context, c driver.UniversalClient) error) {
	t.Helper()
	err := s.WithKeys(t.Context(), func(ctx context.Context, l *redis.Link) error { return f(ctx, l.Client()) })
	if err != nil {
		t.Fatal(err)
	}
}

// holder returns the run that holds the lease of key; "" for none.
func holder(t *testing.T, s *redis.Server) (run string) {
	t.Helper()
	do(t, s, func(ctx context.Context, c driver.UniversalClient) error {
		var err error
		if run, err = c.Get(ctx, redis.HealPrefix+"lease:"+key).Result(); errors.Is(err, driver.Nil) {
			return nil
		}
		return err
	})
	return run
}

// eventually waits until f is true, at most for a minute.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// acquire acquires the lease of key for a run and returns the fleet.
func acquire(t *testing.T, l *leases.Leases, run string, ttl time.Duration, want bool) leases.Fleet {
	t.Helper()
	held, f, err := l.Acquire(t.Context(), recycle, key, run, ttl)
	if err != nil || held != want {
		t.Errorf("lease for %s: %t, %v", run, held, err)
	}
	return f
}

// Members are counted by name, and requests by action.
func TestFleet(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t).Open()
	a, b := leases.New(s, "web-1"), leases.New(s, "web-2")
	for _, l := range []*leases.Leases{a, b, a, leases.New(s, "web-1")} {
		if err := l.Heartbeat(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for i, step := range []struct {
		l      *leases.Leases
		action string
		want   leases.Fleet
	}{
		{a, recycle, leases.Fleet{Members: 2, Requested: 1}},
		{a, recycle, leases.Fleet{Members: 2, Requested: 1}},
		{b, purge, leases.Fleet{Members: 2, Requested: 1}},
		{b, recycle, leases.Fleet{Members: 2, Requested: 2}},
		{leases.New(s, "web-3"), recycle, leases.Fleet{Members: 3, Requested: 3}}, // a request is a heartbeat too
	} {
		if f, err := step.l.Request(t.Context(), step.action); err != nil || f != step.want {
			t.Errorf("step %d: %+v, %v", i, f, err)
		}
	}
}

// A lease has one holder, is released by its holder only, and can be acquired again.
func TestLease(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t).Open()
	a, b := leases.New(s, "web-1"), leases.New(s, "web-2")
	if f := acquire(t, a, "r-1", time.Hour, true); f != (leases.Fleet{Members: 1, Repairing: 1}) {
		t.Errorf("the first: %+v", f)
	}
	acquire(t, b, "r-2", time.Hour, false)
	acquire(t, a, "r-1", time.Hour, false)
	if got := holder(t, s); got != "r-1" {
		t.Errorf("held by %q", got)
	}
	if err := b.Release(t.Context(), recycle, key, "r-2"); err != nil {
		t.Error(err)
	}
	if got := holder(t, s); got != "r-1" {
		t.Errorf("another run has released it: %q", got)
	}
	if err := a.Release(t.Context(), recycle, key, "r-1"); err != nil {
		t.Error(err)
	}
	if got := holder(t, s); got != "" {
		t.Errorf("not released: %q", got)
	}
	if f := acquire(t, b, "r-2", time.Hour, true); f != (leases.Fleet{Members: 2, Repairing: 1}) {
		t.Errorf("after the release: %+v", f)
	}
	held, f, err := a.Acquire(t.Context(), recycle, "another key", "r-3", time.Hour)
	if err != nil || !held || f.Repairing != 2 {
		t.Errorf("of another target: %t, %+v, %v", held, f, err)
	}
	held, f, err = a.Acquire(t.Context(), purge, "a third key", "r-4", time.Hour)
	if err != nil || !held || f.Repairing != 1 {
		t.Errorf("of another action: %t, %+v, %v", held, f, err)
	}
	if err := a.Release(t.Context(), recycle, "no lease", "r-9"); err != nil {
		t.Errorf("of no lease: %v", err)
	}
}

// A lease expires at its ttl, and its run is no longer counted.
func TestLeaseExpires(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t).Open()
	a, b := leases.New(s, "web-1"), leases.New(s, "web-2")
	acquire(t, a, "r-1", 300*time.Millisecond, true)
	eventually(t, "the lease expires", func() bool {
		held, _, err := b.Acquire(t.Context(), recycle, key, "r-2", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return held
	})
	if err := a.Release(t.Context(), recycle, key, "r-1"); err != nil { // late
		t.Error(err)
	}
	if got := holder(t, s); got != "r-2" {
		t.Errorf("held by %q", got)
	}
	eventually(t, "the expired run is not counted", func() bool {
		f, err := b.Request(t.Context(), recycle)
		if err != nil {
			t.Fatal(err)
		}
		return f.Repairing == 1
	})
}

// Of many runs at once exactly one acquires the lease.
func TestOneOfMany(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var wg sync.WaitGroup
	var held atomic.Int64
	for _, run := range []string{"r-1", "r-2", "r-3", "r-4", "r-5", "r-6", "r-7", "r-8"} {
		l := leases.New(server.Open(), "web-"+run)
		wg.Go(func() {
			ok, _, err := l.Acquire(t.Context(), recycle, key, run, time.Hour)
			if err != nil {
				t.Error(err)
			}
			if ok {
				held.Add(1)
			}
		})
	}
	wg.Wait()
	if held.Load() != 1 {
		t.Errorf("%d hold it", held.Load())
	}
}

// Members, requests and runs count until their own time, by the server's clock.
func TestExpiredMembersAreNotCounted(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t).Open()
	do(t, s, func(ctx context.Context, c driver.UniversalClient) error {
		now, err := c.Time(ctx).Result()
		if err != nil {
			return err
		}
		for _, set := range []string{"members", "asked:" + recycle, "repairing:" + recycle} {
			for name, at := range map[string]time.Time{"gone": now.Add(-time.Second), "alive": now.Add(time.Hour)} {
				if err := c.ZAdd(ctx, redis.HealPrefix+set, driver.Z{Score: float64(at.Unix()), Member: name}).Err(); err != nil {
					return err
				}
			}
		}
		return nil
	})
	f, err := leases.New(s, "web-1").Request(t.Context(), recycle)
	if want := (leases.Fleet{Members: 2, Requested: 2, Repairing: 1}); err != nil || f != want {
		t.Errorf("%+v, %v", f, err)
	}
	do(t, s, func(ctx context.Context, c driver.UniversalClient) error {
		names, err := c.ZRange(ctx, redis.HealPrefix+"members", 0, -1).Result()
		if slices.Contains(names, "gone") || len(names) != 2 {
			t.Errorf("members are %q", names)
		}
		return err
	})
}

// The scores of a member and a request are a minute and five minutes ahead, and no key
// stays without an expiry.
func TestTimesOfKeys(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t).Open()
	l := leases.New(s, "web-1")
	var before, after time.Time
	do(t, s, func(ctx context.Context, c driver.UniversalClient) (err error) {
		before, err = c.Time(ctx).Result()
		return err
	})
	if _, err := l.Request(t.Context(), recycle); err != nil {
		t.Fatal(err)
	}
	acquire(t, l, "r-1", time.Hour, true)
	do(t, s, func(ctx context.Context, c driver.UniversalClient) (err error) {
		if after, err = c.Time(ctx).Result(); err != nil {
			return err
		}
		for set, ahead := range map[string]time.Duration{"members": time.Minute, "asked:" + recycle: 5 * time.Minute, "repairing:" + recycle: time.Hour} {
			list, err := c.ZRangeWithScores(ctx, redis.HealPrefix+set, 0, -1).Result()
			if err != nil {
				return err
			}
			if len(list) != 1 || list[0].Score < float64(before.Add(ahead).Unix()) || list[0].Score > float64(after.Add(ahead).Unix()) {
				t.Errorf("%s: %+v, between %v and %v", set, list, before, after)
			}
		}
		keys, err := c.Keys(ctx, "*").Result()
		for _, k := range keys {
			if ttl, err := c.TTL(ctx, k).Result(); err != nil || ttl <= 0 || ttl > time.Hour {
				t.Errorf("%s expires in %v, %v", k, ttl, err)
			}
		}
		if len(keys) != 5 {
			t.Errorf("keys are %q", keys)
		}
		return err
	})
}

// Without the server each call fails with a reason, and nothing is held.
func TestServerIsGone(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	l := leases.New(server.Open(), "web-1")
	server.Stop()
	_, requestErr := l.Request(t.Context(), recycle)
	held, f, acquireErr := l.Acquire(t.Context(), recycle, key, "r-1", time.Minute)
	if held || f != (leases.Fleet{}) {
		t.Errorf("%t, %+v", held, f)
	}
	for name, err := range map[string]error{"request": requestErr, "acquire": acquireErr, "heartbeat": l.Heartbeat(t.Context()), "release": l.Release(t.Context(), recycle, key, "r-1")} {
		if e, ok := errors.AsType[*redis.Error](err); !ok || e.Reason == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
