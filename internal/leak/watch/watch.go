// Package watch feeds the detectors of memory leaks with the memory of the apps' workers.
package watch

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/leak"
	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/ticks"
)

const (
	// maxWorkers is how many slots are judged; a detector has about 11 kB.
	maxWorkers = 1024
	// maxVacant is how long the past of a slot is kept while no worker is in it.
	maxVacant = 10 * time.Minute
	lookLimit = 5 * time.Second // of one look
)

// Snapshotter returns the apps with their workers; [discovery.Watcher] does.
type Snapshotter interface {
	Snapshot(ctx context.Context) (*discovery.Snapshot, error)
}

// Options are the settings of [New].
type Options struct {
	Apps     Snapshotter
	ProcRoot string               // "/proc", or where the host's is mounted
	Interval func() time.Duration // between two samples, as configured now
	// Requests returns how many requests the workers of an app have answered; false: not
	// known.
	Requests func(app string) (float64, bool)
	Views    ViewSource   // nil: no views are found
	Logger   *slog.Logger // nil: no log
	// Scale is how many times faster time passes for the detectors than on the clock, for
	// demonstrations: a verdict takes more than an hour. 0: 1.
	Scale float64
}

// Found is what is known of the worker in one slot.
type Found struct {
	Slot int
	PID  int
	Anon float64 // its anonymous memory, swap included, bytes, at the last sample
	leak.Verdict
}

type key struct {
	app  string
	slot int
}

// worker is one slot with its detector.
type worker struct {
	detector *leak.Detector
	found    Found
	started  time.Time // of the process, as discovery has it
	ticks    uint64    // as the kernel has it
	seen     time.Time
	quiet    quietMoment
}

// Watcher judges the workers of all apps. Its exported methods may be called by several
// goroutines.
type Watcher struct {
	o     Options
	log   *slog.Logger
	files *procfs.FS
	begun time.Time // what the detectors count from; Run sets it

	mu      sync.Mutex
	workers map[key]*worker
	apps    map[string]*appViews
	dropped uint64
	unnamed uint64 // views of apps that are gone that were not told from others
}

// New returns a Watcher. It reads nothing before Run.
func New(o Options) *Watcher {
	if o.Scale <= 0 {
		o.Scale = 1
	}
	return &Watcher{o: o, log: logs.Or(o.Logger), files: procfs.New(o.ProcRoot), workers: make(map[key]*worker), apps: make(map[string]*appViews)}
}

// Run samples each worker at each interval until ctx ends, and looks more often for moments
// without a request. It returns nil.
func (w *Watcher) Run(ctx context.Context) error {
	w.begun = time.Now()
	for {
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			w.log.Debug("The memory of the workers was not read", "err", err)
		}
		for range quietLooks {
			w.observeAll()
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(ticks.Until(w.o.Interval() / quietLooks)):
			}
		}
	}
}

// look samples each worker of each app that runs once. The error is that of the snapshot;
// requests of an app that are not known count as none.
func (w *Watcher) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	snap, err := w.o.Apps.Snapshot(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for i := range snap.Apps {
		a := &snap.Apps[i]
		if !a.Up {
			continue
		}
		requests, ok := w.o.Requests(a.Name)
		if !ok {
			requests = 0
		}
		for j := range a.Workers {
			w.sample(a.Name, &a.Workers[j], requests/float64(len(a.Workers)), now)
		}
	}
	for k, x := range w.workers {
		if now.Sub(x.seen) > maxVacant {
			delete(w.workers, k)
		}
	}
	w.judgeViews(now)
	return nil
}

// sample reads the memory of one worker and adds it to the detector of the worker's slot.
// It drops a value if the process changed during the read. If the slot has another
// process than before, the detector is told.
func (w *Watcher) sample(app string, p *discovery.Worker, requests float64, now time.Time) {
	m, ticks, ok := w.memory(p.PID)
	if !ok {
		return
	}
	k := key{app, p.Slot}
	x := w.workers[k]
	switch {
	case x == nil && len(w.workers) >= maxWorkers:
		w.dropped++
		return
	case x == nil:
		x = &worker{detector: leak.New()}
		w.workers[k] = x
	case x.found.PID == p.PID && x.started.Equal(p.Start) && x.ticks != ticks:
		return // the pid is another process' by now, which discovery has not seen yet
	case x.found.PID != p.PID || x.ticks != ticks:
		x.detector.Replace()
		x.quiet = quietMoment{}
	}
	x.started, x.ticks, x.seen = p.Start, ticks, now
	x.detector.Add(leak.Sample{
		Seconds: now.Sub(w.begun).Seconds() * w.o.Scale, RSS: float64(m.RSS), Anon: float64(m.Anon + m.Swap), Swap: float64(m.Swap), Requests: requests,
	})
	x.found = Found{Slot: p.Slot, PID: p.PID, Anon: float64(m.Anon + m.Swap), Verdict: x.detector.Verdict()}
	x.found.Slope *= w.o.Scale
	x.found.Since, x.found.First = x.found.Since/w.o.Scale, x.found.First/w.o.Scale
}

// Of returns what was found of the worker in a slot; false unless pid is the process that
// was last sampled there.
func (w *Watcher) Of(app string, slot, pid int) (Found, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.workers[key{app, slot}]
	if x == nil || x.found.PID != pid {
		return Found{}, false
	}
	return x.found, true
}

// Dropped returns how many samples were left out because there were too many workers.
func (w *Watcher) Dropped() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dropped
}
