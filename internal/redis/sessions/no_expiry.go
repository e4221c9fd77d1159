package sessions

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

const (
	// minPrefix is how many characters keep an action apart from everything else
	// that a server holds.
	minPrefix = 4
	// noExpiryPage is how many keys are scanned and checked at once.
	noExpiryPage = 200
	// noExpiryBatch is how many keys are changed at once.
	noExpiryBatch = 100
	// After a trip the server is left alone for three times as long as it took, and
	// for these at least and at most.
	minRest = 500 * time.Microsecond
	maxRest = 100 * time.Millisecond
	// maxSlowRoundTrips in a row that take longer than slowRoundTrip end the scan.
	slowRoundTrip     = 100 * time.Millisecond
	maxSlowRoundTrips = 5
)

// Refusal is why the exporter does not touch keys although the server would
// allow it.
type Refusal struct{ Text string } // completes "redis cache …"

// Error implements error.
func (e *Refusal) Error() string { return e.Text }

// NoExpiryQuery selects keys: strings whose name begins with Prefix, without an
// expiry, neither read nor written for longer than MinIdle.
type NoExpiryQuery struct {
	Prefix  string         // as it is, not a pattern; 4 characters or more
	MinIdle time.Duration  // 1s or more; OBJECT IDLETIME reports whole seconds
	Budget  time.Duration  // how long the scan may take; 0: as long as its context
	Only    redis.ServerID // on this server and no other; "": on whichever answers

	// What [Store.CleanUpNoExpiry] does to them.
	MaxKeys int           // at most so many
	Grace   time.Duration // the expiry they get; 1s or more
	Remove  bool          // UNLINK them instead
}

// NoExpiryCount is the result of a scan. It holds no key.
type NoExpiryCount struct {
	Sessions int     // strings with the prefix
	Matching int     // of those, the ones that are meant
	Changed  int     // of those, the ones that were given an expiry or removed
	Coverage float64 // share of the server's keys that the scan has seen; 1: all
	Server   redis.ServerID
}

// Store is a Redis in which an app keeps sessions.
type Store struct{ server *redis.Server }

// NewStore returns the store of a server.
func NewStore(s *redis.Server) Store { return Store{s} }

// Keyspace calls [redis.Server.Keyspace].
func (s Store) Keyspace(ctx context.Context) (string, error) { return s.server.Keyspace(ctx) }

// CountNoExpiry returns how many keys there are and are selected, and changes nothing:
// SCAN, TTL and OBJECT IDLETIME, never a value. If Budget ends the scan, Coverage is
// below 1 and there is no error. Its error is a [Refusal] or an [redis.Error], returned
// with the counts until then.
func (s Store) CountNoExpiry(ctx context.Context, q NoExpiryQuery) (NoExpiryCount, error) {
	return s.scanNoExpiry(ctx, q, nil)
}

// CleanUpNoExpiry is [Store.CountNoExpiry], and sets an expiry on the selected keys (before
// Redis 7 also on one that got one a moment ago), or with Remove removes them (of a batch
// with a key that changes, none), at most MaxKeys. A [Refusal], too: MaxKeys below 1, Grace
// below 1 s.
func (s Store) CleanUpNoExpiry(ctx context.Context, q NoExpiryQuery) (NoExpiryCount, error) {
	if q.MaxKeys < 1 || q.Grace < time.Second {
		return NoExpiryCount{}, &Refusal{"was not changed: max_keys and a grace period of 1s or more are required"}
	}
	return s.scanNoExpiry(ctx, q, cleanUp)
}

// change changes keys as the query demands, and returns how many it changed.
type change func(ctx context.Context, w *noExpiryScan, n scannedNode, keys []string) (int, error)

// scanNoExpiry counts the sessions without an expiry, and changes them with f unless it
// is nil. It returns the counts, with an error those until then. A [*Refusal] says why it
// may not be done.
func (s Store) scanNoExpiry(ctx context.Context, q NoExpiryQuery, f change) (NoExpiryCount, error) {
	if refusal := q.refused(); refusal != nil {
		return NoExpiryCount{}, refusal
	}
	link, err := s.server.OpenLink()
	if err != nil {
		return NoExpiryCount{}, err
	}
	w := &noExpiryScan{NoExpiryQuery: q, link: link}
	defer func() { _ = w.link.Close() }()
	err = w.run(ctx, f)
	var refusal *Refusal
	switch {
	case err == nil:
		return w.NoExpiryCount, nil
	case errors.As(err, &refusal):
		return w.NoExpiryCount, refusal
	case strings.Contains(err.Error(), "LFU"): // the policy was changed under way
		return w.NoExpiryCount, &Refusal{noIdleTime}
	}
	fault := s.server.Classify(err, w.link)
	if fault.Reason == reason.Permission && strings.Contains(err.Error(), "NOPERM") {
		fault = &redis.Error{Reason: reason.Permission, Detail: "needs more rights for its user: see purge_sessions in docs/actions.md"}
	}
	return w.NoExpiryCount, fault
}

