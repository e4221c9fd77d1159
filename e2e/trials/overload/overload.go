// Package overload sends an app more requests than it can serve, with and without the
// action throttle, and measures what becomes of them.
package overload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"
)

const (
	workers  = 2
	threads  = 3
	mean     = 0.25 // seconds of a request
	target   = time.Second
	unloaded = 10 * time.Second       // in which the capacity is measured
	period   = 10 * time.Second       // of bursts
	looks    = 100 * time.Millisecond // between two looks at the control file
	follows  = time.Second            // until each worker has read it
	after    = 45 * time.Second       // within which a throttle must end after the overload
)

// Case is one kind of overload.
type Case struct {
	Name string
	// Load is the rate of requests, as a multiple of the one that the app can serve.
	Load float64
	// Bursts sends twice the load less a third of the capacity for ten seconds, and a third for the next ten.
	Bursts bool
	// Slow is the share of requests to the slow route.
	Slow float64
}

// Cases returns the cases of the trial.
func Cases() []Case {
	return []Case{
		{Name: "x3", Load: 3}, {Name: "x1.2", Load: 1.2}, {Name: "x2", Load: 2}, {Name: "x5", Load: 5},
		{Name: "bursts", Load: 2, Bursts: true}, {Name: "slow route", Load: 3, Slow: 0.03},
	}
}

// rate returns the rate at a time since the beginning, as a multiple of the capacity.
func (c *Case) rate(at time.Duration) float64 {
	const quiet = 1.0 / 3
	switch {
	case !c.Bursts:
		return c.Load
	case int(at/period)%2 == 0:
		return 2*c.Load - quiet
	default:
		return quiet
	}
}

// Options are those of a run.
type Options struct {
	Exporter string // the program
	Root     string // of the repository
	Seed     uint64
	For      time.Duration // of the overload
	Throttle bool          // false: the exporter may not act
	// Direct begins the throttle by an alert that is posted to the exporter, without
	// Prometheus and Alertmanager.
	Direct bool
}

// Result is what a run has shown.
type Result struct {
	Capacity float64 // requests a second
	Began    time.Duration
	Released time.Duration // from the end of the overload; negative: it was not
	Whole    Measured      // all of the overload
	Settled  Measured      // without what came before the throttle; the same without one
	Requests []Request
}

// Run overloads an app of its own.
func Run(ctx context.Context, c Case, o Options) (_ Result, err error) {
	r := &rig{o: o}
	if r.dir, err = os.MkdirTemp("", "overload"); err != nil {
		return Result{}, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		r.close()
		err = errors.Join(err, os.RemoveAll(r.dir))
	}()
	if err := r.start(ctx); err != nil {
		return Result{}, err
	}
	l := newLoad(r.front, rand.New(rand.NewPCG(o.Seed, 5))) //nolint:gosec // a trial that can be repeated
	defer l.close()
	out := Result{}
	if out.Capacity = l.capacity(ctx, &c); out.Capacity == 0 {
		return out, fmt.Errorf("the app serves nothing: %w", context.Cause(ctx))
	}
	began := make(chan time.Duration, 1)
	watched, unwatch := context.WithTimeout(ctx, o.For)
	go func() { began <- r.throttled(watched, time.Now(), true) }()
	if o.Throttle && o.Direct {
		go r.reports(watched)
	}
	out.Requests = l.overload(ctx, &c, out.Capacity, o.For)
	unwatch()
	out.Began = <-began
	out.Whole = measure(out.Requests, 0, o.For, out.Capacity)
	out.Settled = out.Whole
	if out.Began >= 0 {
		out.Settled = measure(out.Requests, out.Began+follows, o.For, out.Capacity)
		ended, cancel := context.WithTimeout(ctx, after)
		defer cancel()
		out.Released = r.throttled(ended, time.Now(), false)
	}
	return out, ctx.Err()
}
