// Package scaleworkers is the action scale_workers: it lets gunicorn start one worker more
// while all of them are busy, and takes it back when that is over.
package scaleworkers

import (
	"context"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/heal/workers"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

const (
	// looks is how often the workers are looked at for a moment in which all are busy, with
	// lookPause between: a busy app has idle moments.
	looks     = 6
	lookPause = 400 * time.Millisecond
	// gracefulTimeout is how long a worker may take to end after it was told to, unless the
	// command line sets it (--graceful-timeout).
	gracefulTimeout = 30 * time.Second
	// settleTime is added to it before a number of workers is taken for somebody's wish.
	settleTime = 30 * time.Second
	// endTime is how long a worker that was told to end may take, with a long request.
	endTime = 10 * time.Minute
	// reloadTime is within which all workers start when the server is reloaded.
	reloadTime = time.Minute
)

// Deps are the dependencies of the action.
type Deps struct {
	Processes process.Snapshotter
	// Victims reads which workers only wait because of a fault elsewhere. nil: none is known
	// to.
	Victims  func(ctx context.Context) workers.Victims
	Groups   *cgroup.FS // the limits of memory
	ProcRoot string     // "/proc"; where it is mounted
}

// Action is the action scale_workers: it sends TTIN to the master of gunicorn, and TTOU
// when the worker is no longer needed. It never signals a worker.
type Action struct {
	d Deps
	c config.Scale
}

// New returns the action with these settings.
func New(d Deps, c config.Scale) *Action { return &Action{d: d, c: c} }

// Target implements [action.Action]: "app:NAME/workers", with "?" for the name if neither
// the settings nor the alert have one.
func (r *Action) Target(a action.Alert) string {
	return "app:" + action.TargetName(a, "app", r.c.App) + "/workers"
}

// target is the private part of a plan.
type target struct {
	app    string
	master procid.Identity
	worker procid.Identity // one of its workers, whose user the next one has
	number int             // of workers
	seen   []string        // all of them, as of identities
	check  bool            // the app is imported before
}

// load is how busy an app is at one moment.
type load struct {
	workers  int
	occupied int // workers without a thread for another request
	queue    int // connections that wait to be accepted
	known    bool
}

// loadOf returns how busy an app is: its workers that are busy or stuck, without spare ones,
// and the connections in the accept queues of its listeners, without those of an unknown
// queue. known is false if the states of the workers cannot be read.
func loadOf(app *discovery.App) load {
	l := load{workers: len(app.Workers), known: app.StateErr == nil}
	for _, w := range app.Workers {
		if (w.State == discovery.Busy || w.State == discovery.Stuck) && !w.Spare {
			l.occupied++
		}
	}
	for i := range app.Listeners {
		if x := &app.Listeners[i]; x.HasQueue {
			l.queue += int(x.Queue)
		}
	}
	return l
}

// saturated reports whether no worker is free, or clients wait although some may be. It
// is false without workers.
func (l load) saturated() bool { return l.workers > 0 && (l.occupied >= l.workers || l.queue > 0) }

// value returns a number that is the larger the busier the app is: the connections that
// wait, plus the share of occupied workers from 0 to 1; 0 without workers.
func (l load) value() float64 {
	if l.workers == 0 {
		return 0
	}
	return float64(l.queue) + float64(l.occupied)/float64(l.workers)
}
