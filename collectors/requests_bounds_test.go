package collectors_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/ingest/statsd"
)

func TestBounds(t *testing.T) {
	r := collectors.NewRequests(collectors.RequestsOptions{MaxRoutes: 2, MaxApps: 2})
	for i := range 5 {
		feed(r, fmt.Sprintf("resp.request:1|ms|#app:a,method:GET,route:/%d,code:200", i), ingest.Source{})
		feed(r, fmt.Sprintf("app%d.gunicorn.request.duration:1|ms", i), ingest.Source{})
	}
	feed(r, "resp.request:1|ms|#app:a,method:GET,route:/"+strings.Repeat("x", 300)+",code:200", ingest.Source{})
	feed(r, "resp.request:1|ms|#app:a,method:get,route:/0,code:200", ingest.Source{})
	got := collect(t, r)
	expect(t, got,
		"resp_http_requests_total a 200 GET /0 1", "resp_http_requests_total a 200 GET /1 1",
		"resp_http_requests_total a 200 GET other 4", "resp_http_requests_total a 200 other /0 1",
		"resp_series_dropped_total resp_http_requests_total 4",
		"resp_series_dropped_total resp_http_request_duration_seconds 8",
		"resp_http_slow_requests_total app0 0", "resp_http_slow_requests_total app1 absent", "resp_http_slow_requests_total other 0")
	// A wider bound holds from now on and loses nothing; so does a narrower one.
	r.Apply(time.Nanosecond, 3)
	feed(r, "resp.request:1|ms|#app:a,method:GET,route:/9,code:200", ingest.Source{})
	r.Apply(time.Hour, 1)
	feed(r, "resp.request:1|ms|#app:a,method:GET,route:/9,code:200", ingest.Source{})
	expect(t, collect(t, r), "resp_http_requests_total a 200 GET /9 2", "resp_http_requests_total a 200 GET other 4", "resp_http_slow_requests_total a 1")
}

func TestCodes(t *testing.T) {
	r := collectors.NewRequests(collectors.RequestsOptions{})
	for code := 100; code < 600; code++ {
		feed(r, fmt.Sprintf("a.gunicorn.request.status.%d:1|c", code), ingest.Source{})
	}
	got := collect(t, r)
	if n := len(got.All("resp_http_requests_total")); n != 45 {
		t.Errorf("%d series", n)
	}
	expect(t, got, "resp_http_requests_total a 500   100", "resp_series_dropped_total resp_http_requests_total 455")
	if s := sum(got, "resp_http_requests_total"); s != 500 {
		t.Errorf("%v requests in all", s)
	}
}

// TestMillionTags: a million different tags use limited memory, and totals are exact.
func TestMillionTags(t *testing.T) {
	const events = 1_000_000
	var stats statsd.Stats
	r := collectors.NewRequests(collectors.RequestsOptions{Stats: func() statsd.Stats { return stats }})
	before := heap()
	e := ingest.Event{Kind: ingest.Request, Weight: 1}
	var app, path, method []byte
	for i := range events {
		app = fmt.Appendf(app[:0], "app%d", i%997)
		path = fmt.Appendf(path[:0], "/%d", i)
		method = fmt.Appendf(method[:0], "M%d", i)
		e.App, e.Route, e.Method = app, path, method
		if i%3 == 0 {
			e.Method = []byte("GET")
		}
		if i%5 == 0 {
			e.App = nil
		}
		e.Code, e.Seconds = 100+i%500, float64(i%86400)
		r.Observe(&e, ingest.Source{PID: int32(i)})
	}
	stats.Parsed = events
	got := collect(t, r)
	grown := heap() - before
	t.Logf("%d series of requests, heap grew by %.1f MB", len(got.All("resp_http_requests_total")), float64(grown)/1e6)
	if grown > 12e6 {
		t.Errorf("heap grew by %d bytes", grown)
	}
	// Of the 1024 senders that have a place, every fifth waits for its app, with one event.
	if s := sum(got, "resp_http_requests_total"); s != events-205 {
		t.Errorf("%v requests, want %v", s, events-205)
	}
	over, _ := got.Get("resp_statsd_lines_total", "over_limit")
	parsed, _ := got.Get("resp_statsd_lines_total", "parsed")
	if over < events*0.9 || over+parsed != events {
		t.Errorf("over_limit %v, parsed %v", over, parsed)
	}
	runtime.KeepAlive(r)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
