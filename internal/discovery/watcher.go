// Package discovery finds which processes are which app: the roots and workers of
// each, the slots of its workers, where it listens and what it uses. The
// [Watcher] reads /proc and asks the kernel about sockets; it never stops, traces
// or changes a process. What workers do an [Inspector] reports.
package discovery

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/discovery/match"
	"github.com/resp-exporter/resp-exporter/internal/discovery/naming"
	"github.com/resp-exporter/resp-exporter/internal/discovery/pss"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// freshFor is how long a snapshot is reused: the collectors of one scrape, which
// all ask at once, share one scan.
const freshFor = 20 * time.Millisecond

// rereadPause is the shortest time between two readings of every process: on a
// busy host, sockets of others appear all the time.
const rereadPause = 10 * time.Second

// Options configures a Watcher.
type Options struct {
	ProcRoot  string // "/proc", or where the host's is mounted
	Interval  time.Duration
	Apps      []config.App          // none: discover
	Stuck     time.Duration         // how long a request may take before its worker is called stuck; an app's own critical response time beats it
	Inspector func(Parts) Inspector // nil: the states of workers are unknown
	Names     NameStore             // nil: names last as long as the exporter
	Logger    *slog.Logger
	Now       func() time.Time // nil: time.Now
}

// Watcher keeps the process table and the apps in it. Its methods may be called
// by several goroutines.
type Watcher struct {
	token chan struct{} // holds one value: a mutex whose wait ends with a context

	now        func() time.Time
	log        *slog.Logger
	fs         *procfs.FS
	table      *table.Table
	namespaces *conns.Namespaces
	calls      *procfs.SyscallReader
	memory     *pss.Sampler

	connections *conns.Sampler

	matchers      []match.Matcher
	alone         uint64 // bits of the matches that only name a listener or a pid file
	candidateList []*table.Process
	candidateGen  int
	celery        []CeleryWorker
	celeryGen     int
	stuck         time.Duration
	stuckOf       map[string]time.Duration // of apps with a critical response time of their own
	apps          []*app
	fdsReadAt     time.Time              // when the descriptors of all apps were last read for a sender
	rereadAt      time.Time              // when every process was last read again
	newListener   bool                   // a listening socket has appeared since the last refresh
	unclaimedOf   table.Users            // owners of listening sockets without a known holder: their processes are to be read again
	rejectedApps  int                    // apps beyond the bound, since the start
	rejectedBy    map[procfs.Account]int // apps that were not admitted in this scan
	reserved      appname.Reservations
	namer         *naming.Namer
	roots         map[*table.Process]bool // of the discovered apps, as of this scan

	scanned []conns.AppListeners // the apps, as of scan number scanOf − 1
	scanOf  uint64

	inspector    Inspector // nil: none
	inspected    Inspected // of the call under way
	inspectedApp InspectedApp

	store        NameStore // nil: none
	namesChanged bool      // since they were last saved
	saveFailed   bool      // and it was logged
	scanNumber   uint64    // of the scan under way
	scanTime     time.Time // of the scan under way

	mu    sync.Mutex
	last  *Snapshot
	taken time.Time // when last was ready
}

// New returns a Watcher. It reads nothing but the time of the boot and the saved names yet. The
// error is that of the boot's time.
func New(o Options) (*Watcher, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Logger = logs.Or(o.Logger)
	r := procfs.New(o.ProcRoot)
	boot, err := procfs.BootTime()
	if err != nil {
		return nil, err
	}
	w := &Watcher{
		token: make(chan struct{}, 1), now: o.Now, log: o.Logger, fs: r,
		table: table.New(r), namespaces: conns.NewNamespaces(r), memory: pss.NewSampler(o.ProcRoot, o.Interval),
		connections: conns.NewSampler(o.ProcRoot, o.Interval, o.Logger),
	}
	w.table.Self, w.table.Boot = os.Getpid(), boot
	w.table.Listens = func(p *table.Process, ino uint64) bool { return w.namespaces.Listens(p.NetNS, ino) }
	w.unclaimedOf, w.reserved = make(table.Users), make(appname.Reservations)
	w.calls, w.namer = procfs.NewSyscallReader(r), naming.NewNamer(r, w.table)
	if o.Inspector != nil {
		w.inspector = o.Inspector(Parts{Table: w.table, Namespaces: w.namespaces, Connections: w.connections})
	}
	w.apply(o.Apps, o.Stuck)
	w.store = o.Names
	w.loadNames()
	w.token <- struct{}{}
	return w, nil
}

