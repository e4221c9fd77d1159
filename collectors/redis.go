package collectors

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

var (
	redisInfoFamily      = gauge("redis_info", "Version, mode (standalone, sentinel, cluster) and role (master, slave) of the server; the value is 1.", "redis", "version", "mode", "role")
	redisPingFamily      = gauge("redis_ping_seconds", "Round-trip time of a ping to the server; for a cluster, the longest of its masters.", "redis")
	redisHitsFamily      = counter("redis_keyspace_hits_total", "Key lookups that found the key.", "redis")
	redisMissesFamily    = counter("redis_keyspace_misses_total", "Key lookups that did not find the key.", "redis")
	redisEvictedFamily   = counter("redis_evicted_keys_total", "Keys evicted because memory had reached maxmemory.", "redis")
	redisExpiredFamily   = counter("redis_expired_keys_total", "Keys removed because their time to live was over.", "redis")
	redisCommandsFamily  = counter("redis_commands_total", "Commands processed, of all clients.", "redis")
	redisRejectedFamily  = counter("redis_rejected_connections_total", "Connections refused because maxclients were open.", "redis")
	redisReceivedFamily  = counter("redis_received_bytes_total", "Bytes received from clients.", "redis")
	redisSentFamily      = counter("redis_sent_bytes_total", "Bytes sent to clients.", "redis")
	redisMemoryFamily    = gauge("redis_memory_bytes", "Memory used by the server's data and buffers.", "redis")
	redisMaxMemoryFamily = gauge("redis_maxmemory_bytes", "Memory limit of the server (maxmemory); absent if there is no limit.", "redis")
	redisClientsFamily   = gauge("redis_connected_clients", "Client connections, including the exporter's own.", "redis")
	redisCacheFamily     = gauge("redis_cache", "Whether the server is a cache, for which the hit rate is evaluated (1), or also holds other data such as sessions and tasks (0).", "redis")
	redisBlockedFamily   = gauge("redis_blocked_clients", "Clients that are blocked in a command such as BLPOP.", "redis")
)

// redisTimeout is the timeout of one read of a server, whatever the deadline of the
// scrape: for an app, a Redis that takes longer is down.
const redisTimeout = 1500 * time.Millisecond

// RedisOptions have what identifies the workers at a server's connections.
type RedisOptions struct {
	Apps        Apps
	Connections Connections
	// Process reads the process of a server on this host, see [conns.ReadServer]; nil: whose
	// command keeps others waiting is not known before it has ended.
	Process func(ctx context.Context, pid int, at string) (conns.ServerProcess, error)
}

// Redis is the collector "redis": the state of Redis servers.
type Redis struct {
	targets func() []RedisTarget
	o       RedisOptions

	mu      sync.Mutex
	lookups map[string]*lookups      // by name, of those in the configuration
	watches map[string]*redisClients // the same
	dropped int                      // waits over the bound, since the start
	leftOut int                      // databases over the bound, of all reads

	databases map[string][]int // those that have or had keys, by name of the server
}

// lookups is the hits and misses of one server over the last minutes.
type lookups struct {
	hits, misses         window
	lastHits, lastMisses float64
	total                float64 // lookups in the window at the last reading
}

// NewRedis returns the collector "redis". It calls targets for the servers of each
// scrape.
func NewRedis(targets func() []RedisTarget, o RedisOptions) *Redis {
	return &Redis{targets: targets, o: o, lookups: make(map[string]*lookups), watches: make(map[string]*redisClients)}
}

// Name implements [Collector].
func (*Redis) Name() string { return "redis" }

// Descs implements [Collector].
func (*Redis) Descs() []*prometheus.Desc {
	return descs(upFamily, redisInfoFamily, redisPingFamily, redisHitsFamily, redisMissesFamily, redisEvictedFamily, redisExpiredFamily, redisCommandsFamily, redisRejectedFamily,
		redisReceivedFamily, redisSentFamily, redisKeysFamily, redisExpiringFamily, redisMemoryFamily,
		redisMaxMemoryFamily, redisClientsFamily, redisBlockedFamily, redisCacheFamily, seriesDropped)
}

// Collect implements [Collector]. Of a server that does not answer there is only resp_up,
// 0. The lacks are in the order of the configuration, so the reason of the collector is
// that of the first server with one.
func (c *Redis) Collect(ctx context.Context) (Sample, error) {
	targets := c.targets()
	reads := make([]redisRead, len(targets))
	watches := c.clientsOf(targets)
	snap := c.snapshot(ctx, len(targets))
	for i, t := range targets {
		reads[i].RedisTarget, reads[i].server = t, model.RedisServer{Name: t.Name, Stateful: t.Stateful}
		reads[i].process, reads[i].workersWait = c.o.Process, workersWaitFor(snap, t.Name)
	}
	eachServer(ctx, len(reads), func(ctx context.Context, i int) {
		short, cancel := context.WithTimeout(ctx, redisTimeout)
		defer cancel()
		reads[i].readServer(short)
		watches[i].look(ctx, &reads[i], time.Now())
	}, func(i int, err error) {
		l := &reads[i]
		l.Sample, l.server, l.clients = Sample{}, model.RedisServer{Name: l.Name, Stateful: l.Stateful}, redisLook{}
		l.add(upFamily, 0, "redis:"+l.Name)
		l.err = lackOf("redis", l.Name, err)
	})
	var s Sample
	var errs []error
	for i := range reads {
		s.Metrics = append(s.Metrics, reads[i].Metrics...)
		errs = append(append(errs, reads[i].err), reads[i].clients.lacks...)
	}
	c.setHitRatios(reads, time.Now())
	for i := range reads {
		s.State.Redis = append(s.State.Redis, reads[i].server)
	}
	c.addKeys(&s, reads)
	c.addClients(&s, reads, snap)
	return s, errors.Join(errs...)
}

// setHitRatios sets in the state the hit ratio of the last five minutes, from 0 to 1, of
// each server that had lookups.
func (c *Redis) setHitRatios(reads []redisRead, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := make(map[string]*lookups, len(reads))
	for i := range reads {
		name, info := reads[i].Name, reads[i].info
		past := c.lookups[name]
		if past == nil {
			past = &lookups{}
		}
		known[name] = past
		if info.Hits == nil || info.Misses == nil {
			continue
		}
		if ratio, ok := past.addReading(now, *info.Hits, *info.Misses); ok {
			reads[i].server.HitRatio, reads[i].server.Lookups = model.Known(ratio), model.Known(past.total)
		}
	}
	c.lookups = known
}

// addReading adds a reading of the counters and returns the hit ratio of the last five
// minutes, or since the first reading if that is newer, from 0 to 1; false at the first
// reading or without lookups in that time. A counter that went back begins a new window, as
// after a restart of the server.
func (l *lookups) addReading(now time.Time, hits, misses float64) (float64, bool) {
	if hits < l.lastHits || misses < l.lastMisses {
		*l = lookups{}
	}
	l.lastHits, l.lastMisses = hits, misses
	found, _ := l.hits.growth(now, hits)
	missed, _ := l.misses.growth(now, misses)
	l.hits.add(now, hits)
	l.misses.add(now, misses)
	l.total = found + missed
	if found+missed == 0 {
		return 0, false
	}
	return found / (found + missed), true
}
