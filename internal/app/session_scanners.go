package app

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/sessions"
)

// sessionScanners holds one scanner for each Redis in which apps keep sessions,
// because the limit on the cost of a scan is the server's. A reload that
// changes neither the server nor its sessions keeps the scanner.
type sessionScanners struct {
	server  func(name string) *redis.Server
	off     bool // the collector is off, so the counts would not be shown
	log     *slog.Logger
	changed chan struct{}

	mu   sync.Mutex
	want []*sessionScanner
	list []collectors.SessionTarget
}

// sessionScanner is the scanner of one Redis.
type sessionScanner struct {
	name    string
	server  *redis.Server
	sets    []sessions.KeySet
	scanner *sessions.Scanner
	stop    context.CancelFunc // nil: not begun; of Run's goroutine
}

func newSessionScanners(server func(string) *redis.Server, off bool, log *slog.Logger) *sessionScanners {
	return &sessionScanners{server: server, off: off, log: log, changed: make(chan struct{}, 1)}
}

// apply sets the scanners of a checked configuration, whose servers exist
// already; Run starts and stops them.
func (w *sessionScanners) apply(cfg config.Config) {
	if w.off {
		return
	}
	sets := make(map[string][]sessions.KeySet)
	for _, a := range cfg.Apps {
		for _, s := range a.Sessions {
			sets[s.Redis] = append(sets[s.Redis], keySet(s))
		}
	}
	w.mu.Lock()
	before := w.want
	w.want, w.list = nil, nil
	have := make(map[string]*sessionScanner, len(sets))
	for _, section := range cfg.Redis {
		server, of := w.server(section.Name), sets[section.Name]
		if server != nil && len(of) > 0 {
			x := w.keep(before, &sessionScanner{name: section.Name, server: server, sets: of}, cfg.MonitoringInterval)
			w.want, have[section.Name] = append(w.want, x), x
		}
	}
	for _, a := range cfg.Apps {
		for _, s := range a.Sessions {
			if x := have[s.Redis]; x != nil {
				set := keySet(s)
				w.list = append(w.list, collectors.SessionTarget{App: a.Name, Redis: s.Redis, Status: func() sessions.Status { return x.scanner.Status(set) }})
			}
		}
	}
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func keySet(s config.Sessions) sessions.KeySet {
	return sessions.KeySet{Prefix: s.Prefix, Lifetime: s.Lifetime}
}

// keep returns the scanner of before that has the same server and key sets as x, with the
// new interval; if there is none, x with a new scanner.
func (w *sessionScanners) keep(before []*sessionScanner, x *sessionScanner, interval time.Duration) *sessionScanner {
	for _, b := range before {
		if b.name == x.name && b.server == x.server && slices.Equal(b.sets, x.sets) {
			b.scanner.SetInterval(interval)
			return b
		}
	}
	x.scanner = sessions.NewScanner(sessions.ScannerOptions{Server: x.server, Sets: x.sets, Interval: interval, Logger: w.log.With("redis", x.name)})
	return x
}

// targets returns the scanned sessions of each app for the collector.
func (w *sessionScanners) targets() []collectors.SessionTarget {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.list
}

// Run runs the configured scanners until ctx ends; it returns nil.
func (w *sessionScanners) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var begun []*sessionScanner
	for {
		w.mu.Lock()
		want := w.want
		w.mu.Unlock()
		for _, x := range begun {
			if !slices.Contains(want, x) {
				x.stop()
			}
		}
		for _, x := range want {
			if !slices.Contains(begun, x) {
				var own context.Context
				own, x.stop = context.WithCancel(ctx)
				wg.Go(func() { _ = x.scanner.Run(own) })
			}
		}
		begun = want
		select {
		case <-ctx.Done():
			return nil
		case <-w.changed:
		}
	}
}
