package app

import (
	"context"
	"log/slog"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/redis/sessions"
)

// SessionScanners are the session scanners of an App, with their own Redis servers.
type SessionScanners struct {
	servers *redisServers
	w       *sessionScanners
}

// NewSessionScanners returns session scanners without a server.
func NewSessionScanners(off bool) *SessionScanners {
	r := newRedisServers(slog.New(slog.DiscardHandler))
	return &SessionScanners{r, newSessionScanners(r.server, off, slog.New(slog.DiscardHandler))}
}

// Apply sets the configuration of servers and scanners.
func (w *SessionScanners) Apply(cfg config.Config) {
	w.servers.apply(&cfg)
	w.w.apply(cfg)
}

// Run runs the scanners until ctx ends.
func (w *SessionScanners) Run(ctx context.Context) error { return w.w.Run(ctx) }

// Targets returns the targets that the collector reads.
func (w *SessionScanners) Targets() []collectors.SessionTarget { return w.w.targets() }

// Scanner returns the scanner of a Redis; nil if there is none.
func (w *SessionScanners) Scanner(name string) *sessions.Scanner {
	w.w.mu.Lock()
	defer w.w.mu.Unlock()
	for _, x := range w.w.want {
		if x.name == name {
			return x.scanner
		}
	}
	return nil
}
