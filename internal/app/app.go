// Package app wires every part, and is the only package that knows them all.
package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/diagnosis/cause"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/ingest/statsd"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/ticks"
	"github.com/resp-exporter/resp-exporter/internal/web/charts"
)

// pageInterval is how often everything is read for the status page and its
// charts, also without scrapes.
const pageInterval = 5 * time.Second

// Options are the settings of the command line.
type Options struct {
	ConfigFile string   // "": defaults and environment
	Env        []string // as os.Environ
	Off        map[string]bool

	ProcRoot, SysRoot, RootFS string
	StateDir                  string // of healing, which makes it only for rules or a token; where it is, names of apps, the history and incidents are kept in it
	ControlDir                string // of what apps are asked to do; "": none are

	MetricsPath            string
	RoutePrefix            string
	TimeoutOffset          time.Duration
	MaxRequests            int
	DisableExporterMetrics bool
	Lifecycle              bool
	Pprof                  bool
	ExternalURL            string
	LeakTimeScale          float64  // see [watch.Options]; 0: 1
	AllowedHosts           []string // names by which browsers may reach the page, beside the host's own

	Web      *toolkit.FlagConfig
	StatsD   *statsd.Inherited // sockets that a supervisor passed; nil: none
	Listener net.Listener      // instead of the addresses in Web, for tests

	Version string
	Logger  *slog.Logger // nil: no log
}

// App is the exporter with all its parts.
type App struct {
	*parts
	heal    *healing
	set     *collectors.Set
	history *charts.History
	spent   *charts.Spent
	server  *http.Server

	reloading sync.Mutex
}

// New loads the configuration and builds every part; nothing runs and no address is open
// yet: that one is in use is an error of [App.Run].
func New(o Options) (*App, error) {
	p, err := newParts(o)
	if err != nil {
		return nil, err
	}
	h := newHealing(p)
	p.past.healing.Store(h.runner)
	a := &App{parts: p, heal: h, set: p.collectors(h.stats), history: charts.New()}
	apply, err := h.runner.Prepare(p.config.Load().Healing, a.buildAction)
	if err != nil {
		return nil, err
	}
	apply()
	p.warnOfFiles(p.config.Load())
	a.spent = charts.NewSpent()
	a.server, err = a.newServer()
	return a, err
}

// collectors returns the set of collectors that are on. heal returns the counters of
// healing that one of them publishes.
func (a *parts) collectors(heal func() collectors.HealStats) *collectors.Set {
	activity := collectors.NewActivity(a.mysqlTargets)
	d := collectors.Deps{
		Apps: a.watcher, Ends: a.ends, Leaks: a.memoryLeaks, Heaps: a.heaps, Limits: collectors.NewLimits(&cgroup.FS{ProcRoot: a.o.ProcRoot, SysRoot: a.o.SysRoot}, a.log),
		Requests: a.requests, Thresholds: a.thresholds, Health: a.health, Bottleneck: a.bottlenecks, Heal: heal, History: a.past.stats(a.o.StateDir), Sockets: a.receivers.sockets, Activity: activity, Redis: a.redis.targets, Tasks: a.tasks,
		Waits: a.sampler, Sessions: a.sessionScanners.targets, ProcRoot: a.o.ProcRoot, RootFS: a.o.RootFS, Cores: runtime.NumCPU(), Total: sync.OnceValues(hostMemory),
		Pools: collectors.PoolOptions{
			Apps: a.watcher, Activity: activity, Connections: a.watcher, Inside: a.inside, Leaks: a.leaks, InnerPID: procfs.New(a.o.ProcRoot).InnerPID,
			Configured: func() []config.App { return a.config.Load().Apps },
		},
	}
	var on []collectors.Collector
	var off []string
	for _, e := range collectors.Catalog() {
		if a.o.Off[e.Name] {
			off = append(off, e.Name)
			continue
		}
		on = append(on, e.New(d))
	}
	return collectors.NewSet(on, off, a.log)
}

// hostMemory returns the host's memory in bytes (sysinfo(2)).
func hostMemory() (uint64, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, err
	}
	return info.Totalram * uint64(info.Unit), nil
}

// Run serves until ctx ends or a part fails, and returns the errors of the parts joined.
func (a *App) Run(ctx context.Context) error {
	return runAll(ctx, append(a.sources(), a.leaks.Run, a.past.samples.Run, a.past.records.Run, a.heal.runner.Run, a.heal.throttles.Run, a.heal.relay.Run, a.heal.keys.Run, a.poll, a.serve, a.shutDown)...)
}

// sources returns the Run functions of the parts from which collectors read.
func (a *parts) sources() []func(context.Context) error {
	return []func(context.Context) error{a.watcher.Run, a.ends.Run, a.memoryLeaks.Run, a.heaps.Run, a.sampler.Run, a.receivers.Run, a.requests.Run, a.senders.Run, a.mysql.Run, a.redis.Run, a.sessionScanners.Run, a.control.Run}
}

// poll reads everything for the page, as a scrape does, and evaluates it, until ctx ends; it
// returns nil. A fault counts at its first read; its end counts after two monitoring intervals.
func (a *App) poll(ctx context.Context) error {
	t := ticks.New(pageInterval)
	defer t.Stop()
	var state health.State
	var tracker cause.Tracker
	for {
		read, cancel := context.WithTimeout(ctx, pageInterval-500*time.Millisecond)
		now := time.Now()
		seen := a.set.Read(read, nil).State // without the metrics
		seen.Chains = diagnosis.Chains(&seen, now)
		seen.Bottlenecks = tracker.Next(&seen, now, a.limitsOf)
		l := &snapshot{state: &seen, unjudged: tracker.LeftOut()}
		a.spent.Record(now, a.sampler.Totals().Apps)
		cancel()
		l.evaluation, state = health.Evaluate(a.input(l.state, now), state)
		a.history.Record(now, l.state)
		a.past.observe(now, l.state)
		a.latest.Store(l)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			t.Again()
		}
	}
}

// limitsOf returns the thresholds in force for an app.
func (a *parts) limitsOf(app string) config.Thresholds { return a.config.Load().LimitsOf(app) }

// input returns the input of [health.Evaluate] for one read.
func (a *parts) input(s *model.State, at time.Time) health.Input {
	cfg := a.config.Load()
	in := health.Input{State: s, At: at, Limits: cfg.Thresholds, Own: cfg.LimitsOf, Muted: cfg.MutedOf, Interval: cfg.MonitoringInterval}
	for _, x := range cfg.Apps {
		in.Apps = append(in.Apps, x.Name)
		in.Parts = append(in.Parts, partsOf(x)...)
	}
	for _, x := range cfg.MySQL {
		in.MySQL = append(in.MySQL, x.Name)
	}
	for _, x := range cfg.Redis {
		in.Redis = append(in.Redis, x.Name)
	}
	return in
}

// runAll runs all parts until the first error or the end of ctx, then waits for all of
// them. It returns the errors joined; nil if no part failed.
func runAll(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	errs := make([]error, len(parts))
	for i, p := range parts {
		wg.Go(func() {
			if errs[i] = p(ctx); errs[i] != nil {
				cancel(errs[i])
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
