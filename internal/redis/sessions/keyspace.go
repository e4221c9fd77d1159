package sessions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// keyspace is what a [Scanner] needs of a server, one short read at a time.
type keyspace interface {
	// nodes lists who holds the keys: the server, or each master of a cluster.
	nodes(ctx context.Context) ([]node, error)
	// ping returns the time of one round trip to a node.
	ping(ctx context.Context, addr string) (time.Duration, error)
	// scan returns some of a node's keys, and where the next ones begin.
	scan(ctx context.Context, addr string, cursor uint64, match string, count int) (page, error)
	// ask queries some keys in one round trip.
	ask(ctx context.Context, addr string, qs []keyQuery) (keyInfos, error)
}

// node is one process that holds keys.
type node struct {
	addr string
	id   string       // another one after each start (run_id of INFO); without INFO another one with each connection
	keys float64      // in the database that is scanned; 0 also where that is not known
	lack *redis.Error // why neither is known; nil: they are
}

// page is the reply of SCAN.
type page struct {
	keys []string
	next uint64 // 0: that was the last page
	took time.Duration
}

// keyQuery is what to read about one key.
type keyQuery struct {
	key            string
	expiry, memory bool
}

// keyInfo is what a server reports about one key.
type keyInfo struct {
	ttl   int64 // seconds, or one of the four below
	bytes int64 // negative: not known
}

// The values of [answer.ttl] that are no time; the first two are Redis' own.
const (
	ttlNone    = -1 // it has no expiry
	ttlGone    = -2 // it is no longer there
	ttlUnasked = -3
	ttlMoved   = -4 // another node of the cluster has it now
)

// keyInfos are in the order of the queries.
type keyInfos struct {
	of             []keyInfo
	took           time.Duration
	expiry, memory *redis.Error // why there is no answer; nil: there is one
}

// serverKeyspace is the keyspace of a [redis.Server]. It shares the server's
// connections: a round trip holds one of the two for less than a millisecond,
// so that a scrape always finds the other one free. Login, backoff and limits
// on replies are the server's.
type serverKeyspace struct {
	server *redis.Server

	link    *redis.Link // that the clients are of
	dials   int64       // of that link, when the nodes were listed
	clients map[string]*driver.Client
}

// nodes returns the nodes of the server, sorted by address; with an error those that were
// read.
func (r *serverKeyspace) nodes(ctx context.Context) ([]node, error) {
	var list []node
	err := r.server.InBackground(ctx, func(ctx context.Context, l *redis.Link) error {
		var mu sync.Mutex
		clients := make(map[string]*driver.Client)
		err := l.Each(ctx, func(ctx context.Context, c *driver.Client) error {
			n, err := r.identify(ctx, l, c)
			mu.Lock()
			defer mu.Unlock()
			list, clients[n.addr] = append(list, n), c
			return err
		})
		r.link, r.dials, r.clients = l, l.Dials(), clients
		return err
	})
	slices.SortFunc(list, func(a, b node) int { return strings.Compare(a.addr, b.addr) })
	return list, err
}

// identify returns which process a node is, and how many keys it has, by two sections of
// INFO, in two commands because old servers accept one section only. If the server
// refuses INFO, that is no error: lack is set, keys is 0 and id is of the connection; the
// node can still be scanned.
func (r *serverKeyspace) identify(ctx context.Context, l *redis.Link, c *driver.Client) (node, error) {
	pipe := c.Pipeline()
	server, keys := pipe.Info(ctx, "server"), pipe.Info(ctx, "keyspace")
	_, err := pipe.Exec(ctx)
	n := node{addr: c.Options().Addr}
	if redis.RefusesCommand(err) {
		n.lack = redis.ReplyFault(err.Error())
		n.id = fmt.Sprintf("%p %d", l, l.Dials())
		return n, nil
	}
	n.id, n.keys = parseKeyspace(server.Val()+"\n"+keys.Val(), r.server.DB())
	return n, err
}

// parseKeyspace returns which process this is (run_id, at most 64 bytes of it), and how
// many keys its database db has, by the sections server and keyspace of INFO; "" and 0 if
// they do not say.
func parseKeyspace(reply string, db int) (id string, keys float64) {
	prefix := "db" + strconv.Itoa(db) + ":keys="
	for line := range strings.Lines(reply) {
		line = strings.TrimRight(line, "\r\n")
		if s, ok := strings.CutPrefix(line, "run_id:"); ok {
			id = s[:min(len(s), maxRunID)]
		}
		if s, ok := strings.CutPrefix(line, prefix); ok {
			s, _, _ = strings.Cut(s, ",")
			if n := redis.Number(s); n != nil {
				keys = *n
			}
		}
	}
	return id, keys
}

// maxRunID bounds what is kept of a run_id, in bytes; Redis' have 40.
const maxRunID = 64

