package app

import (
	"context"
	"log/slog"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// Walks are the walks of an app, over servers of their own.
type Walks struct {
	servers *redisServers
	w       *walks
}

// NewWalks has no server yet.
func NewWalks(off bool) *Walks {
	r := newRedisServers(slog.New(slog.DiscardHandler))
	return &Walks{r, newWalks(r.server, off, slog.New(slog.DiscardHandler))}
}

// Apply takes a configuration.
func (w *Walks) Apply(cfg config.Config) {
	w.servers.apply(&cfg)
	w.w.apply(cfg)
}

// Run runs the walks.
func (w *Walks) Run(ctx context.Context) error { return w.w.Run(ctx) }

// Targets are what the collector sees.
func (w *Walks) Targets() []collectors.SessionTarget { return w.w.targets() }

// Walker returns the walker of a Redis; nil if there is none.
func (w *Walks) Walker(name string) *redis.Walker {
	w.w.mu.Lock()
	defer w.w.mu.Unlock()
	for _, x := range w.w.want {
		if x.name == name {
			return x.walker
		}
	}
	return nil
}
