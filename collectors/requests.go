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

// patience is how long a sender may wait for its app to be found, and how long
// a silent one is remembered.
const patience = time.Minute

var (
	httpRequests = counter("http_requests_total",
		"Answered requests, as the app's server or the app itself reports them. Method and route are empty unless the app reports them.",
		"app", "code", "method", "route")
	httpDuration = histogram("http_request_duration_seconds",
		"Time that requests took, as the app's server or the app itself reports it.",
		"app", "method", "route")
	httpSlow = counter("http_slow_requests_total",
		"Requests that took longer than slow_request.", "app")
	appLogMessages = counter("app_log_messages_total",
		"Lines that the app's server logged, by level.", "app", "level")
	statsdLines = counter("statsd_lines_total",
		"StatsD lines received: parsed, unknown (of no use here), malformed, or over_limit (counted, but not under a name of its own).", "outcome")
	statsdPackets = counter("statsd_packets_total",
		"StatsD datagrams received.")
	statsdDropped = counter("statsd_packets_dropped_total",
		"StatsD datagrams lost: the socket's receive buffer was full.", "where")
	statsdBuffer = gauge("statsd_receive_buffer_bytes",
		"Receive buffers of the open StatsD sockets, as the kernel granted them.")
	seriesDropped = counter("series_dropped_total",
		"What a bound left out: events without a series of their own; apps, workers, queues, rows and descriptors that were not looked at.", "family")
)

// RequestsOptions are the settings of [NewRequests].
type RequestsOptions struct {
	SlowRequest time.Duration // a request that takes longer is slow; 0: 5 s
	MaxRoutes   int           // distinct routes an app may have; 0: 200
	MaxApps     int           // distinct apps; 0: 50
	// Attribute finds the apps of senders that did not name theirs; those it
	// cannot find are missing in its answer. It may be nil.
	Attribute func(context.Context, []ingest.Source) map[ingest.Source]string
	// Stats gives what the listeners received. It may be nil.
	Stats func() statsd.Stats
	// Problem says why a listener cannot listen, as an [Unavailable]; nil: all
	// do. It may be nil.
	Problem func() error
	Now     func() time.Time // nil: time.Now
}

// Requests is the collector of what apps and their servers report of their
// requests. It is the sink of every ingest, and keeps its counts itself.
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

	mu      sync.Mutex // guards all down to page; Observe takes it for each event
	limits  limits
	apps    map[string]*account
	sources map[ingest.Source]*sender
	last    struct {
		app    *account
		source ingest.Source
		sender *sender
	}
	parsed float64 // the most that was published as parsed

	page pages // has a mutex of its own
}

// sender is somebody whose app is not known yet.
type sender struct {
	account account
	since   time.Time // when it was first found waiting
	seen    time.Time // when it was last found to have sent something
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
	r := &Requests{
		o:       o,
		started: o.Now(),
		apps:    make(map[string]*account),
		sources: make(map[ingest.Source]*sender),
	}
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
}

// Name implements Collector.
func (*Requests) Name() string { return "requests" }

// Descs implements Collector.
func (*Requests) Descs() []*prometheus.Desc {
	return descs(httpRequests, httpDuration, httpSlow, appLogMessages,
		statsdLines, statsdPackets, statsdDropped, statsdBuffer, seriesDropped)
}

// Observe implements [ingest.Sink]. It allocates nothing for an app and a route
// that are known.
func (r *Requests) Observe(e *ingest.Event, from ingest.Source) {
	if e.Kind == ingest.Ignored {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a, folded := r.account(e, from)
	if a.observe(e, &r.limits) || folded {
		r.limits.refuse(e.Kind) // once, however many bounds it met
	}
}

func (r *Requests) account(e *ingest.Event, from ingest.Source) (a *account, folded bool) {
	if len(e.App) == 0 {
		return r.sender(from)
	}
	if a := r.last.app; a != nil && a.name == string(e.App) {
		return a, false
	}
	if a = r.apps[string(e.App)]; a == nil {
		a, folded = r.newApp(string(e.App))
	}
	r.last.app = a
	return a, folded
}

// sender finds the account of somebody who did not name an app.
func (r *Requests) sender(from ingest.Source) (a *account, folded bool) {
	if s := r.last.sender; s != nil && r.last.source == from {
		return &s.account, false
	}
	s := r.sources[from]
	if s == nil {
		if len(r.sources) >= maxSources {
			if r.apps[unknown] == nil {
				r.apps[unknown] = &account{name: unknown}
			}
			return r.apps[unknown], true
		}
		s = &sender{}
		r.sources[from] = s
	}
	r.last.source, r.last.sender = from, s
	return &s.account, false
}

// newApp makes an app's account within the bound. The two names that stand for
// many are always to be had.
func (r *Requests) newApp(name string) (a *account, folded bool) {
	spare := 0
	for _, n := range []string{other, unknown} {
		if r.apps[n] != nil {
			spare++
		}
	}
	if name != other && name != unknown && len(r.apps)-spare >= r.o.MaxApps {
		name, folded = other, true
		if a := r.apps[other]; a != nil {
			return a, folded
		}
	}
	a = &account{name: name}
	r.apps[name] = a
	return a, folded
}

// settle finds the apps of those who did not name theirs, and moves what they
// sent to their apps' accounts: each event once. Attribute may take its time;
// events may come in and others may settle meanwhile.
func (r *Requests) settle(ctx context.Context) {
	now := r.o.Now()
	waiting := r.waiting(now)
	if len(waiting) == 0 {
		return
	}
	var found map[ingest.Source]string
	if r.o.Attribute != nil {
		found = r.o.Attribute(ctx, waiting)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, from := range waiting {
		s := r.sources[from]
		if s == nil || !s.account.dirty {
			continue
		}
		switch name := found[from]; {
		case name != "":
			r.move(s, name)
		case now.Sub(s.since) >= patience:
			r.move(s, unknown)
		}
	}
}

// move gives all that a sender has sent so far to an app.
func (r *Requests) move(s *sender, name string) {
	a := r.apps[name]
	if a == nil {
		var folded bool
		if a, folded = r.newApp(name); folded {
			s.account.refuse(&r.limits)
		}
	}
	a.merge(&s.account, &r.limits)
	s.since = time.Time{}
}

// waiting lists the senders that have something to settle, and forgets those
// that have long been silent.
func (r *Requests) waiting(now time.Time) []ingest.Source {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []ingest.Source
	for from, s := range r.sources {
		switch {
		case s.account.dirty:
			out = append(out, from)
			s.seen = now
			if s.since.IsZero() {
				s.since = now
			}
		case now.Sub(s.seen) > patience:
			delete(r.sources, from)
			if r.last.sender == s {
				r.last.sender = nil
			}
		}
	}
	return out
}
