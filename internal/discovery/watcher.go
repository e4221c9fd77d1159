// Package proc knows the processes of the watched apps: which ones they are,
// which worker sits in which slot, what they listen on, what they use and what
// they do. It reads /proc and asks the kernel about sockets; it never stops,
// traces or changes a process.
package discovery

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/discovery/match"
	"github.com/resp-exporter/resp-exporter/internal/discovery/naming"
	"github.com/resp-exporter/resp-exporter/internal/discovery/pss"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// freshFor is how long after it was taken a snapshot serves everyone who asks:
// the collectors of one scrape, which all ask at once, share one look.
const freshFor = 20 * time.Millisecond

// searchPause is the shortest time between two readings of every process: on a
// busy host, sockets of others appear all the time.
const searchPause = 10 * time.Second

// Options are what a Watcher needs.
type Options struct {
	ProcRoot  string // "/proc", or where the host's is mounted
	Interval  time.Duration
	Apps      []config.App          // none: discover
	Stuck     time.Duration         // how long a request may take before its worker is called stuck
	Inspector func(Parts) Inspector // nil: the states of workers are unknown
	Names     NameStore             // nil: names last as long as the exporter
	Logger    *slog.Logger
	Now       func() time.Time // nil: time.Now
}

// Watcher keeps the table of processes and the apps in it.
type Watcher struct {
	turn chan struct{} // one token: a mutex that ends with a context

	now     func() time.Time
	log     *slog.Logger
	r       *procfs.FS
	table   *table.Table
	sockets *conns.Namespaces
	calls   *procfs.SyscallReader
	memory  *pss.Sampler

	connections *conns.Sampler

	matchers  []match.Matcher
	alone     uint64 // bits of the matches that only name a listener or a pid file
	cands     []*table.Process
	candsGen  int
	celery    []CeleryWorker
	celeryGen int
	stuck     time.Duration
	apps      []*app
	ownersAt  time.Time              // when the descriptors of all apps were last read for a sender
	searched  time.Time              // when every process was last read again
	news      bool                   // a listening socket has appeared since the last refresh
	owed      table.Users            // owners of such that belong to nobody known: their processes are to be read again
	overflow  int                    // apps over the bound
	without   map[procfs.Account]int // apps without a place, as of this look
	reserved  appname.Reservations
	namer     *naming.Namer
	roots     map[*table.Process]bool // of the discovered apps, as of this look

	scanned []conns.AppListeners // the apps, as of look scanOf − 1
	scanOf  uint64

	inspector    Inspector // nil: none
	inspected    Inspected // of the call under way
	inspectedApp InspectedApp

	store        NameStore // nil: none
	namesChanged bool      // since they were last saved
	saveFailed   bool      // and it was logged
	look         uint64    // number of the look under way
	at           time.Time // of the refresh under way

	mu    sync.Mutex
	last  *Snapshot
	taken time.Time // when last was ready
}

// New returns a Watcher; it reads nothing yet.
func New(o Options) (*Watcher, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	r := procfs.New(o.ProcRoot)
	boot, err := procfs.BootTime()
	if err != nil {
		return nil, err
	}
	w := &Watcher{
		turn: make(chan struct{}, 1), now: o.Now, log: o.Logger, r: r,
		table: table.New(r), sockets: conns.NewNamespaces(r), memory: pss.NewSampler(o.ProcRoot, o.Interval),
		connections: conns.NewSampler(o.ProcRoot, o.Interval, o.Logger),
	}
	w.table.Self, w.table.Boot = os.Getpid(), boot
	w.table.Listens = func(p *table.Process, ino uint64) bool { return w.sockets.Listens(p.NetNS, ino) }
	w.owed, w.reserved = make(table.Users), make(appname.Reservations)
	w.calls, w.namer = procfs.NewSyscallReader(r), naming.NewNamer(r, w.table)
	if o.Inspector != nil {
		w.inspector = o.Inspector(Parts{Table: w.table, Namespaces: w.sockets, Connections: w.connections})
	}
	w.apply(o.Apps, o.Stuck)
	w.store = o.Names
	w.loadNames()
	w.turn <- struct{}{}
	return w, nil
}

// Run samples what is too dear for a scrape until ctx ends, then frees what
// the Watcher holds.
func (w *Watcher) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { w.connections.Run(ctx) })
	wg.Go(func() { w.keepNames(ctx) })
	err := w.memory.Run(ctx)
	wg.Wait()
	<-w.turn // the last reader is done; nobody reads after this
	w.sockets.Close()
	return err
}

// Apply takes a new configuration. Counters and slots of apps that keep their
// name go on.
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

func (w *Watcher) apply(apps []config.App, stuck time.Duration) {
	w.stuck = stuck
	w.matchers, w.alone, w.cands = nil, 0, nil
	names := make(map[string]int)
	for i, a := range apps[:min(len(apps), match.MaxMatches)] {
		w.matchers = append(w.matchers, match.NewMatcher(a))
		if w.matchers[i].Alone() {
			w.alone |= 1 << i
		}
		names[a.Name] = i
	}
	kept := w.apps[:0]
	for _, a := range w.apps {
		i, configured := names[a.name]
		switch {
		case configured:
			a.conf, a.established = i, false // another match may mean another user's
		case len(w.matchers) > 0:
			continue
		default:
			a.conf = -1
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

// Snapshot returns the apps as they are now, or were a moment ago.
// The caller must not change it. It fails only if /proc cannot be listed or
// ctx ends first.
func (w *Watcher) Snapshot(ctx context.Context) (*Snapshot, error) {
	if s := w.fresh(); s != nil {
		return s, nil
	}
	if err := w.lock(ctx); err != nil {
		return nil, err
	}
	defer w.unlock()
	if s := w.fresh(); s != nil {
		return s, nil
	}
	s, err := w.take(ctx, w.now())
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

// take does one look. A panic costs the look and nothing else.
func (w *Watcher) take(ctx context.Context, now time.Time) (s *Snapshot, err error) {
	defer func() {
		if r := recover(); r != nil {
			w.log.Error("Look at the processes panicked", "panic", r, "stack", string(debug.Stack()))
			s, err = nil, fmt.Errorf("panic: %v", r)
		}
	}()
	if err := w.refresh(ctx, now); err != nil {
		return nil, err
	}
	return w.snapshot(ctx, now), nil
}

func (w *Watcher) fresh() *Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last != nil && w.now().Sub(w.taken) < freshFor {
		return w.last
	}
	return nil
}

// refresh brings the table, the sockets and the apps up to date.
func (w *Watcher) refresh(ctx context.Context, now time.Time) error {
	first := len(w.table.Processes) == 0
	w.at = now
	w.look++
	if err := w.table.Refresh(now, w.matchBits); err != nil {
		return err
	}
	w.lookAtSockets(ctx, now, first)
	if len(w.matchers) > 0 {
		w.roots = nil
		w.findConfigured(now)
	} else {
		w.discover(now)
	}
	w.sockets.Sweep()
	for _, a := range w.apps {
		w.update(a, now)
	}
	return nil
}
