package app

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/resp-exporter/resp-exporter/internal/openfiles"
	"github.com/resp-exporter/resp-exporter/internal/serve"
	"github.com/resp-exporter/resp-exporter/internal/web"
)

// headerLimit is how long a client may take to send the headers of a request.
const headerLimit = 10 * time.Second

// httpLimits keeps clients from exhausting the HTTP server.
type httpLimits struct {
	connections *serve.Connections
	responses   *serve.Responses
	hosts       *serve.Hosts
}

// newHTTPLimits returns the limits of connections, responses and host names; an error of a name.
func newHTTPLimits(o *Options) (*httpLimits, error) {
	hostname, _ := os.Hostname() // without one, no name is the host's own
	b := &httpLimits{connections: serve.NewConnections(serve.Limit(openfiles.Limit(openfiles.Connections)))}
	b.responses = serve.NewResponses(b.connections)
	var err error
	b.hosts, err = serve.NewHosts(serve.HostOptions{
		Own: serve.OwnNames(hostname, "/etc"), ExternalURL: o.ExternalURL, Allowed: o.AllowedHosts,
		Login: func() bool { return o.Web != nil && o.Web.WebConfigFile != nil && serve.HasLogin(*o.Web.WebConfigFile) },
	})
	return b, err
}

// newServer returns the HTTP server with all its paths, not listening yet. An error: its own process is unreadable.
func (a *App) newServer() (*http.Server, error) {
	limits := a.limits
	scrape, err := newMetrics(a.set, a.o)
	if err != nil {
		return nil, err
	}
	scrape.own.MustRegister(&serverStats{limits, scrape.refused.Load})
	host, err := os.Hostname()
	if err != nil {
		host = "this host"
	}
	mux := http.NewServeMux()
	page := web.New(web.Options{
		Source: a, Threads: a.sampler.Threads, History: a.history, Past: remembered{a.past.samples, a.past.records}, Version: a.o.Version, Host: host, Started: time.Now(),
		RoutePrefix: a.o.RoutePrefix, MetricsPath: a.o.MetricsPath,
		LifecycleEnabled: a.o.Lifecycle, Reload: func() error { return a.Reload(context.Background()) }, Ready: func() bool { return a.latest.Load() != nil },
		Pprof: a.o.Pprof, Healing: a.heal.snapshot, Logger: a.log, SendTo: func() string { return a.config.Load().StatsD.SendTo() },
		Guard: limits.hosts.Guard, GuardBrowsers: limits.hosts.GuardBrowsers,
		Spent: a.spent, StatsD: a.receivers.listening,
	})
	page.Register(mux)
	a.heal.register(mux)
	mux.Handle("GET "+prefixed(a.o.RoutePrefix, a.o.MetricsPath), serve.Compressed(scrape))
	s := &http.Server{
		Handler: withLimits(limits, mux, prefixed(a.o.RoutePrefix, web.PprofPath)), ReadHeaderTimeout: headerLimit,
		// For bodies that the server reads without a handler.
		ReadTimeout: headerLimit + serve.BodyLimit,
		// For what is written before or without a handler, and for profiles, which
		// add to it the seconds that they take.
		WriteTimeout: 2 * serve.WriteLimit,
		IdleTimeout:  5 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 32, MaxReceiveBufferPerConnection: 1 << 20, MaxReceiveBufferPerStream: 256 << 10, WriteByteTimeout: serve.WriteLimit},
	}
	limits.connections.Attach(s)
	return s, nil
}

// withLimits returns a handler that limits each request and response of mux. A response
// is rendered before it is sent, except below the path profiles: those are written while
// they are taken.
func withLimits(b *httpLimits, mux *http.ServeMux, profiles string) http.Handler {
	direct := b.connections.Bodies(mux)
	whole := b.responses.Buffered(direct)
	return b.connections.Requests(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, profiles) {
			direct.ServeHTTP(w, req)
			return
		}
		whole.ServeHTTP(w, req)
	}))
}

// shutDown waits until ctx ends, then ends the server: in order within five seconds, else
// at once, where the error is that of closing it.
func (a *App) shutDown(ctx context.Context) error {
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := a.server.Shutdown(ctx); err != nil {
		return a.server.Close()
	}
	return nil
}

// serve serves until the server is closed; the error is nil then.
func (a *App) serve(context.Context) error {
	var err error
	if a.o.Listener != nil {
		err = toolkit.Serve(a.o.Listener, a.server, a.o.Web, a.log)
	} else {
		err = toolkit.ListenAndServe(a.server, a.o.Web, a.log)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
