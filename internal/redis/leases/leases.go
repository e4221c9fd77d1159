// Package leases coordinates several exporters through one Redis: which of them are
// alive, which have requested an action, and which holds a lease.
package leases

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/redis"
)

const (
	// memberFor is how long an exporter counts as alive after its last heartbeat.
	memberFor = time.Minute
	// wholeAfter is how long exporters must have registered without a gap until the members
	// are all that live: more than the time between two heartbeats of one, 20 s.
	wholeAfter = 30 * time.Second
	// gapFor is the longest time without any heartbeat in which no member that lives expires.
	gapFor = memberFor - 20*time.Second
	// requestedFor is how long a request for an action counts.
	requestedFor = 5 * time.Minute
	// maxStorm is the longest that nothing may begin after a storm.
	maxStorm = 24 * time.Hour
	// failedFor is how long it is remembered that an action did not help.
	failedFor   = 7 * 24 * time.Hour
	maxFailures = 1000
)

// Fleet counts the exporters that share a Redis.
type Fleet struct {
	Members   int // with a heartbeat within a minute
	Requested int // that requested the action within five minutes
	Repairing int // that hold a lease for it
	// Storm is what is left of [Leases.Hold]; 0: nothing is.
	Storm time.Duration
}

// Leases are the shared keys below "resp:heal:". All times are of the clock of the
// Redis. Every error is a [redis.Error].
type Leases struct {
	s  *redis.Server
	me string
}

// New returns the leases of the exporter with the name me.
func New(s *redis.Server, me string) *Leases { return &Leases{s, me} }

// Heartbeat registers this exporter as alive for a minute, by the clock of the Redis.
func (l *Leases) Heartbeat(ctx context.Context) error {
	return l.s.WithKeys(ctx, func(ctx context.Context, k *redis.Link) error {
		_, err := l.heartbeat(ctx, k.Client())
		return err
	})
}

// Request registers that this exporter requests an action, and that it is alive. It
// returns the counts of the fleet, this exporter among them.
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

// Acquire acquires the lease of a key for a run, and returns the counts of the fleet with
// it. The lease expires after ttl. If a run has it already, be it this one, held is false,
// the fleet is zero and only this exporter's registration changes. With an error held may
// be true: then the lease was acquired.
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

// Release releases the lease of a key if the run holds it; nil too if it does not. The run
// is then no longer counted as repairing, whoever holds the lease.
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

// stormKey has until when nothing may begin, in Unix time in ms.
const stormKey = redis.HealPrefix + "storm"

// ErrNotWhole says that the list of members may lack some that are alive: the Redis has lost
// its data lately, or could not be reached.
var ErrNotWhole = errors.New("the fleet has registered for less than " + wholeAfter.String() + ", so some of it may be missing")

// errGoesOn says that another call of Hold began the time that was prolonged.
var errGoesOn = fmt.Errorf("a storm goes on already: %w", fs.ErrExist)

// Hold stops all exporters from beginning anything for a time, from now on. It does not
// shorten a stop that lasts longer. An error that wraps [fs.ErrExist] says that they were
// stopped already; it holds nevertheless. With [ErrNotWhole] nothing has changed.
func (l *Leases) Hold(ctx context.Context, d time.Duration) error {
	whole, goesOn := false, false
	err := l.s.WithKeys(ctx, func(ctx context.Context, k *redis.Link) error {
		now, err := k.Client().Time(ctx).Result()
		if err != nil {
			return err
		}
		since, err := number(ctx, k.Client(), registeredKey)
		if whole = since > 0 && now.Sub(time.UnixMilli(since)) >= wholeAfter; err != nil || !whole {
			return err
		}
		return change(ctx, k.Client(), stormKey, d, func(old int64) int64 {
			left := stormLeft(old, now)
			if goesOn = left > 0; left >= d {
				return old
			}
			return now.Add(d).UnixMilli()
		})
	})
	switch {
	case err != nil:
		return err
	case !whole:
		return ErrNotWhole
	case goesOn:
		return errGoesOn
	}
	return nil
}

// stormLeft returns for how long nothing may begin, by the value of [stormKey]. One that is
// farther ahead than any exporter sets it is nobody's: 0.
func stormLeft(ms int64, now time.Time) time.Duration {
	if left := time.UnixMilli(ms).Sub(now); left <= maxStorm {
		return max(0, left)
	}
	return 0
}

