package collectors

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/ingest/statsd"
)

// unknown is the app of events whose sender cannot be told.
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
		"StatsD lines received, by result: parsed, unknown (a valid line of a metric that is not used), malformed, over_limit (counted under the name other), or untrusted (dropped because the sender may not report for the app).", "outcome")
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
	// Attribute finds the apps of senders that did not name theirs; those it
	// cannot find are missing in its answer. It may be nil.
	Attribute func(context.Context, []ingest.Source) map[ingest.Source]string
	// Prove returns what the kernel reports about UDP sources; those that are
	// missing stay unproven. nil: all do.
	Prove func(context.Context, []ingest.Source) map[ingest.Source]ingest.Source
	// Users returns the user ids of the processes of each watched app, none for
	// one that is down; a nil map if it cannot tell. It may be nil.
	Users func(context.Context) map[string][]uint32
	// Trusts reports whether a sender may report for every app. nil: all may.
	Trusts func(ingest.Source) bool
	// Stats returns what the listeners received. It may be nil.
	Stats func() statsd.Stats
	// Problem says why a listener cannot listen, as an [Unavailable]; nil: all
	// do. It may be nil.
	Problem func() error
	Now     func() time.Time // nil: time.Now
}

// Requests is the collector of what apps and their servers report of their
// requests. It is the sink of every ingest, and keeps its counts itself.
//
// What a line reports counts for the app that it names only if the sender may
// report for that app: a process with a user id of the app's processes, root,
// the exporter's own user, or whom the configuration trusts. A name that no
// watched app has belongs to the first user that reports for it.
//
// Every bound folds and never loses: a route too many counts under "other", an
// app too many too, a status code too many under the x00 of its class.
//
// Once an app has sent one whole request (the Flask integration does), what
// gunicorn says of its durations and statuses is ignored from then on, because
// it is the same requests again. Its log levels still count.
type Requests struct {
	o       RequestsOptions
	started time.Time
	wake    chan struct{} // somebody waits to be proven

	mu      sync.Mutex // guards all down to parsed; Observe takes it for each event
	limits  limits
	places  places
	senders senders
	parsed  float64 // the most that was published as parsed
	misread map[string]*misread

	page pages // has a mutex of its own
}

// NewRequests makes the collector.
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
	r := &Requests{o: o, started: o.Now(), wake: make(chan struct{}, 1)}
	r.places = places{max: o.MaxApps, apps: make(map[string]*account)}
	r.senders = senders{all: make(map[ingest.Source]*sender), refused: make(map[refusal]*blame)}
	r.misread = make(map[string]*misread)
	r.page.before = r.started
	r.page.apps = make(map[string]*history)
	r.Apply(o.SlowRequest, o.MaxRoutes)
	return r
}

// Apply takes new settings over; no count is lost. Routes that already have
// their series keep them.
func (r *Requests) Apply(slow time.Duration, maxRoutes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limits.slow, r.limits.maxRoutes = slow.Seconds(), maxRoutes
	r.places.epoch++ // whom the configuration trusts may have changed too
}

// Name implements Collector.
func (*Requests) Name() string { return "requests" }

// Descs implements Collector.
func (*Requests) Descs() []*prometheus.Desc {
	return descs(httpRequests, httpDuration, httpSlow, appLogMessages,
		statsdLines, statsdPackets, statsdDropped, statsdBuffer, seriesDropped)
}

// Observe implements [ingest.Sink]. It allocates nothing for a sender, an app
// and a route that are known.
func (r *Requests) Observe(e *ingest.Event, from ingest.Source) {
	if e.Kind == ingest.Ignored {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a, folded := r.account(e, from)
	if a == nil {
		return
	}
	if a.observe(e, &r.limits) || folded {
		r.limits.refuse(e) // once, however many bounds it met
	}
}

// account returns where an event counts; nil: nowhere, and that is counted.
func (r *Requests) account(e *ingest.Event, from ingest.Source) (a *account, folded bool) {
	s := r.senders.last
	if s == nil || s.key != from {
		if s = r.sender(from); s == nil {
			return r.homeless(e, from)
		}
		r.senders.last = s
	}
	s.heard = true
	switch {
	case len(e.App) == 0:
		if s.pending { // it is to be proven while its socket is open
			r.knock()
		}
		return &s.own, false
	case s.verdict.epoch == r.places.epoch && s.verdict.app == string(e.App):
		a, folded = s.verdict.account, s.verdict.folded
	default:
		a, folded = r.judge(s, e.App)
	}
	switch {
	case a == nil:
		r.refuse(s, e)
	case a.standing == waiting && !e.Again:
		a.lines++
	}
	return a, folded
}
