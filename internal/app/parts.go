package app

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/appside/control"
	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/ingest/statsd"
	"github.com/resp-exporter/resp-exporter/internal/leak/growth"
	"github.com/resp-exporter/resp-exporter/internal/leak/watch"
	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/waits"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling"
	"github.com/resp-exporter/resp-exporter/internal/workerends"
)

// parts are what collectors, healing and the page read from, each of them ready
// before one of those is built.
type parts struct {
	o   Options
	log *slog.Logger

	watcher         *discovery.Watcher
	ends            *workerends.Watcher
	inside          *appside.Keeper // of the workers that say something about themselves
	control         *control.Writer // of what apps are asked to do
	memoryLeaks     *watch.Watcher
	heaps           *growth.Watcher
	sampler         *sampling.Sampler // of the workers' threads
	past            *past
	requests        *collectors.Requests
	thresholds      *collectors.Thresholds
	receivers       *receivers
	senders         *senders
	mysql           *mysqlServers
	leaks           *collectors.LeakLog
	redis           *redisServers
	sessionScanners *sessionScanners
	limits          *httpLimits // of the server

	config atomic.Pointer[config.Config] // in force
	latest atomic.Pointer[snapshot]
}

// snapshot is what one gather read, and its evaluation.
type snapshot struct {
	state      *model.State
	evaluation health.Evaluation
	unjudged   uint64 // judgements of causes that were left out since the start
}

// newParts loads the configuration and returns the parts that it names, none of them running. An error
// of the configuration or of the allowed hosts, or that processes cannot be watched, is returned.
func newParts(o Options) (*parts, error) {
	cfg, err := config.LoadFile(o.ConfigFile, o.Env)
	if err != nil {
		return nil, err
	}
	o.Logger = logs.Or(o.Logger)
	a := &parts{o: o, log: o.Logger, thresholds: collectors.NewThresholds(&cfg, time.Now())}
	a.config.Store(&cfg)
	a.sampler = sampling.New(sampling.Options{
		ProcRoot: o.ProcRoot, SysRoot: o.SysRoot, Settings: samplerSettings(&cfg), Logger: o.Logger,
		Name: func(ctx context.Context) error { return a.watcher.FinishInspections(ctx) },
	})
	a.watcher, err = discovery.New(discovery.Options{
		Inspector: waits.WithSampler(a.sampler),
		ProcRoot:  o.ProcRoot, Interval: cfg.MonitoringInterval, Apps: cfg.Apps,
		Stuck: stuckAfter(cfg), Names: nameFile{o.StateDir}, Logger: o.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("start watching processes: %w", err)
	}
	a.past = newPast(a, &cfg)
	a.inside = appside.NewKeeper(o.ProcRoot)
	a.control = control.New(o.ControlDir, o.Logger)
	a.ends = workerends.New(workerends.Options{
		Processes: a.watcher, ProcRoot: o.ProcRoot, Groups: &cgroup.FS{ProcRoot: o.ProcRoot, SysRoot: o.SysRoot}, Logger: o.Logger,
		Inside: a.inside, Ending: a.past.samples.Ending, Told: a.workerEnded,
	})
	a.watcher.SetServices(services(&cfg))
	counters := &statsd.Counters{}
	a.senders = newSenders(o.Logger)
	a.senders.apply(cfg.StatsD.Trust)
	a.requests = collectors.NewRequests(collectors.RequestsOptions{
		SlowRequest: cfg.SlowRequest, MaxRoutes: cfg.StatsD.MaxRoutes, Stats: counters.Stats,
		Attribute: a.watcher.Senders, Users: a.watcher.Users, Prove: a.senders.prove, Trusts: a.senders.trusts,
		Inside: a.inside,
	})
	a.memoryLeaks = watch.New(watch.Options{
		Apps: a.watcher, ProcRoot: o.ProcRoot, Interval: func() time.Duration { return a.config.Load().MonitoringInterval },
		Requests: a.requests.AnsweredBy, Views: a.sampler, Logger: o.Logger, Scale: o.LeakTimeScale,
	})
	a.heaps = newHeaps(a, &o)
	a.receivers = newReceivers(a.requests, counters, o.Logger)
	a.receivers.passed = o.StatsD
	a.receivers.apply(cfg.StatsD.Listen)
	a.mysql = newMySQLServers(o.Logger)
	a.mysql.apply(cfg.MySQL)
	a.redis = newRedisServers(o.Logger)
	a.redis.apply(&cfg)
	a.sessionScanners = newSessionScanners(a.redis.server, o.Off["sessions"], o.Logger)
	a.sessionScanners.apply(cfg)
	a.leaks = collectors.NewLeakLog(o.Logger)
	a.limits, err = newHTTPLimits(&a.o)
	return a, err
}
