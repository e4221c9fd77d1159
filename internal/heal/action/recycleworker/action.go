// Package recycleworker is the action recycle_worker: it ends one worker of gunicorn
// or uWSGI, so that its master starts a new one.
package recycleworker

import (
	"context"
	"fmt"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/proc"
)

const (
	// leastWorkers must be alive, whatever the settings say: one works on.
	leastWorkers = 2
	// gracefulTimeout is how long a worker is given to end by itself, where the
	// command line does not say (--graceful-timeout, --worker-reload-mercy).
	gracefulTimeout = 30 * time.Second
	// afterGrace is given on top of it, before a stuck worker is ended hard.
	afterGrace = 5 * time.Second
	// hardStep is between two steps of that.
	hardStep = 5 * time.Second
	// settled is how long a new worker must have lived, and its master with it:
	// gunicorn's master gives up seconds after a worker that does not boot.
	settled = 5 * time.Second
	// leastGain is how much smaller the new worker must be than the largest was.
	leastGain = 0.05
)

// Deps are what [New] needs of others.
type Deps struct {
	Processes process.Processes
	// Leaks returns the leaked connections of an app's workers by their slot. nil,
	// or an error: nobody knows.
	Leaks    func(ctx context.Context, app string) (map[int]int, error)
	ProcRoot string // "/proc"; where it is mounted
}

// Action is the action recycle_worker: it lets one worker of gunicorn or uWSGI
// finish its requests and end, so that its master starts a new one. It never
// touches a master.
type Action struct {
	d Deps
	c config.Recycle
}

// New returns the action with these settings.
func New(d Deps, c config.Recycle) *Action { return &Action{d: d, c: c} }

// Target implements [action.Action].
func (r *Action) Target(a action.Alert) string {
	return "app:" + action.TargetName(a, "app", r.c.App) + "/workers"
}

// recycling is what a plan keeps for Apply.
type recycling struct {
	app            string
	server         proc.Server
	slot           int
	worker, master proc.Identity
	grace          time.Duration
	imports        bool // the app is imported before
}

// pick is a worker with the number for which it was chosen.
type pick struct {
	worker proc.Worker
	value  float64 // bytes, leaked connections or seconds
	of     string  // what the value is: "rss", "pss", "leaked" or "stuck"
}

// String says why a worker was chosen.
func (p pick) String() string {
	switch p.of {
	case "leaked":
		return fmt.Sprintf("which has leaked %.0f connections", p.value)
	case "stuck":
		return fmt.Sprintf("which is stuck for %.0f s", p.value)
	}
	return fmt.Sprintf("the largest with %.0f MiB", p.value/(1<<20))
}

// appIn finds an app that runs or ran.
func appIn(snap *proc.Snapshot, name string) *proc.App {
	for i := range snap.Apps {
		if snap.Apps[i].Name == name && name != "" {
			return &snap.Apps[i]
		}
	}
	return nil
}