// number returns the number of a key, whoever wrote it; 0 if there is none, the key is of
// another type, or its text is no number of 64 bits.
func number(ctx context.Context, c driver.Cmdable, key string) (int64, error) {
	value, err := c.Get(ctx, key).Result()
	if err != nil && !errors.Is(err, driver.Nil) && !strings.HasPrefix(err.Error(), "WRONGTYPE ") {
		return 0, err
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, nil //nolint:nilerr // it is no exporter's
	}
	return n, nil
}

// change sets the number of a key to what f returns for the one that it has, for ttl. If
// that is the same, nothing changes. driver.TxFailedErr: others changed it three times
// meanwhile.
func change(ctx context.Context, c driver.UniversalClient, key string, ttl time.Duration, f func(int64) int64) (err error) {
	for range 3 { // others change it at the same time
		err = c.Watch(ctx, func(tx *driver.Tx) error {
			old, err := number(ctx, tx, key)
			if err != nil {
				return err
			}
			n := f(old)
			if n == old {
				return nil
			}
			_, err = tx.TxPipelined(ctx, func(p driver.Pipeliner) error { return p.Set(ctx, key, n, ttl).Err() })
			return err
		}, key)
		if !errors.Is(err, driver.TxFailedErr) {
			return err
		}
	}
	return err
}

// Failures returns how often in a row an action failed for a cause, on any exporter, at
// most 1,000; 0 once it has helped, and a week after the last failure.
func (l *Leases) Failures(ctx context.Context, action, cause string) (n int, err error) {
	err = l.s.WithKeys(ctx, func(ctx context.Context, k *redis.Link) error {
		value, err := number(ctx, k.Client(), failedKey(action, cause))
		n = count(value)
		return err
	})
	return n, err
}

// Learn records whether an action helped against a cause.
func (l *Leases) Learn(ctx context.Context, action, cause string, helped bool) error {
	key := failedKey(action, cause)
	return l.s.WithKeys(ctx, func(ctx context.Context, k *redis.Link) error {
		if helped {
			return k.Client().Del(ctx, key).Err()
		}
		return change(ctx, k.Client(), key, failedFor, func(n int64) int64 { return int64(min(count(n)+1, maxFailures)) })
	})
}

// count returns a number of failures; 0 for one below 0 or above 1,000, which no exporter
// writes.
func count(n int64) int {
	if n < 0 || n > maxFailures {
		return 0
	}
	return int(n)
}

// failedKey returns the key under which failures of an action with a cause are counted.
func failedKey(action, cause string) string {
	return redis.HealPrefix + "failed:" + action + "/" + cause
}

// requestPrefix begins the key of the requests for an action. Exporters of other
// versions in the same fleet read it.
const requestPrefix = "asked:"

// leaseKey returns the key of a lease.
func leaseKey(key string) string { return redis.HealPrefix + "lease:" + key }

// heartbeat registers this exporter as alive and returns the time of the Redis.
func (l *Leases) heartbeat(ctx context.Context, c driver.UniversalClient) (time.Time, error) {
	now, err := c.Time(ctx).Result()
	if err != nil {
		return now, err
	}
	if err := c.SetNX(ctx, registeredKey, now.UnixMilli(), gapFor).Err(); err != nil {
		return now, err
	}
	if err := c.Expire(ctx, registeredKey, gapFor).Err(); err != nil {
		return now, err
	}
	return now, add(ctx, c, redis.HealPrefix+"members", l.me, now.Add(memberFor))
}

// registeredKey has since when exporters have registered without a gap, in Unix time in ms.
const registeredKey = redis.HealPrefix + "registered"

// add adds a member to a sorted set, valid until a time, and sets the set to expire after
// an hour.
func add(ctx context.Context, c driver.UniversalClient, key, member string, until time.Time) error {
	if err := c.ZAdd(ctx, key, driver.Z{Score: float64(until.Unix()), Member: member}).Err(); err != nil {
		return err
	}
	return c.Expire(ctx, key, time.Hour).Err()
}

// countFleet removes the members of the sets that have expired, and returns the counts of
// the rest and what is left of the storm.
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
	until, err := number(ctx, c, stormKey)
	f.Storm = stormLeft(until, now)
	return f, err
}