// on calls f with the client of one node and returns the time that f took.
// [redis.ErrStale]: the connection is no longer the one on which the nodes were listed,
// to which alone a cursor means something.
func (r *serverKeyspace) on(ctx context.Context, addr string, f func(context.Context, *driver.Client) error) (time.Duration, error) {
	var took time.Duration
	err := r.server.InBackground(ctx, func(ctx context.Context, l *redis.Link) error {
		c := r.clients[addr]
		if l != r.link || l.Dials() != r.dials || c == nil {
			return redis.ErrStale
		}
		began := time.Now()
		err := f(ctx, c)
		took = time.Since(began)
		if err == nil && l.Dials() != r.dials {
			return redis.ErrStale // perhaps to another process, to which the cursor means nothing
		}
		return err
	})
	return took, err
}

// ping returns how long a ping of a node takes; a refusal of PING alone counts as its
// answer.
func (r *serverKeyspace) ping(ctx context.Context, addr string) (time.Duration, error) {
	return r.on(ctx, addr, func(ctx context.Context, c *driver.Client) error { return r.link.PingError(c.Ping(ctx).Err()) })
}

// scan returns one page of a node's keys, with how long it took.
func (r *serverKeyspace) scan(ctx context.Context, addr string, cursor uint64, match string, count int) (page, error) {
	var p page
	took, err := r.on(ctx, addr, func(ctx context.Context, c *driver.Client) (err error) {
		p.keys, p.next, err = c.Scan(ctx, cursor, match, int64(count)).Result()
		return err
	})
	p.took = took
	return p, err
}

// memorySamples is how many elements of a hash or list MEMORY USAGE measures.
const memorySamples = 5

// ask returns the expiry and the size of keys, in the order of qs, as far as they are
// requested, with how long it took. A refusal is in expiry or memory of the result, and
// no error.
func (r *serverKeyspace) ask(ctx context.Context, addr string, qs []keyQuery) (keyInfos, error) {
	a := keyInfos{of: make([]keyInfo, len(qs))}
	took, err := r.on(ctx, addr, func(ctx context.Context, c *driver.Client) error {
		pipe := c.Pipeline()
		ttls, sizes := make([]*driver.IntCmd, len(qs)), make([]*driver.IntCmd, len(qs))
		for i, q := range qs {
			if q.expiry {
				ttls[i] = driver.NewIntCmd(ctx, "ttl", q.key)
				_ = pipe.Process(ctx, ttls[i])
			}
			if q.memory {
				sizes[i] = pipe.MemoryUsage(ctx, q.key, memorySamples)
			}
		}
		if _, err := pipe.Exec(ctx); !redis.IsReply(err) {
			return err
		}
		for i := range qs {
			a.of[i] = keyInfo{ttl: a.ttl(ttls[i]), bytes: a.size(sizes[i])}
		}
		return nil
	})
	a.took = took
	return a, err
}

// ttl returns the seconds until a key expires as TTL returns them: ttlMoved if another node
// has it, ttlUnasked without a command or after an error, which it stores.
func (a *keyInfos) ttl(cmd *driver.IntCmd) int64 {
	if cmd == nil {
		return ttlUnasked
	}
	switch err := cmd.Err(); {
	case err == nil:
		return max(cmd.Val(), ttlGone)
	case isMoved(err):
		return ttlMoved
	default:
		a.expiry = keyFault(err)
		return ttlUnasked
	}
}

// size returns the bytes of a key: -1 if it is gone or moved to another node, without a
// command, or after an error, which it stores.
func (a *keyInfos) size(cmd *driver.IntCmd) int64 {
	if cmd == nil {
		return -1
	}
	switch err := cmd.Err(); {
	case err == nil:
		return cmd.Val()
	case errors.Is(err, driver.Nil), isMoved(err): // it is gone
		return -1
	default:
		a.memory = keyFault(err)
		return -1
	}
}

// keyFault returns the [redis.Error] for a refused read of a key, with a remedy if a
// right is missing.
func keyFault(err error) *redis.Error {
	if text := err.Error(); strings.HasPrefix(text, "NOPERM") && strings.Contains(text, "access") {
		return &redis.Error{
			Reason: reason.Permission, Detail: "does not let the exporter's user read the keys of sessions: ACL SETUSER <user> %R~<prefix>*, before Redis 7 ~<prefix>*",
			Remedy: "ACL SETUSER " + redis.Placeholder + " %R~<prefix>*",
		}
	}
	return redis.FaultOf(err)
}

// isMoved reports whether an error reply says that a key went to another node of the
// cluster.
func isMoved(err error) bool {
	code, _, _ := strings.Cut(err.Error(), " ")
	return code == "MOVED" || code == "ASK" || code == "TRYAGAIN"
}
