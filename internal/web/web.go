// Package web shows what the exporter sees: the status page, its JSON, and
// the /-/ endpoints that Prometheus people expect. It measures nothing.
package web

import (
	"html/template"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/actions"
	"github.com/resp-exporter/resp-exporter/internal/health"
)

// Source gives what the latest gather read and how that was judged; a
// judgement of the zero time says that there was none yet. It must not block.
type Source interface {
	Latest() (health.Readings, health.Judgement)
}

// Options is all that a [Web] needs. Source is required.
type Options struct {
	Source  Source
	History *History // nil: the page has no charts' data and no trends

	Version string    // of the exporter
	Host    string    // name of this host, for people
	Started time.Time // of the exporter

	RoutePrefix string // "" or "/", or "/admin/responsiveness": where all paths live
	MetricsPath string // as seen from RoutePrefix; "" is /metrics

	LifecycleEnabled bool         // POST /-/reload may be used
	Reload           func() error // applies a new configuration
	Ready            func() bool  // nil: always ready
	Pprof            bool         // serve /debug/pprof/

	Healing func() actions.Snapshot // nil: the page says nothing of healing

	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: no log
}

// Web is the status page and what belongs to it. It keeps nothing but the
// options, and no goroutine.
type Web struct {
	opts   Options
	page   *template.Template
	assets map[string]asset
}

// New returns a Web; nothing is served before [Web.Register].
func New(o Options) *Web {
	o.RoutePrefix = strings.TrimRight("/"+strings.Trim(o.RoutePrefix, "/"), "/")
	if o.MetricsPath == "" {
		o.MetricsPath = "/metrics"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.History == nil {
		o.History = NewHistory()
	}
	if o.Ready == nil {
		o.Ready = func() bool { return true }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Web{opts: o, page: parsePage(), assets: loadAssets()}
}

// Register adds all paths below the route prefix to mux.
func (w *Web) Register(mux *http.ServeMux) {
	prefix := w.opts.RoutePrefix
	handle := func(method, path string, h http.HandlerFunc) {
		mux.Handle(method+" "+prefix+path, guarded(h))
	}
	handle("GET", "/{$}", w.servePage)
	handle("GET", "/api/v1/status", w.serveStatus)
	handle("GET", "/api/v1/page", w.serveUpdate)
	handle("GET", "/static/{name...}", w.serveAsset)
	handle("GET", "/-/healthy", w.serveHealthy)
	handle("GET", "/-/ready", w.serveReady)
	reload := http.NewCrossOriginProtection().Handler(http.HandlerFunc(w.serveReload)).ServeHTTP
	handle("POST", "/-/reload", reload)
	handle("PUT", "/-/reload", reload)
	if prefix != "" {
		handleRoot := http.RedirectHandler(prefix+"/", http.StatusFound)
		mux.Handle("GET /{$}", handleRoot)
		mux.Handle("GET "+prefix, handleRoot)
	}
	if w.opts.Pprof {
		registerPprof(mux, prefix)
	}
}

// registerPprof serves the profiles on mux alone: the package itself only
// knows the default mux, which nobody serves.
func registerPprof(mux *http.ServeMux, prefix string) {
	for path, h := range map[string]http.HandlerFunc{
		"":        pprof.Index,
		"cmdline": pprof.Cmdline,
		"profile": pprof.Profile,
		"symbol":  pprof.Symbol,
		"trace":   pprof.Trace,
	} {
		mux.Handle("GET "+prefix+"/debug/pprof/"+path, http.StripPrefix(prefix, h))
	}
}

// policy allows nothing but our own files: no inline script or style, no
// frame, nothing from outside.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

func guarded(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		head := rw.Header()
		head.Set("Content-Security-Policy", policy)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Cache-Control", "no-store")
		h(rw, req)
	})
}
