package relaystream_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
	"github.com/resp-exporter/resp-exporter/internal/redis/relaystream"
)

// Keys that a stranger has made of another type or too large cost nothing but themselves.
func TestForeignKeys(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t).Open()
	x := relaystream.New(s)
	const prefix = "resp:heal:relay:"
	keys := []string{prefix + "stream:{" + me + "}", prefix + "pending:{" + me + "}", prefix + "member:{" + me + "}", prefix + "continuous", prefix + "ack:i1"}
	large := strings.Repeat("x", 2<<20)
	for name, spoil := range map[string]func(ctx context.Context, c driver.UniversalClient, key string) error{
		"a set": func(ctx context.Context, c driver.UniversalClient, key string) error {
			return c.SAdd(ctx, key, "x").Err()
		},
		"large": func(ctx context.Context, c driver.UniversalClient, key string) error {
			return c.Set(ctx, key, large, 0).Err()
		},
		"large in its type": func(ctx context.Context, c driver.UniversalClient, key string) error {
			if strings.Contains(key, "pending") {
				return c.HSet(ctx, key, "k1", large).Err()
			}
			return c.Set(ctx, key, large, 0).Err()
		},
	} {
		do(t, s, func(ctx context.Context, c driver.UniversalClient) error {
			for _, key := range keys {
				if err := errors.Join(c.Del(ctx, key).Err(), spoil(ctx, c, key)); err != nil {
					return err
				}
			}
			return nil
		})
		if r, err := x.Registered(t.Context(), []string{me}); err != nil || r.Alive[me] || r.Away[me] || r.Complete {
			t.Errorf("%s: registered: %+v, %v", name, r, err)
		}
		if st, err := x.Statuses(t.Context(), []relaystream.Awaited{{Address: me, Key: "k1", Item: "i1"}}); err != nil || st[0] != (relaystream.Status{}) {
			t.Errorf("%s: status: %v, %v", name, len(st[0].Ack), err)
		}
		p, err := x.Put(t.Context(), me, []relaystream.Outgoing{out("i1", "k1", time.Now().UnixMilli())})
		if err != nil || !p.Discarded || p.Placed[0].ID == "" {
			t.Errorf("%s: put: %+v, %v", name, p, err)
		}
		if _, items := read(t, x, false); items != "i1" {
			t.Errorf("%s: read: %q", name, items)
		}
	}
}

// Pending entries of nobody, by their times or by their number, keep out no others.
func TestPendingOfNobody(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t).Open()
	x := relaystream.New(s)
	now := time.Now()
	fill := func(n int, at time.Time) {
		do(t, s, func(ctx context.Context, c driver.UniversalClient) error {
			_, err := c.Pipelined(ctx, func(q driver.Pipeliner) error {
				q.Del(ctx, "resp:heal:relay:pending:{"+me+"}")
				for i := range n {
					q.HSet(ctx, "resp:heal:relay:pending:{"+me+"}", "x"+strconv.Itoa(i), "y "+strconv.FormatInt(at.UnixMilli(), 10))
				}
				return nil
			})
			return err
		})
	}
	fill(relaystream.MaxPending, now)
	if p := put(t, x, out("i1", "k1", now.UnixMilli())); !p[0].Full {
		t.Errorf("500 that may be another's: %+v", p)
	}
	for _, at := range []time.Time{now.Add(-time.Hour), now.Add(time.Hour)} {
		fill(relaystream.MaxPending, at)
		if p := put(t, x, out("i1", "k1", now.UnixMilli())); p[0].ID == "" {
			t.Errorf("500 of %s: %+v", at, p)
		}
	}
	fill(1, now)
	if p := put(t, x, out("i1", "x0", now.UnixMilli())); p[0].ID == "" {
		t.Errorf("an item that no exporter makes: %+v", p)
	}
	fill(relaystream.MaxPending+1, now)
	if p, err := x.Put(t.Context(), me, []relaystream.Outgoing{out("i2", "k2", now.UnixMilli())}); err != nil || !p.Discarded || p.Placed[0].ID == "" {
		t.Errorf("501: %+v, %v", p, err)
	}
}