const noIdleTime = "does not report the idle time of keys: its maxmemory-policy is LFU"

// refused returns the error of an invalid query, before anything is read; nil if the
// query is valid.
func (q NoExpiryQuery) refused() *Refusal {
	switch {
	case utf8.RuneCountInString(q.Prefix) < minPrefix || strings.Trim(q.Prefix, `*?[]^-\`) == "":
		return &Refusal{"was not changed: the prefix of the sessions' keys must have 4 characters or more"}
	case q.MinIdle < time.Second:
		return &Refusal{"was not changed: min_idle must be 1s or more"}
	}
	return nil
}

// begin lists the nodes, compares the server with that of the plan and binds the scan to
// its connection. A [Refusal]: it is another server, or nothing may be changed on it.
func (w *noExpiryScan) begin(ctx context.Context) error {
	if err := w.list(ctx); err != nil {
		return err
	}
	if err := w.link.KeysError(); err != nil {
		return err
	}
	if err := w.identify(); err != nil {
		return err
	}
	w.link.Pin() // from here on no other connection: it might be to another server
	return nil
}

// run scans the nodes, one after the other, until MaxKeys are changed or the budget is
// spent, which is no error. Without f MaxKeys does not count; a budget of 0 is no limit.
func (w *noExpiryScan) run(ctx context.Context, f change) error {
	if err := w.begin(ctx); err != nil {
		return err
	}
	var end time.Time
	if w.Budget > 0 {
		end = time.Now().Add(w.Budget)
	}
	cursor := uint64(0)
	for w.at < len(w.nodes) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if w.MaxKeys > 0 && f != nil && w.Changed >= w.MaxKeys || !end.IsZero() && time.Now().After(end) {
			return nil
		}
		next, err := w.page(ctx, cursor, f)
		if err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			w.at++
		}
		w.updateCoverage()
	}
	w.Coverage = 1
	return nil
}

// updateCoverage sets the share of the keys that were scanned; it is 1 only if SCAN has
// returned the cursor 0.
func (w *noExpiryScan) updateCoverage() {
	all := 0.0
	for _, n := range w.nodes {
		all += n.keys
	}
	if all > 0 {
		w.Coverage = min(w.examined/all, 0.99)
	}
}

// page scans the next keys of a node, and calls f with the selected ones. It returns the
// cursor of the next page; 0 after the last one.
func (w *noExpiryScan) page(ctx context.Context, cursor uint64, f change) (next uint64, err error) {
	n := w.nodes[w.at]
	var keys []string
	err = w.roundTrip(ctx, func(ctx context.Context) (err error) {
		keys, next, err = n.client.ScanType(ctx, cursor, redis.KeyPattern(w.Prefix), noExpiryPage, "string").Result()
		return err
	})
	if err != nil {
		return 0, err
	}
	w.examined += noExpiryPage
	for len(keys) > 0 { // SCAN may give more than it was asked for
		some := keys[:min(len(keys), noExpiryBatch)]
		keys = keys[len(some):]
		if err := w.processBatch(ctx, n, some, f); err != nil {
			return 0, err
		}
	}
	return next, nil
}

// processBatch counts the sessions among keys, and those without an expiry that are idle
// for MinIdle, and changes these with f, MaxKeys at most in all, unless it is nil.
func (w *noExpiryScan) processBatch(ctx context.Context, n scannedNode, keys []string, f change) error {
	ours := make([]string, 0, len(keys))
	for _, key := range keys { // the server has matched them, and is not believed
		if strings.HasPrefix(key, w.Prefix) {
			ours = append(ours, key)
		}
	}
	w.Sessions += len(ours)
	var meant []string
	err := w.roundTrip(ctx, func(ctx context.Context) (err error) {
		meant, err = w.matching(ctx, n.client.Pipeline(), ours)
		return err
	})
	if err != nil {
		return err
	}
	w.Matching += len(meant)
	if f == nil || len(meant) == 0 {
		return nil
	}
	meant = meant[:min(len(meant), w.MaxKeys-w.Changed)]
	return w.roundTrip(ctx, func(ctx context.Context) error {
		changed, err := f(ctx, w, n, meant)
		w.Changed += changed
		return err
	})
}

// matching returns those of the keys, in their order, that have no expiry and are idle
// for MinIdle at least now, in one round trip. pipe may be one of a transaction.
func (w *noExpiryScan) matching(ctx context.Context, pipe driver.Pipeliner, keys []string) ([]string, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	ttls, idles := make([]*driver.IntCmd, len(keys)), make([]*driver.IntCmd, len(keys))
	for i, key := range keys {
		ttls[i], idles[i] = driver.NewIntCmd(ctx, "ttl", key), driver.NewIntCmd(ctx, "object", "idletime", key)
		_, _ = pipe.Process(ctx, ttls[i]), pipe.Process(ctx, idles[i])
	}
	if _, err := pipe.Exec(ctx); !redis.IsReply(err) {
		return nil, err
	}
	var out []string
	for i, key := range keys {
		for _, cmd := range []*driver.IntCmd{ttls[i], idles[i]} {
			if err := cmd.Err(); err != nil && !isElsewhere(err) {
				return nil, err
			}
		}
		// The server cuts to whole seconds, so that this is never too early.
		if ttls[i].Err() == nil && idles[i].Err() == nil && ttls[i].Val() == -1 && idles[i].Val() >= 1 &&
			time.Duration(min(idles[i].Val(), 1<<32))*time.Second >= w.MinIdle {
			out = append(out, key)
		}
	}
	return out, nil
}

// cleanUp removes the selected keys of one page of a scan if w.Remove is set, else sets
// their expiry. It returns how many keys it changed, with an error too; keys that have
// changed meanwhile are left.
func cleanUp(ctx context.Context, w *noExpiryScan, n scannedNode, keys []string) (int, error) {
	switch {
	case w.Remove && w.cluster: // keys of one WATCH must be of one slot
		changed := 0
		for _, key := range keys {
			n, err := w.remove(ctx, n, []string{key})
			if changed += n; err != nil {
				return changed, err
			}
		}
		return changed, nil
	case w.Remove:
		return w.remove(ctx, n, keys)
	default:
		return w.expire(ctx, n, keys)
	}
}

// expire sets the expiry of keys that have none, and returns how many were changed. Before
// Redis 7 that they are still selected is checked in the round trip before, so that an
// expiry set in between is replaced; from then on only that they have none.
func (w *noExpiryScan) expire(ctx context.Context, n scannedNode, keys []string) (changed int, err error) {
	command := func(pipe driver.Pipeliner, key string) *driver.BoolCmd { return pipe.ExpireNX(ctx, key, w.Grace) }
	if !n.nx {
		if keys, err = w.matching(ctx, n.client.Pipeline(), keys); err != nil {
			return 0, err
		}
		command = func(pipe driver.Pipeliner, key string) *driver.BoolCmd { return pipe.Expire(ctx, key, w.Grace) }
	}
	pipe := n.client.Pipeline()
	cmds := make([]*driver.BoolCmd, len(keys))
	for i, key := range keys {
		cmds[i] = command(pipe, key)
	}
	if _, err := pipe.Exec(ctx); !redis.IsReply(err) {
		return 0, err
	}
	for _, cmd := range cmds {
		switch err := cmd.Err(); {
		case err != nil && !isElsewhere(err):
			return changed, err
		case err == nil && cmd.Val():
			changed++
		}
	}
	return changed, nil
}

// remove removes all of the keys that are still selected, and returns how many. 0 and no
// error: none is selected any more, or one was changed or moved meanwhile, and none is
// removed.
func (w *noExpiryScan) remove(ctx context.Context, n scannedNode, keys []string) (changed int, err error) {
	var removed *driver.IntCmd
	err = n.client.Watch(ctx, func(tx *driver.Tx) error {
		still, err := w.matching(ctx, tx.Pipeline(), keys)
		if err != nil || len(still) == 0 {
			return err
		}
		_, err = tx.TxPipelined(ctx, func(pipe driver.Pipeliner) error {
			removed = pipe.Unlink(ctx, still...)
			return nil
		})
		return err
	}, keys...)
	switch {
	case errors.Is(err, driver.TxFailedErr), err != nil && isElsewhere(err):
		return 0, nil
	case err != nil || removed == nil:
		return 0, err
	default:
		return int(removed.Val()), nil
	}
}

// isElsewhere reports whether an error reply says that a key is gone, or moved to another
// node of the cluster.
func isElsewhere(err error) bool { return errors.Is(err, driver.Nil) || isMoved(err) }
