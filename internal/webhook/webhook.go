package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/logs"
)

const (
	maxBody     = 1 << 20         // bytes; more than a thousand alerts
	maxShort    = 64 << 10        // bytes of a body that is read at any time
	deadline    = 2 * time.Second // of a request, body and answer
	maxAtOnce   = 16              // requests; Alertmanager sends one a group
	maxLarge    = 4               // bodies above maxShort: 1 MiB of small alerts takes some 20 MiB while it is parsed
	maxPause    = 30 * 24 * time.Hour
	maxOrder    = 4 << 10 // bytes of an operator's request
	maxTruncate = 1 << 20 // alerts that one notification may say it left out
)

// errMany is the answer while too many requests are in progress.
const errMany = "too many requests at once"

// Options are what a [Webhook] needs.
type Options struct {
	Runner      Runner
	TokenFile   func() string // of the configuration in force; "": alerts need none, and orders are refused
	RoutePrefix string        // "" or "/x": where all paths live
	Logger      *slog.Logger

	// Guard refuses requests by a host name that is not the exporter's,
	// GuardBrowsers those of browsers only. nil: none.
	Guard, GuardBrowsers func(http.Handler) http.Handler
}

// Stats are the counters of a [Webhook], since its start.
type Stats struct {
	Requests  map[int]uint64 // of /api/v1/alerts, by status code
	Truncated uint64         // alerts that Alertmanager left out of notifications
}

// Webhook serves /api/v1/alerts, /api/v1/runs, /api/v1/pause and /api/v1/resume.
type Webhook struct {
	o     Options
	slots chan struct{} // notifications handed over
	large chan struct{} // bodies above maxShort that are read and handed over

	mu        sync.Mutex
	requests  map[int]uint64
	truncated uint64
}

// New returns a Webhook; nothing is served before [Webhook.Register].
func New(o Options) *Webhook {
	if o.Guard == nil {
		o.Guard = func(h http.Handler) http.Handler { return h }
	}
	if o.GuardBrowsers == nil {
		o.GuardBrowsers = func(h http.Handler) http.Handler { return h }
	}
	o.Logger = logs.Or(o.Logger)
	w := &Webhook{o: o, slots: make(chan struct{}, maxAtOnce), large: make(chan struct{}, maxLarge), requests: make(map[int]uint64)}
	for _, code := range []int{202, 400, 401, 405, 413, 415, 503} {
		w.requests[code] = 0
	}
	return w
}

// Stats returns the counters.
func (w *Webhook) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Stats{maps.Clone(w.requests), w.truncated}
}

// Register adds the paths below the route prefix to mux, each with all methods:
// the wrong ones are counted, and answered as JSON.
func (w *Webhook) Register(mux *http.ServeMux) {
	prefix := strings.TrimRight("/"+strings.Trim(w.o.RoutePrefix, "/"), "/") + "/api/v1"
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		fail(rw, http.StatusForbidden, "cross-site request refused")
	}))
	handle := func(path, method string, h http.HandlerFunc) {
		each(mux, prefix+path, w.guarded(guard.Handler(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
			rw.Header().Set("Cache-Control", "no-store")
			rw.Header().Set("X-Content-Type-Options", "nosniff")
			if req.Method != method && (method != http.MethodGet || req.Method != http.MethodHead) {
				rw.Header().Set("Allow", method)
				fail(rw, http.StatusMethodNotAllowed, "only "+method+" is accepted")
				return
			}
			h(rw, req)
		}))))
	}
	each(mux, prefix+"/alerts", w.o.GuardBrowsers(guard.Handler(http.HandlerFunc(w.serveAlerts))))
	handle("/runs", http.MethodGet, w.serveRuns)
	handle("/runs/{id}", http.MethodGet, w.serveRun)
	handle("/runs/{id}/approve", http.MethodPost, w.withToken(w.serveApprove))
	handle("/pause", http.MethodPost, w.withToken(w.servePause))
	handle("/resume", http.MethodPost, w.withToken(w.serveResume))
}

// guarded checks the host name of a request, unless the request has the token,
// which no page of another site has. Alertmanager may use any name for the
// exporter, so of its notifications only those from browsers are checked.
func (w *Webhook) guarded(next http.Handler) http.Handler {
	checked := w.o.Guard(next)
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if file := w.o.TokenFile(); file != "" && tokenOf(req) != "" {
			if ok, err := authorized(req, file); err == nil && ok {
				next.ServeHTTP(rw, req)
				return
			}
		}
		checked.ServeHTTP(rw, req)
	})
}

// each registers a handler with each method: a pattern without one would
// conflict with "GET /".
func each(mux *http.ServeMux, path string, h http.Handler) {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions} {
		mux.Handle(method+" "+path, h)
	}
}

// serveAlerts answers a notification before any action runs, and counts its
// answers.
func (w *Webhook) serveAlerts(rw http.ResponseWriter, req *http.Request) {
	code, text, truncated := w.receive(rw, req)
	w.mu.Lock()
	w.requests[code]++
	w.truncated += min(truncated, maxTruncate)
	w.mu.Unlock()
	if code == http.StatusAccepted {
		answer(rw, code, map[string]string{"status": "accepted"})
		return
	}
	rw.Header().Set("Connection", "close") // what is left of the body is not read
	fail(rw, code, text)
}

// receive handles one notification and returns the status code and text of its
// answer.
func (w *Webhook) receive(rw http.ResponseWriter, req *http.Request) (code int, text string, truncated uint64) {
	if req.Method != http.MethodPost {
		rw.Header().Set("Allow", http.MethodPost)
		return http.StatusMethodNotAllowed, "only POST is accepted", 0
	}
	if code, text := w.authorize(req); code != 0 {
		return code, text, 0
	}
	if kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return http.StatusUnsupportedMediaType, "the Content-Type must be application/json", 0
	}
	if req.ContentLength > maxBody {
		return http.StatusRequestEntityTooLarge, "more than 1 MiB", 0
	}
	ctx, cancel := context.WithTimeout(req.Context(), deadline)
	defer cancel()
	// A client that sends a byte a second is not waited for any longer.
	if err := http.NewResponseController(rw).SetReadDeadline(time.Now().Add(deadline)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return http.StatusServiceUnavailable, "no deadline can be set for the connection", 0
	}
	body, release, code, text := w.readBody(ctx, req.Body)
	defer release()
	if code != 0 {
		return code, text, 0
	}
	select {
	case w.slots <- struct{}{}:
		defer func() { <-w.slots }()
	default:
		return http.StatusServiceUnavailable, errMany, 0
	}
	m, err := Parse(body)
	if err != nil {
		return http.StatusBadRequest, sentence(err), 0
	}
	return w.enqueue(ctx, m)
}

// enqueue hands the alerts to the runner and waits for its answer, at most
// until the deadline: a disk may hang.
func (w *Webhook) enqueue(ctx context.Context, m Message) (int, string, uint64) {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("panic: %v", p)
			}
		}()
		_, err := w.o.Runner.Take(ctx, m.Alerts)
		done <- err
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	switch {
	case err == nil:
		return http.StatusAccepted, "", m.Truncated
	case errors.Is(err, heal.ErrFull):
		return http.StatusServiceUnavailable, "the queue is full", m.Truncated
	case errors.Is(err, heal.ErrUnwritten):
		return http.StatusServiceUnavailable, "the journal cannot be written", m.Truncated
	}
	return http.StatusServiceUnavailable, "the journal was not written in time", m.Truncated
}
