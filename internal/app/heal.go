package app

import (
	"context"
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/redis/leases"
	"github.com/resp-exporter/resp-exporter/internal/webhook"
)

// fleetSettle is how long an exporter waits for requests of the others for the same
// action: Alertmanager does not send all groups at the same time.
const fleetSettle = 2 * time.Second

// healing is the part that acts: the runner, and what speaks to it.
type healing struct {
	runner *heal.Runner
	hook   *webhook.Webhook
}

func newHealing(a *parts) *healing {
	h := &healing{}
	h.runner = heal.New(heal.Options{
		StateDir: a.o.StateDir, Evidence: a.evidence, Settle: fleetSettle, Logger: a.log,
		Leases: func(server string) heal.Leases { return &serverLeases{a.redis, server, a.fleetName()} },
	})
	h.hook = webhook.New(webhook.Options{
		Runner: h.runner, RoutePrefix: a.o.RoutePrefix, Logger: a.log,
		TokenFile: func() string { return a.config.Load().Healing.TokenFile },
		Guard:     a.limits.hosts.Guard, GuardBrowsers: a.limits.hosts.GuardBrowsers,
	})
	return h
}

func (h *healing) register(mux *http.ServeMux) { h.hook.Register(mux) }

func (h *healing) stats() collectors.HealStats {
	s := h.hook.Stats()
	return collectors.HealStats{Actions: h.runner.Stats(), Requests: s.Requests, Truncated: s.Truncated}
}

// fleetName returns how the other exporters know this one.
func (a *parts) fleetName() string {
	if id := a.config.Load().Healing.Identity.Value; id != "" {
		return id
	}
	if host, err := os.Hostname(); err == nil {
		return host
	}
	return "the exporter has no host name"
}

// serverLeases are those of one server of the section redis, looked up each time.
type serverLeases struct {
	servers *redisServers
	name    string
	me      string
}

var errNoServer = errors.New("the server is no longer in the configuration")

func (l *serverLeases) on() (*leases.Leases, error) {
	if s := l.servers.server(l.name); s != nil {
		return leases.New(s, l.me), nil
	}
	return nil, errNoServer
}

// Heartbeat implements [heal.Leases].
func (l *serverLeases) Heartbeat(ctx context.Context) error {
	on, err := l.on()
	if err != nil {
		return err
	}
	return on.Heartbeat(ctx)
}

// Request implements [heal.Leases].
func (l *serverLeases) Request(ctx context.Context, action string) (heal.Fleet, error) {
	on, err := l.on()
	if err != nil {
		return heal.Fleet{}, err
	}
	f, err := on.Request(ctx, action)
	return fleetOf(f), err
}

// Acquire implements [heal.Leases].
func (l *serverLeases) Acquire(ctx context.Context, want heal.Lease) (bool, heal.Fleet, error) {
	on, err := l.on()
	if err != nil {
		return false, heal.Fleet{}, err
	}
	held, f, err := on.Acquire(ctx, want.Action, want.Key, want.Run, want.For)
	return held, fleetOf(f), err
}

// Release implements [heal.Leases].
func (l *serverLeases) Release(ctx context.Context, lease heal.Lease) error {
	on, err := l.on()
	if err != nil {
		return err
	}
	return on.Release(ctx, lease.Action, lease.Key, lease.Run)
}

func fleetOf(f leases.Fleet) heal.Fleet {
	return heal.Fleet{Members: f.Members, Firing: f.Requested, Repairing: f.Repairing}
}
