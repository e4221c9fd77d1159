// Package leases is what several exporters agree on through one Redis: who of them
// lives, and who of them holds a lease.
package leases

import (
	"context"
	"errors"
	"strconv"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/redis"
)

const (
	// memberFor is how long an exporter counts that was not heard of.
	memberFor = time.Minute
	// askedFor is how long an exporter counts as asked for an action.
	askedFor = 5 * time.Minute
)

// Fleet counts the exporters that share a Redis.
type Fleet struct {
	Members   int // that were heard of within a minute
	Asked     int // of these, that were asked for the action within five minutes
	Repairing int // that hold a lease for it
}

// Leases is what exporters agree on, in keys below "resp:heal:". All clocks are
// that of the Redis. Its errors are an [redis.Error] each.
type Leases struct {
	s  *redis.Server
	me string
}

// New returns the leases of one exporter, named me among the others.
func New(s *redis.Server, me string) *Leases { return &Leases{s, me} }

// Beat says that this exporter lives.
func (l *Leases) Beat(ctx context.Context) error {
	return l.s.WithKeys(ctx, func(ctx context.Context, k *redis.Link) error {
		_, err := l.beat(ctx, k.Client())
		return err
	})
}

// Ask says that this exporter was asked for an action, and counts.
func (l *Leases) Ask(ctx context.Context, action string) (Fleet, error) {
	var f Fleet
	err := l.s.WithKeys(ctx, func(ctx context.Context, k *redis.Link) error {
		now, err := l.beat(ctx, k.Client())
		if err != nil {
			return err
		}
		asked := redis.HealPrefix + "asked:" + action
		if err := note(ctx, k.Client(), asked, l.me, now.Add(askedFor)); err != nil {
			return err
		}
		f, err = countFleet(ctx, k.Client(), action, now)
		return err
	})
	return f, err
}

// Take takes the lease of a key for a run, and counts with it. The lease ends by
// itself after ttl. Where another run has it, held is false and nothing is changed.
func (l *Leases) Take(ctx context.Context, action, key, run string, ttl time.Duration) (held bool, f Fleet, err error) {
	err = l.s.WithKeys(ctx, func(ctx context.Context, k *redis.Link) error {
		now, err := l.beat(ctx, k.Client())
		if err != nil {
			return err
		}
		held, err = k.Client().SetNX(ctx, leaseKey(key), run, ttl).Result()
		if err != nil || !held {
			return err
		}
		// First in, then counted: of two that come at once both may go away, but never are there too many.
		if err := note(ctx, k.Client(), redis.HealPrefix+"repairing:"+action, l.me+" "+run, now.Add(ttl)); err != nil {
			return err
		}
		f, err = countFleet(ctx, k.Client(), action, now)
		return err
	})
	return held, f, err
}

// Give returns a lease back; one that another run holds is left alone.
func (l *Leases) Give(ctx context.Context, action, key, run string) error {
	return l.s.WithKeys(ctx, func(ctx context.Context, k *redis.Link) error {
		err := k.Client().Watch(ctx, func(tx *driver.Tx) error {
			holder, err := tx.Get(ctx, leaseKey(key)).Result()
			if errors.Is(err, driver.Nil) || err == nil && holder != run {
				return nil
			}
			if err != nil {
				return err
			}
			_, err = tx.TxPipelined(ctx, func(p driver.Pipeliner) error { return p.Del(ctx, leaseKey(key)).Err() })
			if errors.Is(err, driver.TxFailedErr) { // it changed hands meanwhile
				return nil
			}
			return err
		}, leaseKey(key))
		if err != nil {
			return err
		}
		return k.Client().ZRem(ctx, redis.HealPrefix+"repairing:"+action, l.me+" "+run).Err()
	})
}

func leaseKey(key string) string { return redis.HealPrefix + "lease:" + key }

// beat notes this exporter as a member and returns the time of the Redis.
func (l *Leases) beat(ctx context.Context, c driver.UniversalClient) (time.Time, error) {
	now, err := c.Time(ctx).Result()
	if err != nil {
		return now, err
	}
	return now, note(ctx, c, redis.HealPrefix+"members", l.me, now.Add(memberFor))
}

// note puts a member with its end into a set, and lets the set itself end.
func note(ctx context.Context, c driver.UniversalClient, key, member string, until time.Time) error {
	if err := c.ZAdd(ctx, key, driver.Z{Score: float64(until.Unix()), Member: member}).Err(); err != nil {
		return err
	}
	return c.Expire(ctx, key, time.Hour).Err()
}

// countFleet counts what has not ended, and takes out what has.
func countFleet(ctx context.Context, c driver.UniversalClient, action string, now time.Time) (f Fleet, err error) {
	for _, x := range []struct {
		key string
		to  *int
	}{{"members", &f.Members}, {"asked:" + action, &f.Asked}, {"repairing:" + action, &f.Repairing}} {
		at := strconv.FormatInt(now.Unix(), 10)
		if err := c.ZRemRangeByScore(ctx, redis.HealPrefix+x.key, "-inf", "("+at).Err(); err != nil {
			return f, err
		}
		n, err := c.ZCount(ctx, redis.HealPrefix+x.key, at, "+inf").Result()
		if err != nil {
			return f, err
		}
		*x.to = int(n)
	}
	return f, nil
}
