// Package web shows what the exporter sees: the status page, its JSON, and
// the /-/ endpoints that Prometheus people expect. It measures nothing.
package web

import (
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/docs"
	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/web/charts"
	"github.com/resp-exporter/resp-exporter/internal/web/past"
	"github.com/resp-exporter/resp-exporter/internal/web/runbooks"
)

// Options is all that a [Web] needs. Source is required.
type Options struct {
	Source  Source
	History *charts.History // nil: the page has no charts' data and no trends
	Past    past.History    // nil: nothing is remembered

	Version string    // of the exporter
	Host    string    // name of this host, for people
	Started time.Time // of the exporter

	RoutePrefix string // "" or "/", or "/admin/responsiveness": where all paths live
	MetricsPath string // as seen from RoutePrefix; "" is /metrics

	LifecycleEnabled bool         // POST /-/reload may be used
	Reload           func() error // applies a new configuration, and logs why it cannot
	Ready            func() bool  // nil: always ready
	Pprof            bool         // serve /debug/pprof/

	Healing func() heal.Snapshot // nil: the page says nothing of healing

	Spent *charts.Spent // nil: the page does not say where the time goes

	// StatsD returns the addresses at which requests can be reported. nil: they are not
	// known.
	StatsD func() []string

	// Threads returns the request threads of a worker as they were last sampled, and
	// whether it is sampled. nil: those of the last gather are shown.
	Threads func(pid int) ([]model.Thread, bool)

	// SendTo returns where apps send their StatsD lines, as gunicorn's --statsd-host
	// takes it; "" if nobody listens. nil: 127.0.0.1:9125.
	SendTo func() string

	// Guard refuses requests for the page, its files and its JSON by a host name
	// that is not the exporter's, GuardBrowsers those of browsers only. nil: none.
	Guard, GuardBrowsers func(http.Handler) http.Handler

	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: no log
}

// Web is the status page and what belongs to it. It keeps nothing but the
// options, and no goroutine.
type Web struct {
	opts   Options
	page   *template.Template
	books  *runbooks.Page
	past   *past.Views
	assets map[string]asset
}

// New returns a Web with defaults for options that are not set. It serves nothing before
// [Web.Register].
func New(o Options) *Web {
	o.RoutePrefix = strings.TrimRight("/"+strings.Trim(o.RoutePrefix, "/"), "/")
	if o.MetricsPath == "" {
		o.MetricsPath = "/metrics"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.History == nil {
		o.History = charts.New()
	}
	if o.Past == nil {
		o.Past = past.None{}
	}
	if o.Ready == nil {
		o.Ready = func() bool { return true }
	}
	if o.SendTo == nil {
		o.SendTo = func() string { return "127.0.0.1:9125" }
	}
	if o.Guard == nil {
		o.Guard = func(h http.Handler) http.Handler { return h }
	}
	if o.GuardBrowsers == nil {
		o.GuardBrowsers = func(h http.Handler) http.Handler { return h }
	}
	o.Logger = logs.Or(o.Logger)
	books, err := runbooks.Parse(docs.Runbooks(), docsFiles)
	if err != nil { // they are part of the binary, and a test reads them
		panic(fmt.Sprintf("embedded runbooks: %v", err))
	}
	return &Web{opts: o, page: parsePage(), books: books, past: past.New(o.Past, o.Spent, o.Now), assets: loadAssets()}
}

// Register adds the handlers of all paths below the route prefix to mux.
func (w *Web) Register(mux *http.ServeMux) {
	prefix := w.opts.RoutePrefix
	handle := func(method, path string, h http.Handler) {
		mux.Handle(method+" "+prefix+path, guarded(h))
	}
	shown := func(path string, h http.HandlerFunc) { handle("GET", path, w.opts.Guard(h)) }
	shown("/{$}", w.servePage)
	shown(runbooksPath, w.serveRunbooks)
	shown("/api/v1/status", w.serveStatus)
	shown("/api/v1/page", w.serveUpdate)
	shown("/api/v1/history", w.serveHistory)
	shown("/api/v1/incidents", w.serveIncidents)
	shown("/static/{name...}", w.serveAsset)
	handle("GET", "/-/healthy", http.HandlerFunc(w.serveHealthy))
	handle("GET", "/-/ready", http.HandlerFunc(w.serveReady))
	reload := w.opts.GuardBrowsers(http.NewCrossOriginProtection().Handler(http.HandlerFunc(w.serveReload)))
	handle("POST", "/-/reload", reload)
	handle("PUT", "/-/reload", reload)
	if prefix != "" {
		root := w.opts.Guard(http.RedirectHandler(prefix+"/", http.StatusFound))
		mux.Handle("GET /{$}", root)
		mux.Handle("GET "+prefix, root)
	}
	if w.opts.Pprof {
		w.registerPprof(mux)
	}
}

// PprofPath is the path of the profiles, below the route prefix.
const PprofPath = "/debug/pprof/"

// maxProfile is the longest time that a profile may take, in seconds.
const maxProfile = 300

// registerPprof adds the profiles to mux. The package pprof adds them only to the default
// mux, which is not served.
func (w *Web) registerPprof(mux *http.ServeMux) {
	prefix := w.opts.RoutePrefix
	for path, h := range map[string]http.HandlerFunc{
		"":        pprof.Index,
		"cmdline": pprof.Cmdline,
		"profile": pprof.Profile,
		"symbol":  pprof.Symbol,
		"trace":   pprof.Trace,
	} {
		mux.Handle("GET "+prefix+PprofPath+path, w.opts.Guard(http.StripPrefix(prefix, briefly(h))))
	}
}

// briefly returns a handler that refuses (400) a profile of more than maxProfile seconds;
// h handles all others, and what is no number.
func briefly(h http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, req *http.Request) {
		// The package takes for its default what is no number.
		if s, err := strconv.ParseFloat(req.FormValue("seconds"), 64); err == nil && !(s <= maxProfile) {
			http.Error(rw, fmt.Sprintf("seconds must be %d at most", maxProfile), http.StatusBadRequest)
			return
		}
		h(rw, req)
	}
}

// policy allows nothing but our own files: no inline script or style, no
// frame, nothing from outside.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// guarded returns a handler that sets the headers for security, and then calls h.
func guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		head := rw.Header()
		head.Set("Content-Security-Policy", policy)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Cache-Control", "no-store")
		h.ServeHTTP(rw, req)
	})
}
