// Package healthy looks many times at healthy apps, and reports each false finding of the
// exporter: a stuck worker, a component at warning or critical. It uses documented
// interfaces only: /metrics, the configuration and the flags, so that any two builds can
// be compared.
package healthy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/trials/bench"
)

// config names the app, so that it has the same name under every server.
const config = `monitoring_interval: 1s
thresholds: {memory: {warning: 1, critical: 1}, cpu: {warning: 1, critical: 1}}
apps: [{name: {app}, match: {listen: "{at}"}}]
`

// Options is what a trial does.
type Options struct {
	Exporter string         // program
	Looks    int            // at each stack
	Gap      time.Duration  // between two looks
	Parallel int            // stacks at the same time
	Seed     uint64         // of the requests
	Done     map[string]int // looks at a stack that an earlier part has done
}

// Look is one look at one stack.
type Look struct {
	Stack  string
	N      int
	States map[string]float64 // resp_app_workers
	Worst  float64            // resp_health_status of the app: 0 healthy, 1 warning, 2 critical
	Of     string             // the component that is the worst
	Unread bool               // a component could not be read in time, and none is not well
}

// False reports whether the exporter reported that something is not well.
func (l Look) False() bool { return l.States["stuck"] > 0 || l.Worst > 0 && !l.Unread }

// trial is one stack that runs.
type trial struct {
	*bench.Bench

	o     Options
	stack Stack
}

// Run reads the status of each stack many times, and passes each look to sink, one at a time.
func Run(ctx context.Context, o Options, stacks []Stack, sink func(Look) error) error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	errs := make([]error, len(stacks))
	turns := make(chan struct{}, max(o.Parallel, 1))
	for i, s := range stacks {
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			if o.Done[s.Name] < o.Looks && ctx.Err() == nil {
				errs[i] = one(ctx, o, s, func(l Look) error {
					mu.Lock()
					defer mu.Unlock()
					return sink(l)
				})
			}
		})
	}
	wg.Wait()
	return errors.Join(errors.Join(errs...), ctx.Err())
}

// one runs one stack and reads its status many times.
func one(ctx context.Context, o Options, s Stack, sink func(Look) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", s.Name, err)
		}
	}()
	b, err := bench.New(bench.Spec{App: s.app, Argv: s.argv, Config: config, Local: s.local, Redis: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := b.Start(ctx, o.Exporter); err != nil {
		return err
	}
	t := &trial{Bench: b, o: o, stack: s}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { t.load(ctx) })
	wg.Go(func() { t.reload(ctx) })
	for range s.rest {
		wg.Go(func() { t.visit(ctx) })
	}
	bench.Pause(ctx, 2*time.Second)
	for n := o.Done[s.Name]; n < o.Looks && ctx.Err() == nil; n++ {
		l, err := t.look(ctx, n)
		if err == nil {
			err = sink(l)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		bench.Pause(ctx, o.Gap)
	}
	return nil
}

// load sends short requests.
func (t *trial) load(ctx context.Context) {
	if t.stack.rate == 0 {
		return
	}
	random := rand.New(rand.NewPCG(t.o.Seed, uint64(len(t.stack.Name)))) //nolint:gosec // to be repeated, not to be secret
	var wg sync.WaitGroup
	defer wg.Wait()
	free := make(chan struct{}, 2) // fewer than there are workers and threads, or as many
	for ctx.Err() == nil {
		path := fmt.Sprintf("/sleep/%.3f", random.Float64()*0.03)
		free <- struct{}{}
		wg.Go(func() {
			_, _ = t.Get(ctx, path) // a reload may cost one
			<-free
		})
		bench.Pause(ctx, time.Second/time.Duration(t.stack.rate))
	}
}

// visit sends one request and keeps its connection open.
func (t *trial) visit(ctx context.Context) {
	c, err := t.Dial(ctx)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	_, _ = c.Write([]byte("GET / HTTP/1.1\r\nHost: app\r\n\r\n"))
	<-ctx.Done()
}

// reload sends HUP to the master now and then.
func (t *trial) reload(ctx context.Context) {
	for t.stack.reload > 0 && ctx.Err() == nil {
		bench.Pause(ctx, t.stack.reload)
		_ = t.App().Signal(syscall.SIGHUP)
	}
}
