package app

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	promcollectors "github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/serve"
)

const (
	// defaultBudget is the time a scrape has that does not say how long it
	// waits: under Prometheus' own default of 10 s.
	defaultBudget = 8 * time.Second
	// minBudget keeps a strange header from giving no time at all.
	minBudget = 50 * time.Millisecond
	// maxBudget bounds how long a header may have a scrape hold its place.
	maxBudget = 4 * time.Minute
)

// metrics serves /metrics: always 200, in time, with what is known by then.
type metrics struct {
	set      *collectors.Set
	own      *prometheus.Registry // about the exporter itself
	offset   time.Duration
	inflight *serve.Semaphore

	refused atomic.Uint64 // scrapes without a place
}

func newMetrics(set *collectors.Set, o Options) (*metrics, error) {
	m := &metrics{set: set, own: prometheus.NewRegistry(), offset: o.TimeoutOffset, inflight: serve.NewSemaphore(o.MaxRequests)}
	m.own.MustRegister(versioncollector.NewCollector("resp_exporter"))
	if !o.DisableExporterMetrics {
		s, err := newProcessStats()
		if err != nil {
			return nil, fmt.Errorf("read the exporter's own process: %w", err)
		}
		m.own.MustRegister(promcollectors.NewGoCollector(), s)
	}
	return m, nil
}

// ServeHTTP implements [http.Handler]. It holds its place among the scrapes
// while it renders; w must not wait for the client (see [serve.Responses]).
func (m *metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	free, ok := m.inflight.Acquire(r.Context())
	if !ok {
		m.refused.Add(1)
		http.Error(w, fmt.Sprintf("Limit of concurrent scrapes (%d) reached, or three quarters of it for one client, try again later.", m.inflight.Limit()), http.StatusServiceUnavailable)
		return
	}
	defer free()
	pick, err := m.selectCollectors(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), m.budget(r))
	defer cancel()
	// A fault in one family must not cost the others; it is counted in the
	// exporter's own promhttp_metric_handler_errors_total.
	promhttp.HandlerFor(gatherers{m.set.Gatherer(ctx, pick), m.own}, promhttp.HandlerOpts{
		ErrorHandling:      promhttp.ContinueOnError,
		Registry:           m.own,
		EnableOpenMetrics:  true,
		DisableCompression: true, // see serve.Compressed
	}).ServeHTTP(w, r)
}

// budget returns the time limit of a scrape: the timeout in its header, at most maxBudget, less the offset for
// the network or, if that leaves too little, a fifth; at least minBudget. defaultBudget without a valid header.
func (m *metrics) budget(r *http.Request) time.Duration {
	s, err := strconv.ParseFloat(r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64)
	if err != nil || !(s > 0 && s < 3600) {
		return defaultBudget
	}
	d := min(time.Duration(s*float64(time.Second)), maxBudget)
	if d > m.offset+minBudget {
		return d - m.offset
	}
	return max(d*8/10, minBudget)
}

// selectCollectors returns a function that reports whether collect[] and exclude[] pick a
// collector; nil: all of them. A name that is unknown or off, or both parameters at once,
// is an error: they would silently select too much or too little.
func (m *metrics) selectCollectors(r *http.Request) (func(string) bool, error) {
	q := r.URL.Query()
	only, but := q["collect[]"], q["exclude[]"]
	if len(only) > 0 && len(but) > 0 {
		return nil, fmt.Errorf("collect[] and exclude[] cannot be used together")
	}
	if len(only)+len(but) == 0 {
		return nil, nil //nolint:nilnil // nil picks everything
	}
	names := m.set.Names()
	for _, n := range slices.Concat(only, but) {
		if !slices.Contains(names, n) {
			return nil, fmt.Errorf("unknown collector %q, expected one of %v", n, names)
		}
	}
	if len(only) > 0 {
		return func(n string) bool { return slices.Contains(only, n) }, nil
	}
	return func(n string) bool { return !slices.Contains(but, n) }, nil
}
