package leases_test

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"testing"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/leases"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
)

// put sets a key to a value, as a stranger may; to a list with "list".
func put(t *testing.T, s *redis.Server, key, value string) {
	t.Helper()
	do(t, s, func(ctx context.Context, c driver.UniversalClient) error {
		if err := c.Del(ctx, key).Err(); err != nil {
			return err
		}
		if value == "list" {
			return c.RPush(ctx, key, "x").Err()
		}
		return c.Set(ctx, key, value, time.Minute).Err()
	})
}

// registered sets the fleet to have registered without a gap for a time.
func registered(t *testing.T, s *redis.Server, d time.Duration) {
	t.Helper()
	put(t, s, "resp:heal:registered", strconv.FormatInt(time.Now().Add(-d).UnixMilli(), 10))
}

// No storm begins while the members may lack some that live: after the Redis has lost its
// data, and where nobody could register for a while.
func TestStormNeedsTheWholeFleet(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t).Open()
	l := leases.New(s, "web-1")
	hold := func(what string, want error) {
		t.Helper()
		if err := l.Hold(t.Context(), time.Minute); !errors.Is(err, want) {
			t.Errorf("%s: %v", what, err)
		}
		f, err := l.Request(t.Context(), recycle)
		if err != nil || (f.Storm > 0) != (want == nil) {
			t.Errorf("%s: %+v, %v", what, f, err)
		}
	}
	hold("nobody has registered", leases.ErrNotWhole)
	hold("just registered", leases.ErrNotWhole)
	registered(t, s, 29*time.Second)
	hold("for 29 s", leases.ErrNotWhole)
	registered(t, s, 31*time.Second)
	hold("for 31 s", nil)
	do(t, s, func(ctx context.Context, c driver.UniversalClient) error {
		if ttl := c.TTL(ctx, "resp:heal:registered").Val(); ttl <= 30*time.Second || ttl > 40*time.Second {
			t.Errorf("a gap may be %s long", ttl)
		}
		return c.FlushAll(ctx).Err()
	})
	hold("the data is lost", leases.ErrNotWhole)
	for _, foreign := range []string{"list", "nonsense", "9223372036854775807", "-1"} {
		put(t, s, "resp:heal:registered", foreign)
		hold(foreign, leases.ErrNotWhole)
	}
}

// A storm is the fleet's, ends by itself, is not shortened, and no value of a stranger is one.
func TestStorm(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t).Open()
	a, b := leases.New(s, "web-1"), leases.New(s, "web-2")
	left := func() time.Duration {
		t.Helper()
		f, err := b.Request(t.Context(), recycle)
		if err != nil {
			t.Fatal(err)
		}
		return f.Storm
	}
	if d := left(); d != 0 {
		t.Errorf("before: %s", d)
	}
	registered(t, s, time.Minute)
	if err := a.Hold(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, l := range []*leases.Leases{a, b} { // the shorter one does not replace the longer one
		if err := l.Hold(t.Context(), time.Second); !errors.Is(err, fs.ErrExist) {
			t.Errorf("while it goes on: %v", err)
		}
	}
	if d := left(); d <= 50*time.Second || d > time.Minute {
		t.Errorf("%s left", d)
	}
	if f := acquire(t, b, "r-1", time.Minute, true); f.Storm <= 50*time.Second {
		t.Errorf("with the lease: %s left", f.Storm)
	}
	if err := b.Hold(t.Context(), 24*time.Hour); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a longer one: %v", err)
	}
	if d := left(); d <= 24*time.Hour-10*time.Second || d > 24*time.Hour {
		t.Errorf("of the longest: %s left", d)
	}
	for _, value := range []string{"nonsense", "9223372036854775807", "-1", "list", strconv.FormatInt(time.Now().Add(25*time.Hour).UnixMilli(), 10)} {
		put(t, s, "resp:heal:storm", value)
		if d := left(); d != 0 {
			t.Errorf("%s: %s left", value, d)
		}
	}
	if err := a.Hold(t.Context(), 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the storm ends", func() bool { return left() == 0 })
	began := make(chan error)
	for _, l := range []*leases.Leases{a, b} {
		go func() { began <- l.Hold(t.Context(), time.Minute) }()
	}
	if one, other := <-began, <-began; (one == nil) == (other == nil) || !errors.Is(errors.Join(one, other), fs.ErrExist) {
		t.Errorf("both at once: %v, %v", one, other)
	}
}

// What failed on one exporter is known on the others, until it has helped on one of them.
func TestLearning(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t).Open()
	a, b := leases.New(s, "web-1"), leases.New(s, "web-2")
	failed := func(action, cause string) int {
		t.Helper()
		n, err := b.Failures(t.Context(), action, cause)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, l := range []*leases.Leases{a, b, a} {
		if err := l.Learn(t.Context(), recycle, "db_lock", false); err != nil {
			t.Fatal(err)
		}
	}
	if n := failed(recycle, "db_lock"); n != 3 {
		t.Errorf("%d times in a row", n)
	}
	if n, m := failed(recycle, "upstream"), failed(purge, "db_lock"); n != 0 || m != 0 {
		t.Errorf("another cause %d, another action %d", n, m)
	}
	do(t, s, func(ctx context.Context, c driver.UniversalClient) error {
		if ttl := c.TTL(ctx, "resp:heal:failed:"+recycle+"/db_lock").Val(); ttl <= 0 {
			t.Errorf("it is kept for %s", ttl)
		}
		return nil
	})
	for value, want := range map[string]int{"x": 0, "list": 0, "-1": 0, "1001": 0, "9223372036854775807": 0, "1000": 1000} {
		put(t, s, "resp:heal:failed:"+purge+"/db_lock", value)
		if n := failed(purge, "db_lock"); n != want {
			t.Errorf("%s: %d", value, n)
		}
		if err := a.Learn(t.Context(), purge, "db_lock", false); err != nil {
			t.Fatal(err)
		}
		if n := failed(purge, "db_lock"); n != min(want+1, 1000) {
			t.Errorf("%s, once more: %d", value, n)
		}
	}
	if err := b.Learn(t.Context(), recycle, "db_lock", true); err != nil {
		t.Fatal(err)
	}
	if n := failed(recycle, "db_lock"); n != 0 {
		t.Errorf("after it has helped: %d", n)
	}
}
