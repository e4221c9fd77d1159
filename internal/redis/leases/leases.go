// Package leases coordinates several exporters through one Redis: which of them are
// alive, which have requested an action, and which holds a lease.
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
	// memberFor is how long an exporter counts as alive after its last heartbeat.
	memberFor = time.Minute
	// requestedFor is how long a request for an action counts.
	requestedFor = 5 * time.Minute
)

// Fleet counts the exporters that share a Redis.
type Fleet struct {
	Members   int // with a heartbeat within a minute
	Requested int // that requested the action within five minutes
	Repairing int // that hold a lease for it
}

// Leases are the shared keys below "resp:heal:". All times are of the clock of the
// Redis. Every error is a [redis.Error].
type Leases struct {
	s  *redis.Server
	me string
}

// New returns the leases of the exporter with the name me.
func New(s *redis.Server, me string) *Leases { return &Leases{s, me} }

// Heartbeat registers this exporter as alive for a minute.
func (l *Leases) Heartbeat(ctx context.Context) error {
	return l.s.WithKeys(ctx, func(ctx context.Context, k *redis.Link) error {
		_, err := l.heartbeat(ctx, k.Client())
		return err
	})
}

// Request registers that this exporter requests an action, and returns the fleet.
func (l *Leases) Request(ctx context.Context, action string) (Fleet, error) {
	var f Fleet
	err := l.s.WithKeys(ctx, func(ctx context.Context, k *redis.Link) error {
		now, err := l.heartbeat(ctx, k.Client())
		if err != nil {
			return err
		}
		requests := redis.HealPrefix + requestPrefix + action
		if err := add(ctx, k.Client(), requests, l.me, now.Add(requestedFor)); err != nil {
			return err
		}
		f, err = countFleet(ctx, k.Client(), action, now)
		return err
	})
	return f, err
}

// Acquire acquires the lease of a key for a run, and returns the fleet with it. The
// lease expires after ttl. If another run has it, held is false and nothing changes.
func (l *Leases) Acquire(ctx context.Context, action, key, run string, ttl time.Duration) (held bool, f Fleet, err error) {
	err = l.s.WithKeys(ctx, func(ctx context.Context, k *redis.Link) error {
		now, err := l.heartbeat(ctx, k.Client())
		if err != nil {
			return err
		}
		held, err = k.Client().SetNX(ctx, leaseKey(key), run, ttl).Result()
		if err != nil || !held {
			return err
		}
		// It is added before it is counted: of two at once both may be refused, but never are both let through.
		if err := add(ctx, k.Client(), redis.HealPrefix+"repairing:"+action, l.me+" "+run, now.Add(ttl)); err != nil {
			return err
		}
		f, err = countFleet(ctx, k.Client(), action, now)
		return err
	})
	return held, f, err
}

// Release releases a lease if the run holds it.
func (l *Leases) Release(ctx context.Context, action, key, run string) error {
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
			if errors.Is(err, driver.TxFailedErr) { // another run has acquired it since
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

// requestPrefix begins the key of the requests for an action. Exporters of other
// versions in the same fleet read it.
const requestPrefix = "asked:"

func leaseKey(key string) string { return redis.HealPrefix + "lease:" + key }

// heartbeat registers this exporter as alive and returns the time of the Redis.
func (l *Leases) heartbeat(ctx context.Context, c driver.UniversalClient) (time.Time, error) {
	now, err := c.Time(ctx).Result()
	if err != nil {
		return now, err
	}
	return now, add(ctx, c, redis.HealPrefix+"members", l.me, now.Add(memberFor))
}

// add adds a member that counts until a time to a sorted set, and lets the set expire
// after an hour.
func add(ctx context.Context, c driver.UniversalClient, key, member string, until time.Time) error {
	if err := c.ZAdd(ctx, key, driver.Z{Score: float64(until.Unix()), Member: member}).Err(); err != nil {
		return err
	}
	return c.Expire(ctx, key, time.Hour).Err()
}

// countFleet removes the members of the sets that have expired and counts the rest.
func countFleet(ctx context.Context, c driver.UniversalClient, action string, now time.Time) (f Fleet, err error) {
	for _, x := range []struct {
		key string
		to  *int
	}{{"members", &f.Members}, {requestPrefix + action, &f.Requested}, {"repairing:" + action, &f.Repairing}} {
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
