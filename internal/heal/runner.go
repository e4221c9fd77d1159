// Package heal ends what holds an app up, when an alert asks for it: rarely,
// never more than planned, written down before and checked after. What an
// action may do is in its Plan; the [Runner] decides whether it may.
package heal

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

const (
	housekeeping = 5 * time.Second  // between two looks at what waits for a time
	approveFor   = 10 * time.Minute // a plan that nobody approved is too old
	retryAfter   = 5 * time.Second  // a run whose journal could not be written
	beatEvery    = 20 * time.Second // that this exporter tells the others that it lives
	maxDedup     = 10_000
	maxIndex     = 200 // ended runs that are kept for people
	maxFacts     = 64  // of these with their evidence
	maxFiring    = 500
	actsFor      = 2 * time.Hour // that those of a key are kept after the newest
)

// Errors of [Runner.Take]: nothing of the alert is remembered, and it is to be
// sent again.
var (
	ErrFull      = errors.New("the queue is full")
	ErrUnwritten = errors.New("the journal cannot be written")
)

// Fleet is how things stand with all exporters that share a Redis.
type Fleet struct {
	Members   int // exporters that live
	Firing    int // of these, that were asked for the action lately
	Repairing int // of these, that carry it out
}

// Leases is what exporters agree on. An error means that nobody knows, and then
// nothing is done.
type Leases interface {
	// Beat says that this exporter lives.
	Beat(ctx context.Context) error
	// Ask says that this exporter was asked for an action.
	Ask(ctx context.Context, action string) (Fleet, error)
	// Take takes the lease of a key for a run, unless another run has it.
	Take(ctx context.Context, l Lease) (held bool, f Fleet, err error)
	// Give gives it back. One that is another run's is left alone.
	Give(ctx context.Context, l Lease) error
}

// Lease is the right to do one action to one target.
type Lease struct {
	Action, Key, Run string
	For              time.Duration // it ends by itself after that
}

// Options are what a [Runner] needs.
type Options struct {
	StateDir    string
	JournalSize int64                                                    // bytes of one file of the journal; 0: 8 MiB
	Build       func(config.HealingStep) (action.Action, error)          // makes the action of a step
	Leases      func(redis string) Leases                                // of a server in the section redis
	Evidence    func(ctx context.Context, target string) json.RawMessage // nil: none is kept
	Settle      time.Duration                                            // between asking the fleet and acting, so that others ask too
	Logger      *slog.Logger
}

// Runner takes alerts and does what the rules say about them, one step at a
// time and never without a line in the journal before.
type Runner struct {
	o       Options
	log     *slog.Logger
	started time.Time
	count   *counters
	taking  chan struct{} // one notification at a time
	wake    chan struct{}
	wg      sync.WaitGroup

	mu       sync.Mutex // guards what follows; never held while reading or writing anything outside
	set      *settings
	leases   Leases
	store    *journal.Store
	storeErr error          // why there is none
	lost     *journal.Store // it was replaced; kept locked until the end
	noWrite  error          // of the last write
	pause    *journal.Pause
	queue    []*work
	awaiting map[string]*work // by the run's id
	active   map[string]*work
	turns    map[string]string       // run by key: one run works on a target
	runs     map[string]*journal.Run // what people are shown
	order    []string                // of runs, the newest last
	planned  map[string][]time.Time  // dry-run's plans, by rule
	firing   map[string]Firing

	memory // what the guards go by
}

// work is one run that has not ended, with what belongs to this process.
type work struct {
	run       journal.Run
	rule      *rule
	alert     action.Alert
	verify    bool // it was interrupted: only look whether it helped
	notBefore time.Time
	cancelled bool // guarded by Runner.mu
}

// New makes a runner; nothing runs before [Runner.Run].
func New(o Options) *Runner {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Runner{
		o: o, log: o.Logger, started: time.Now(), count: newCounters(), set: &settings{Healing: config.Healing{Mode: config.HealOff}},
		taking: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		awaiting: make(map[string]*work), active: make(map[string]*work), turns: make(map[string]string), runs: make(map[string]*journal.Run),
		memory: newMemory(), planned: make(map[string][]time.Time), firing: make(map[string]Firing),
	}
}

// Prepare makes ready what a checked section says; nothing changes before apply
// is called. Runs under way keep the settings that they began with; whether the
// mode or the pause lets them begin is looked up when they do.
func (r *Runner) Prepare(h config.Healing) (apply func(), err error) {
	set, err := compile(h, r.o.Build)
	if err != nil {
		return nil, fmt.Errorf("healing: %w", err)
	}
	return func() {
		var leases Leases
		if h.Coordination.Redis != "" && r.o.Leases != nil {
			leases = r.o.Leases(h.Coordination.Redis)
		}
		r.mu.Lock()
		r.set, r.leases = set, leases
		for name := range r.human {
			if set.named(name) == nil {
				delete(r.human, name)
			}
		}
		r.mu.Unlock()
		r.poke()
	}, nil
}

// Run starts runs as their time comes, until ctx ends; then it waits for those
// that act. What had begun is looked after at the next start.
func (r *Runner) Run(ctx context.Context) error {
	tick := time.NewTicker(housekeeping)
	defer tick.Stop()
	r.wg.Go(func() { r.keepBeating(ctx) })
	for {
		r.openStore(time.Now()) // here and not where the settings come: only what runs may hold the directory
		r.startReady(ctx)
		select {
		case <-ctx.Done():
			r.wg.Wait()
			return r.closeStore()
		case <-r.wake:
		case <-tick.C:
			r.expire(time.Now())
			r.holds()
		}
	}
}

// poke lets Run look again.
func (r *Runner) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// keepBeating tells the fleet that this exporter lives.
func (r *Runner) keepBeating(ctx context.Context) {
	t := time.NewTicker(beatEvery)
	defer t.Stop()
	for {
		r.mu.Lock()
		l := r.leases
		r.mu.Unlock()
		if l != nil {
			if err := l.Beat(ctx); err != nil {
				r.log.Debug("The fleet was not told that this exporter lives", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// openStore takes the state directory once it is needed, and what stands in it.
func (r *Runner) openStore(now time.Time) {
	r.mu.Lock()
	needed, before := r.set.used() && r.store == nil && r.lost == nil, r.storeErr
	r.mu.Unlock()
	if !needed {
		return
	}
	s, err := journal.Open(r.o.StateDir, cmp.Or(r.o.JournalSize, journal.FileSize))
	if err != nil {
		if before == nil || before.Error() != err.Error() {
			r.log.Error("Healing is off: it needs its state directory", "dir", r.o.StateDir, "err", err)
		}
		r.mu.Lock()
		r.storeErr = err
		r.mu.Unlock()
		return
	}
	r.restore(s, now)
}

func (r *Runner) closeStore() error {
	r.mu.Lock()
	s := cmp.Or(r.store, r.lost)
	r.store, r.storeErr = nil, journal.ErrClosed
	r.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.Close()
}

// write appends to the journal.
func (r *Runner) write(entries ...journal.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	r.mu.Lock()
	s := r.store
	r.mu.Unlock()
	if s == nil {
		return ErrUnwritten
	}
	err := s.Append(entries...)
	r.noteWrite(s, err)
	if err != nil {
		return errors.Join(ErrUnwritten, err)
	}
	return nil
}

// mode is what may be done now: the configuration's mode, but without a journal
// nothing. r.mu is held.
func (r *Runner) mode() string {
	if r.store == nil && r.set.used() {
		return config.HealOff
	}
	return r.set.Mode
}
