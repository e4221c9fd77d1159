package app

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/serve"
)

// Budget is the time that a scrape with this header gets.
func Budget(header string, offset time.Duration) time.Duration {
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", header)
	return (&metrics{offset: offset}).budget(r)
}

// ScrapeWhenFull is the status of a scrape while as many as allowed are under way.
func ScrapeWhenFull(limit int) int {
	m, err := newMetrics(collectors.NewSet(nil, nil, nil), Options{MaxRequests: limit})
	if err != nil {
		panic(err)
	}
	for range limit {
		m.inflight.Acquire(context.Background())
	}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Code
}

// NewScrape returns a function that does one scrape without the network.
func NewScrape(ctx context.Context, o Options) (scrape func() int, stop func()) {
	a, err := New(o) //nolint:contextcheck // a reload over HTTP has no context of its own
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); _ = a.watcher.Run(ctx) }()
	m, err := newMetrics(a.set, o)
	if err != nil {
		panic(err)
	}
	h := serve.Compressed(m)
	return func() int {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Accept-Encoding", "gzip")
		h.ServeHTTP(w, r)
		return w.Code
	}, func() { cancel(); <-done }
}

// Unwell reports whether a component is unwell in an evaluation.
func Unwell(j health.Evaluation, app, component string, now time.Time) (bool, error) {
	return unwell(j, app, component, now)
}

// NewHolders returns the connections of apps to one server, with the addresses of
// names.
func NewHolders(held *conns.Sample, snap *discovery.Snapshot, component string, names map[string]string) *holders {
	h := newHolders(held, snap, func(s string) bool { return s == component })
	h.lookup = func(name string) []netip.Addr {
		if s, ok := names[name]; ok {
			return []netip.Addr{netip.MustParseAddr(s)}
		}
		return nil
	}
	return h
}

// BuiltActions returns the names of the actions that can be built, sorted.
func BuiltActions() []string { return slices.Sorted(maps.Keys((&App{}).actions())) }
