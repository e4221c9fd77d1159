// Package fleetleases are the leases of healing on the Redis of the configuration in force.
package fleetleases

import (
	"context"
	"errors"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/leases"
)

// Of are the leases of one exporter on one server, which is looked up each time. Every
// method returns an error if the server is not configured.
type Of struct {
	Server func() *redis.Server // nil: it is not configured
	Me     string               // the exporter's name
}

var errNoServer = errors.New("the server is no longer in the configuration")

// on returns the leases on the server; errNoServer: it is not configured.
func (l Of) on() (*leases.Leases, error) {
	if s := l.Server(); s != nil {
		return leases.New(s, l.Me), nil
	}
	return nil, errNoServer
}

// Heartbeat implements [heal.Leases]. errNoServer: the server is not configured.
func (l Of) Heartbeat(ctx context.Context) error {
	on, err := l.on()
	if err != nil {
		return err
	}
	return on.Heartbeat(ctx)
}

// Request implements [heal.Leases]. errNoServer: the server is not configured.
func (l Of) Request(ctx context.Context, action string) (heal.Fleet, error) {
	on, err := l.on()
	if err != nil {
		return heal.Fleet{}, err
	}
	f, err := on.Request(ctx, action)
	return fleetOf(f), err
}

// Acquire implements [heal.Leases]. errNoServer: the server is not configured.
func (l Of) Acquire(ctx context.Context, want heal.Lease) (bool, heal.Fleet, error) {
	on, err := l.on()
	if err != nil {
		return false, heal.Fleet{}, err
	}
	held, f, err := on.Acquire(ctx, want.Action, want.Key, want.Run, want.For)
	return held, fleetOf(f), err
}

// Release implements [heal.Leases]. errNoServer: the server is not configured.
func (l Of) Release(ctx context.Context, lease heal.Lease) error {
	on, err := l.on()
	if err != nil {
		return err
	}
	return on.Release(ctx, lease.Action, lease.Key, lease.Run)
}

// Hold implements [heal.Leases]. errNoServer: the server is not configured.
func (l Of) Hold(ctx context.Context, d time.Duration) error {
	on, err := l.on()
	if err != nil {
		return err
	}
	return on.Hold(ctx, d)
}

// Failures implements [heal.Leases]. errNoServer: the server is not configured.
func (l Of) Failures(ctx context.Context, action, cause string) (int, error) {
	on, err := l.on()
	if err != nil {
		return 0, err
	}
	return on.Failures(ctx, action, cause)
}

// Learn implements [heal.Leases]. errNoServer: the server is not configured.
func (l Of) Learn(ctx context.Context, action, cause string, helped bool) error {
	on, err := l.on()
	if err != nil {
		return err
	}
	return on.Learn(ctx, action, cause, helped)
}

func fleetOf(f leases.Fleet) heal.Fleet {
	return heal.Fleet{Members: f.Members, Firing: f.Requested, Repairing: f.Repairing, Storm: f.Storm}
}
