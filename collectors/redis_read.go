package collectors

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// RedisTarget is one server, or one cluster, of the configuration.
type RedisTarget struct {
	Name     string
	Server   RedisServer
	Stateful bool // it is no cache: its hit ratio gets no level
}

// redisRead is one read of one server.
type redisRead struct {
	RedisTarget
	Sample
	server model.RedisServer
	info   redis.Info
	err    error

	process func(ctx context.Context, pid int, at string) (conns.ServerProcess, error)

	began       time.Time
	took        time.Duration // of the ping
	failure     error         // why the server did not answer; nil: it did
	workersWait bool          // a worker has waited for it for a second
	clients     redisLook
}

// readServer reads the server and sets l's metrics and state. A server that refuses
// single commands is up: only what these commands return is missing, and l.err says why.
func (l *redisRead) readServer(ctx context.Context) {
	l.began = time.Now()
	took, err := l.Server.Ping(ctx)
	up := 0.0
	if err == nil || took > 0 {
		refused := err
		if l.info, err = l.Server.Info(ctx); answered(err) {
			up = 1
		}
		err = cmp.Or(err, refused)
	}
	l.took, l.failure = took, err
	l.err = l.lackFor(err)
	l.add(upFamily, up, "redis:"+l.Name)
	if up == 0 {
		return
	}
	l.server.Up = true
	l.set(&l.server.Ping, redisPingFamily, took.Seconds(), l.Name)
	if l.info != (redis.Info{}) {
		l.publish()
	}
}

// answered reports whether a server has answered, by the error of a command: nil, or an
// error that shows an answer, such as a refusal.
func answered(err error) bool {
	var e *redis.Error
	return err == nil || errors.As(err, &e) && (e.Answered || e.Reason == reason.Permission)
}

// lackFor returns an error of this server as [redisLack] does.
func (l *redisRead) lackFor(err error) error { return redisLack(l.Name, err) }

// redisLack returns an error of a Redis server as an [Unavailable] with the server's
// name; any other error, and nil, as it is.
func redisLack(name string, err error) error {
	var e *redis.Error
	if !errors.As(err, &e) || e == nil {
		return err
	}
	return &Unavailable{Reason: e.Reason, Detail: "redis " + name + " " + e.Detail, Short: e.Detail, Remedy: e.Remedy, Of: "redis:" + name}
}

// publish adds the series and the state of a server that has reported its INFO.
func (l *redisRead) publish() {
	cache := 1.0
	if l.Stateful {
		cache = 0
	}
	l.add(redisCacheFamily, cache, l.Name)
	l.server.Informed, l.server.Version, l.server.Mode, l.server.Role = true, l.info.Version, l.info.Mode, l.info.Role
	l.add(redisInfoFamily, 1, l.Name, l.info.Version, l.info.Mode, l.info.Role)
	var counted *float64 // metrics only
	for _, n := range []struct {
		f      *family
		v      *float64
		number **float64
	}{
		{redisHitsFamily, l.info.Hits, &counted}, {redisMissesFamily, l.info.Misses, &counted}, {redisEvictedFamily, l.info.Evicted, &counted},
		{redisExpiredFamily, l.info.Expired, &counted}, {redisCommandsFamily, l.info.Commands, &counted}, {redisRejectedFamily, l.info.Rejected, &counted},
		{redisReceivedFamily, l.info.Received, &counted}, {redisSentFamily, l.info.Sent, &counted},
		{redisMemoryFamily, l.info.Memory, &l.server.Memory}, {redisMaxMemoryFamily, l.info.MaxMemory, &l.server.MaxMemory},
		{redisClientsFamily, l.info.Clients, &l.server.Clients}, {redisBlockedFamily, l.info.Blocked, &l.server.Blocked},
	} {
		if n.v != nil {
			l.set(n.number, n.f, *n.v, l.Name)
		}
	}
}
