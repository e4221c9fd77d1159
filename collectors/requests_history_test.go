package collectors_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/ingest"
)

func TestPageNumbers(t *testing.T) {
	clock := newFakeClock()
	r := collectors.NewRequests(collectors.RequestsOptions{Now: clock.Now})
	if got := collect(t, r); len(got.All("page.http_rate")) != 0 {
		t.Error("a rate of nobody")
	}
	send := func(ms string, code, n int) {
		feed(r, fmt.Sprintf("a.gunicorn.request.status.%d:%d|c", code, n), ingest.Source{})
		for range n {
			feed(r, "a.gunicorn.request.duration:"+ms+"|ms", ingest.Source{})
		}
	}
	clock.advance(10 * time.Second)
	send("100", 200, 15)
	send("8000", 500, 5)
	got := collect(t, r) // all of it happened in the ten seconds since the look before
	expect(t, got, "page.http_rate a 2", "page.http_error_ratio a 0.25", "page.http_mean_seconds a 2.075", "page.http_slow_5m a 5")
	expectNear(t, got, "0.5", 0.1)
	expectNear(t, got, "0.99", 8)
	for range 12 { // a minute without traffic
		clock.advance(5 * time.Second)
		got = collect(t, r)
		collect(t, r) // a scrape at the same moment changes nothing
	}
	expect(t, got, "page.http_rate a 0", "page.http_error_ratio a 0.25", "page.http_mean_seconds a 2.075", "page.http_slow_5m a 5",
		"page.http_latency_seconds a 0.5 absent")
	send("100", 200, 60)
	clock.advance(5 * time.Second)
	got = collect(t, r)
	expect(t, got, "page.http_rate a 1", "page.http_error_ratio a 0.0625", "page.http_slow_5m a 5")
	expectNear(t, got, "0.99", 0.1)
	for range 61 { // five minutes without traffic
		clock.advance(5 * time.Second)
		got = collect(t, r)
	}
	expect(t, got, "page.http_rate a 0", "page.http_error_ratio a absent", "page.http_mean_seconds a absent", "page.http_slow_5m a 0")
}

// shedding is telling, with how many requests of low priority the app a has shed.
type shedding struct {
	telling
	n uint64
}

func (s *shedding) Totals() []appside.Totals {
	return []appside.Totals{{App: "a", Shed: [3]uint64{s.n, 0, 0}}}
}

// Requests that a throttle shed do not count as failed; not more than have failed, and not
// those of before the first look.
func TestShedIsNoFailure(t *testing.T) {
	clock := newFakeClock()
	inside := &shedding{telling: telling{"a": true}, n: 1000}
	r := collectors.NewRequests(collectors.RequestsOptions{Now: clock.Now, Inside: inside})
	send := func(code, n int) { feed(r, fmt.Sprintf("a.gunicorn.request.status.%d:%d|c", code, n), ingest.Source{}) }
	send(200, 1)
	collect(t, r)
	clock.advance(10 * time.Second)
	send(200, 59)
	send(503, 30)
	send(500, 10)
	inside.n += 30
	expect(t, collect(t, r), "page.http_error_ratio a 0.142857", "page.http_errors_5m a 10", "page.http_shed_5m a 30") // 10 of 70
	clock.advance(10 * time.Second)
	inside.n += 90 // the server has not reported them yet
	expect(t, collect(t, r), "page.http_error_ratio a absent", "page.http_errors_5m a 0", "page.http_shed_5m a 120")
	for range 70 {
		clock.advance(5 * time.Second)
		collect(t, r)
	}
	send(503, 5)
	clock.advance(5 * time.Second)
	expect(t, collect(t, r), "page.http_error_ratio a 1", "page.http_errors_5m a 5", "page.http_shed_5m a absent")
}

func expectNear(t *testing.T, r factList, quantile string, want float64) {
	t.Helper()
	if v, ok := r.Get("page.http_latency_seconds", "a", quantile); !ok || v < want/1.1 || v > want*1.1 {
		t.Errorf("quantile %s: %v, %t, want %v", quantile, v, ok, want)
	}
}
