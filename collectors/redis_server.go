package collectors

import (
	"context"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// RedisServer is the part of a Redis client that this collector uses.
type RedisServer interface {
	Ping(ctx context.Context) (time.Duration, error)
	Info(ctx context.Context) (redis.Info, error)
	Inspect(ctx context.Context, clients, slow bool) (redis.Inspection, error)
	Peer() string
}
