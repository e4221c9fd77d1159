package collectors

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/ingest/statsd"
)

// unknown is the app of events whose sender cannot be determined.
const unknown = "unknown"

var (
	httpRequests = counter("http_requests_total",
		"Completed requests, as reported by the app's server or the app itself. Method and route are empty unless the app reports them.",
		"app", "code", "method", "route")
	httpDuration = histogram("http_request_duration_seconds",
		"Duration of requests, as reported by the app's server or the app itself.",
		"app", "method", "route")
	httpSlow = counter("http_slow_requests_total",
		"Requests that took longer than slow_request.", "app")
	appLogMessages = counter("app_log_messages_total",
		"Log messages of the app's server, by level.", "app", "level")
	statsdLines = counter("statsd_lines_total",
		"StatsD lines received, or read from the memory file of a worker that has ended, by result: parsed, unknown (a valid line of a metric that is not used), malformed, over_limit (counted under the name other), or untrusted (dropped because the sender may not report for the app).", "outcome")
	statsdPackets = counter("statsd_packets_total",
		"StatsD datagrams received.")
	statsdDropped = counter("statsd_packets_dropped_total",
		"StatsD datagrams lost because the receive buffer of the socket was full.", "where")
	statsdBuffer = gauge("statsd_receive_buffer_bytes",
		"Receive buffer sizes of the open StatsD sockets, as granted by the kernel.")
	seriesDropped = counter("series_dropped_total",
		"Items dropped because of a limit: events without a series of their own, and apps, workers, queues, rows and file descriptors that were not read.", "family")
)

// RequestsOptions are the settings of [NewRequests].
type RequestsOptions struct {
	SlowRequest time.Duration // a request that takes longer is slow; 0: 5 s
	MaxRoutes   int           // distinct routes an app may have; 0: 200
	MaxApps     int           // distinct apps; 0: 50
	// Attribute returns the apps of senders that sent events without an app. The
	// result lacks senders whose app is not known. It may be nil.
	Attribute func(context.Context, []ingest.Source) map[ingest.Source]string
	// Prove returns what the kernel reports about UDP sources. Those that are missing
	// in the result stay unproven. nil: no source is proven.
	Prove func(context.Context, []ingest.Source) map[ingest.Source]ingest.Source
	// Users returns the user ids of the processes of each watched app, none for one
	// that is down; a nil map if they are not known. It may be nil.
	Users func(context.Context) map[string][]uint32
	// Trusts reports whether a sender may report for every app. nil: all may.
	Trusts func(ingest.Source) bool
	// Stats returns what the listeners received. It may be nil.
	Stats func() statsd.Stats
	// Problem returns why a listener cannot listen, as an [Unavailable]; nil if all
	// listen. It may be nil.
	Problem func() error
	// Inside is the memory files of workers; nil: there are none.
	Inside MemoryFiles
	Now    func() time.Time // nil: time.Now
}

// Requests is the collector "requests": the requests that apps and their servers
// report. It is the sink of every ingest, and holds the counters itself.
//
// An event counts for the app that it names only if its sender may report for that
// app: a process with a user id of the app's processes, root, the exporter's own
// user, or a sender that the configuration trusts. A name that no watched app has is
// claimed by the first user that reports for it.
//
// An event over a limit is folded, not dropped: a route or an app over the limit
// counts as "other", a status code over the limit as the x00 of its class.
//
// Once an app has sent a whole request (the Flask integration does), gunicorn's
// durations and statuses of that app are ignored, because they are the same requests
// again. Its log levels still count.
type Requests struct {
	o          RequestsOptions
	started    time.Time
	resolveNow chan struct{} // has a value if Run is to resolve senders now

	mu              sync.Mutex // guards all down to appFaults; Observe locks it for each event
	limits          limits
	accounts        accountTable
	senders         senders
	publishedParsed float64               // the highest value published as parsed
	appFaults       map[string]*appFaults // by app

	history requestHistory // has a mutex of its own
}

// NewRequests returns the collector "requests" with defaults for options that are not set:
// 5 s, 200 routes, 50 apps and time.Now. It proves no sender before Run.
func NewRequests(o RequestsOptions) *Requests {
	if o.SlowRequest <= 0 {
		o.SlowRequest = 5 * time.Second
	}
	if o.MaxRoutes <= 0 {
		o.MaxRoutes = 200
	}
	if o.MaxApps <= 0 {
		o.MaxApps = 50
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &Requests{o: o, started: o.Now(), resolveNow: make(chan struct{}, 1)}
	r.accounts = accountTable{maxNames: o.MaxApps, apps: make(map[string]*account)}
	r.senders = senders{all: make(map[ingest.Source]*sender), refused: make(map[refusedSender]*refusals)}
	r.appFaults = make(map[string]*appFaults)
	r.history.lastRead = r.started
	r.history.apps = make(map[string]*appHistory)
	r.Apply(o.SlowRequest, o.MaxRoutes)
	return r
}

// Apply sets the duration from which a request is slow, and the maximum number of routes.
// No count is lost, and routes with a series keep it.
func (r *Requests) Apply(slow time.Duration, maxRoutes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limits.slow, r.limits.maxRoutes = slow.Seconds(), maxRoutes
	r.accounts.epoch++ // the trusted senders may have changed too
}

// Name implements Collector.
func (*Requests) Name() string { return "requests" }

// Descs implements Collector.
func (*Requests) Descs() []*prometheus.Desc {
	return descs(httpRequests, httpDuration, httpSlow, httpKilled, appLogMessages,
		httpQueueTime, poolWait, taskRuns, taskRestarts, taskExecuting, taskHeartbeatAge, reportsLost, requestsShed, gcCollections,
		statsdLines, statsdPackets, statsdDropped, statsdBuffer, seriesDropped)
}

// Observe implements [ingest.Sink]. It does not allocate if the sender, the app and
// the route are known.
func (r *Requests) Observe(e *ingest.Event, from ingest.Source) {
	if e.Kind == ingest.Ignored {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.count(e, from); a != nil && isFromAppSide(e.Kind) {
		a.heard = true
	}
}

// count adds an event to an account and returns that, which may be one that several apps
// share; nil if the event was refused, which is counted.
func (r *Requests) count(e *ingest.Event, from ingest.Source) *account {
	a, folded := r.accountFor(e, from)
	if a != nil && (a.observe(e, &r.limits) || folded) {
		r.limits.countFolded(e) // once, even if it is over several limits
	}
	return a
}

// accountFor returns the account to which an event is added: that of its app; if it names
// none, one of the sender alone, or "unknown" if there are too many senders; nil if the
// event was refused, which is counted. folded: several apps share the account because of
// a limit.
func (r *Requests) accountFor(e *ingest.Event, from ingest.Source) (a *account, folded bool) {
	s := r.senders.last
	if s == nil || s.key != from {
		if s = r.sender(from); s == nil {
			return r.accountWithoutSender(e, from)
		}
		r.senders.last = s
	}
	s.active = true
	switch {
	case len(e.App) == 0:
		if s.unproven { // it can be proven only while its socket is open
			r.requestResolve()
		}
		return &s.unnamed, false
	case s.cached.epoch == r.accounts.epoch && s.cached.app == string(e.App):
		a, folded = s.cached.account, s.cached.folded
	default:
		a, folded = r.accountByName(s, e.App)
	}
	switch {
	case a == nil:
		r.refuseEvent(s, e)
	case a.class == classPending && !e.Again:
		a.lines++
	}
	return a, folded
}
