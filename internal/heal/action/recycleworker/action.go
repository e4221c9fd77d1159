// Package recycleworker is the action recycle_worker: it ends one worker of gunicorn
// or uWSGI, so that its master starts a new one.
package recycleworker

import (
	"context"
	"fmt"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/heal/workers"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

const (
	// minWorkers must be alive, whatever the settings are, so that one remains.
	minWorkers = 2
	// gracefulTimeout is how long a worker may take to end after SIGTERM, unless the command
	// line sets it (--graceful-timeout, --worker-reload-mercy).
	gracefulTimeout = 30 * time.Second
	// graceMargin is added to it before a stuck worker is killed.
	graceMargin = 5 * time.Second
	// terminateStep is between two signals that kill.
	terminateStep = 5 * time.Second
	// minGain is the fraction by which the new worker must be smaller than the largest was.
	minGain = 0.05
)

// Deps are the dependencies of the action.
type Deps struct {
	Processes process.Snapshotter
	// Leaks returns the leaked connections of an app's workers by their slot. nil,
	// or an error: unknown.
	Leaks func(ctx context.Context, app string) (map[int]int, error)
	// Memory returns the memory that a worker loses, in bytes a second; false: it is not
	// suspected of a leak. nil: unknown.
	Memory func(app string, slot, pid int) (float64, bool)
	// Recycling is called with the pid of a worker right before it is told to end; nil:
	// none.
	Recycling func(pid int)
	// Victims reads which workers only wait because of a fault elsewhere. nil: none is known
	// to.
	Victims  func(ctx context.Context) Victims
	ProcRoot string // "/proc"; where it is mounted
}

// Victims are the workers that wait for somebody else, and those that they wait for.
type Victims = workers.Victims

// Action is the action recycle_worker: it lets one worker of gunicorn or uWSGI
// finish its requests and end, so that its master starts a new one. It never
// touches a master.
type Action struct {
	d Deps
	c config.Recycle
}

// New returns the action with these settings.
func New(d Deps, c config.Recycle) *Action { return &Action{d: d, c: c} }

// Target implements [action.Action]: "app:NAME/workers", with "?" for the name if neither
// the settings nor the alert have one.
func (r *Action) Target(a action.Alert) string {
	return "app:" + action.TargetName(a, "app", r.c.App) + "/workers"
}

// target is the private part of a plan.
type target struct {
	app            string
	server         cmdline.Server
	slot           int
	worker, master procid.Identity
	grace          time.Duration
	checkImport    bool // the app is imported before
}

// candidate is a worker with the number for which it was chosen.
type candidate struct {
	worker discovery.Worker
	value  float64 // bytes, leaked connections or seconds
	of     string  // what the value is: "rss", "pss", "leaked", "leaking" or "stuck"
}

// String returns why a worker was chosen, as the end of a sentence; that it is the largest if
// of is a kind of memory.
func (p candidate) String() string {
	switch p.of {
	case "leaked":
		return fmt.Sprintf("which has leaked %.0f connections", p.value)
	case "leaking":
		return fmt.Sprintf("which loses %.1f MiB of memory an hour", p.value*3600/(1<<20))
	case "stuck":
		return fmt.Sprintf("which has been stuck for %.0f s", p.value)
	}
	return fmt.Sprintf("the largest, with %.0f MiB", p.value/(1<<20))
}
