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
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/heal/relay"
	"github.com/resp-exporter/resp-exporter/internal/logs"
)

const (
	maxBody     = 1 << 20         // bytes; more than a thousand alerts
	maxShort    = 64 << 10        // bytes of a body that is read at any time
	deadline    = 2 * time.Second // of a request, body and answer
	maxAtOnce   = 16              // notifications that are decided on; Alertmanager sends one a group
	maxQueued   = 256             // notifications that wait for that, until their deadline
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
	queue chan struct{} // those, and those that wait
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
	w := &Webhook{o: o, slots: make(chan struct{}, maxAtOnce), queue: make(chan struct{}, maxAtOnce+maxQueued), large: make(chan struct{}, maxLarge), requests: make(map[int]uint64)}
	for _, code := range []int{202, 400, 401, 405, 413, 415, 503} {
		w.requests[code] = 0
	}
	return w
}

// Stats returns a copy of the counters since the start.
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

// guarded returns a handler that checks the host name of a request, unless the request has
// the token, which no page of another site has. Alertmanager may use any name for the
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

// serveAlerts responds to a notification before any action runs, and counts its
// responses.
func (w *Webhook) serveAlerts(rw http.ResponseWriter, req *http.Request) {
	r := w.receive(rw, req)
	w.mu.Lock()
	w.requests[r.code]++
	w.truncated += min(r.truncated, maxTruncate)
	w.mu.Unlock()
	if r.code == http.StatusAccepted {
		answer(rw, r.code, accepted{"accepted", r.decisions})
		return
	}
	if r.code != http.StatusServiceUnavailable || req.ContentLength < 0 || req.ContentLength > maxShort {
		rw.Header().Set("Connection", "close") // what is left of the body is not read
	}
	fail(rw, r.code, r.text)
}

// outcome is what became of one notification.
type outcome struct {
	code      int
	text      string                   // of the response, if it is an error
	truncated uint64                   // alerts that Alertmanager left out
	decisions map[journal.Decision]int // of an accepted one
}

// accepted is the response to a notification that was accepted. It has how many of its
// alerts were decided on in which way: a person who sends one by hand sees why no run
// begins. Alertmanager reads nothing of it.
type accepted struct {
	Status    string                   `json:"status"`
	Decisions map[journal.Decision]int `json:"decisions"`
}

// receive handles one notification and returns the status of its response, 202 if the
// runner has decided on its alerts, with an error text or the decisions.
func (w *Webhook) receive(rw http.ResponseWriter, req *http.Request) outcome {
	if req.Method != http.MethodPost {
		rw.Header().Set("Allow", http.MethodPost)
		return outcome{code: http.StatusMethodNotAllowed, text: "only POST is accepted"}
	}
	if code, text := w.authorize(req); code != 0 {
		return outcome{code: code, text: text}
	}
	if kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return outcome{code: http.StatusUnsupportedMediaType, text: "the Content-Type must be application/json"}
	}
	if req.ContentLength > maxBody {
		return outcome{code: http.StatusRequestEntityTooLarge, text: "more than 1 MiB"}
	}
	ctx, cancel := context.WithTimeout(req.Context(), deadline)
	defer cancel()
	// A client that sends a byte a second is not waited for any longer.
	if err := http.NewResponseController(rw).SetReadDeadline(time.Now().Add(deadline)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return outcome{code: http.StatusServiceUnavailable, text: "no deadline can be set for the connection"}
	}
	body, release, code, text := w.readBody(ctx, req.Body)
	defer release()
	if code != 0 {
		return outcome{code: code, text: text}
	}
	leave, ok := w.enter(ctx)
	if !ok {
		return outcome{code: http.StatusServiceUnavailable, text: errMany}
	}
	defer leave()
	m, err := Parse(body)
	if err != nil {
		return outcome{code: http.StatusBadRequest, text: sentence(err)}
	}
	return w.enqueue(ctx, m)
}

// enter waits for the turn of a notification, which lasts until leave is called. ok is
// false at once if too many wait, and when ctx ends. To refuse it at once would cost more
// than to wait: Alertmanager sends it again, and with many groups all of them.
func (w *Webhook) enter(ctx context.Context) (leave func(), ok bool) {
	select {
	case w.queue <- struct{}{}:
	default:
		return nil, false
	}
	select {
	case w.slots <- struct{}{}:
		return func() { <-w.slots; <-w.queue }, true
	case <-ctx.Done():
		<-w.queue
		return nil, false
	}
}

// relayed is the decision on alerts that the runner did not decide on: they are about other
// hosts.
const relayed journal.Decision = "relayed"

// enqueue passes the alerts to the runner and waits for its result, at most until the
// deadline: a disk may hang. It returns 202 with the number of alerts by decision, else
// 503 with a text.
func (w *Webhook) enqueue(ctx context.Context, m Message) outcome {
	type taken struct {
		decisions []journal.Decision
		err       error
	}
	done := make(chan taken, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- taken{err: fmt.Errorf("panic: %v", p)}
			}
		}()
		d, err := w.o.Runner.Take(ctx, m.Alerts)
		done <- taken{d, err}
	}()
	var t taken
	select {
	case t = <-done:
	case <-ctx.Done():
		t.err = context.Cause(ctx)
	}
	out := outcome{code: http.StatusServiceUnavailable, text: "the journal was not written in time", truncated: m.Truncated}
	switch {
	case t.err == nil:
		out.code, out.text, out.decisions = http.StatusAccepted, "", make(map[journal.Decision]int)
		for _, d := range t.decisions {
			out.decisions[d]++
		}
		if n := len(m.Alerts) - len(t.decisions); n > 0 {
			out.decisions[relayed] = n
		}
		return out
	case errors.Is(t.err, heal.ErrFull):
		out.text = "the queue is full"
		return out
	case errors.Is(t.err, heal.ErrUnwritten):
		out.text = "the journal cannot be written"
		return out
	}
	for _, e := range []error{relay.ErrRedis, relay.ErrIncomplete, relay.ErrFull, relay.ErrUnwritten} {
		if errors.Is(t.err, e) {
			out.text = e.Error()
			break
		}
	}
	return out
}