// Run takes the samples that are too expensive for a scrape until ctx ends, then closes the
// namespaces and returns nil. After that no snapshot can be taken.
func (w *Watcher) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { w.connections.Run(ctx) })
	wg.Go(func() { w.saveNamesEvery(ctx) })
	err := w.memory.Run(ctx)
	wg.Wait()
	<-w.token // the last reader is done; there is no other
	w.namespaces.Close()
	return err
}

// Apply sets a new configuration. Counters and slots of apps that keep their name
// continue. It fails only if ctx ends first; then nothing has changed.
func (w *Watcher) Apply(ctx context.Context, apps []config.App, stuck, interval time.Duration) error {
	if err := w.lock(ctx); err != nil {
		return err
	}
	defer w.unlock()
	w.memory.SetInterval(interval)
	w.connections.SetInterval(interval)
	w.apply(apps, stuck)
	for _, p := range w.table.Processes {
		p.Match = w.matchBits(p)
	}
	w.mu.Lock()
	w.last = nil
	w.mu.Unlock()
	return nil
}

// apply replaces the configured apps. Apps that keep their name keep their counters and slots.
func (w *Watcher) apply(apps []config.App, stuck time.Duration) {
	w.stuck, w.stuckOf = stuck, match.StuckAges(apps)
	w.matchers, w.alone, w.candidateList = nil, 0, nil
	names := make(map[string]int)
	for i, a := range apps[:min(len(apps), match.MaxMatches)] {
		w.matchers = append(w.matchers, match.NewMatcher(a))
		if w.matchers[i].OnlyListener() {
			w.alone |= 1 << i
		}
		names[a.Name] = i
	}
	kept := w.apps[:0]
	for _, a := range w.apps {
		i, configured := names[a.name]
		switch {
		case configured:
			a.matchIndex, a.established = i, false // another match may mean another user's
		case len(w.matchers) > 0:
			continue
		default:
			a.matchIndex = -1
		}
		kept = append(kept, a)
	}
	w.apps = kept
	for i := range w.matchers {
		if w.byName(w.matchers[i].Name) == nil {
			w.apps = append(w.apps, newApp(w.matchers[i].Name, i))
		}
	}
}

// Snapshot returns the apps as they are now, or were at most 20 ms ago. The caller must not
// change it. It fails only if /proc cannot be listed, ctx ends before the scan, or a panic
// ends the scan.
func (w *Watcher) Snapshot(ctx context.Context) (*Snapshot, error) {
	if s := w.recent(); s != nil {
		return s, nil
	}
	if err := w.lock(ctx); err != nil {
		return nil, err
	}
	defer w.unlock()
	if s := w.recent(); s != nil {
		return s, nil
	}
	s, err := w.takeSnapshot(ctx, w.now())
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	w.watchMemory()
	w.watchConnections()
	w.mu.Lock()
	w.last, w.taken = s, w.now()
	w.mu.Unlock()
	return s, nil
}

// FinishInspections calls the inspector, if any, to name now, between two scans, the sockets that
// it could not name in the last one. An error: ctx ended first, or the inspector panicked.
func (w *Watcher) FinishInspections(ctx context.Context) error {
	if err := w.lock(ctx); err != nil {
		return err
	}
	defer w.unlock()
	if w.inspector == nil {
		return nil
	}
	w.scanNumber++ // connections that were accepted since the last scan count too
	return w.finishInspections(ctx)
}

// finishInspections calls the inspector, and turns a panic of it into an error.
func (w *Watcher) finishInspections(ctx context.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = logs.Recovered(r)
		}
	}()
	w.inspector.Finish(ctx, w.scan())
	return nil
}

// takeSnapshot does one scan and returns its snapshot. A panic is returned as an error.
func (w *Watcher) takeSnapshot(ctx context.Context, now time.Time) (s *Snapshot, err error) {
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, logs.Recovered(r)
		}
	}()
	if err := w.refresh(ctx, now); err != nil {
		return nil, err
	}
	return w.buildSnapshot(ctx, now), nil
}

// recent returns the last snapshot if it is younger than freshFor, else nil.
func (w *Watcher) recent() *Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last != nil && w.now().Sub(w.taken) < freshFor {
		return w.last
	}
	return nil
}

// refresh updates the table, the sockets and the apps for one scan. An error means that /proc
// could not be listed.
func (w *Watcher) refresh(ctx context.Context, now time.Time) error {
	first := len(w.table.Processes) == 0
	w.scanTime = now
	w.scanNumber++
	if err := w.table.Refresh(now, w.matchBits); err != nil {
		return err
	}
	w.refreshSockets(ctx, now, first)
	if len(w.matchers) > 0 {
		w.roots = nil
		w.findConfigured(now)
	} else {
		w.discover(now)
	}
	w.namespaces.Sweep()
	for _, a := range w.apps {
		w.update(a, now)
	}
	return nil
}
