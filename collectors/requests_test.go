package collectors_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/ingest/statsd"
)

var _ ingest.Sink = (*collectors.Requests)(nil)

// feed parses a packet as the listener does and passes its events to sink.
func feed(sink ingest.Sink, packet string, from ingest.Source) {
	var l statsd.Line
	var e ingest.Event
	p := statsd.Packet(packet)
	for line, ok := p.Next(); ok; line, ok = p.Next() {
		if statsd.Parse(line, &l) == nil {
			for l.Next(&e) {
				sink.Observe(&e, from)
			}
		}
	}
}

// fakeClock is a clock that the test sets.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func newFakeClock() *fakeClock { return &fakeClock{now: time.Unix(1_800_000_000, 0)} }

func (h *fakeClock) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *fakeClock) advance(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

func collect(t testing.TB, c collectors.Collector) factList {
	t.Helper()
	s, err := c.Collect(context.Background())
	if err != nil {
		t.Fatalf("collect: %v", err)
	}
	return facts(s)
}

// expect compares series, written as "name label label value", with those of a sample.
func expect(t *testing.T, r factList, want ...string) {
	t.Helper()
	for _, w := range want {
		f := strings.Split(w, " ")
		name, labels, value := f[0], f[1:len(f)-1], f[len(f)-1]
		v, ok := r.Get(name, labels...)
		got := "absent"
		if ok {
			got = fmt.Sprintf("%.6g", v)
		}
		if got != value {
			t.Errorf("%s %q: %s, want %s (all: %v)", name, labels, got, value, r.All(name))
		}
	}
}

// sum returns the sum of all series of a name.
func sum(r factList, name string) (total float64) {
	for _, x := range r.All(name) {
		total += x.Value
	}
	return total
}

// sumHistograms returns the sum of the counts of all histograms of request durations.
func sumHistograms(t testing.TB, c collectors.Collector) (count uint64, h *dto.Histogram) {
	t.Helper()
	s, err := c.Collect(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range s.Metrics {
		var out dto.Metric
		if err := m.Write(&out); err != nil {
			t.Fatal(err)
		}
		if out.Histogram != nil {
			h = out.Histogram
			count += h.GetSampleCount()
		}
	}
	return count, h
}

func TestRequestsGolden(t *testing.T) {
	r := collectors.NewRequests(collectors.RequestsOptions{
		Now: newFakeClock().Now, Inside: resting{telling{"api": true}},
		Users: func(context.Context) map[string][]uint32 { return map[string][]uint32{"api": {0}} },
		Stats: func() statsd.Stats {
			return statsd.Stats{Parsed: 20, Unknown: 2, Malformed: 1, Packets: 9, Dropped: 3, BufferBytes: 8 << 20}
		},
	})
	feed(r, `shop.gunicorn.request.duration:12.3|ms
shop.gunicorn.requests:1|c|@1.0
shop.gunicorn.request.status.200:1|c|@1.0
shop.gunicorn.request.duration:6000|ms
shop.gunicorn.request.status.503:1|c|@1.0
shop.gunicorn.log.error:1|c|@1.0
resp.request:40|ms|#app:api,method:GET,route:/items/<int:n>,code:200
resp.request:400|ms|#app:api,method:BREW,route:/pot,code:418
resp.request:0.01|ms|@0.5|#app:api,code:200
resp.queue_time:40|ms|#source:header,app:api
resp.pool_wait:3:700|ms|#pool:main,app:api
resp.task:120|ms|#task:cleanup,outcome:ok,app:api
resp.task:0|ms|#task:mail,outcome:failed,app:api
`, ingest.Source{})
	r.CountKilled("api", []appside.Request{{Method: "GET", Route: "/items/<int:n>"}})
	golden(t, r)
}

func TestRequestsGoldenNothingYet(t *testing.T) {
	r := collectors.NewRequests(collectors.RequestsOptions{Stats: func() statsd.Stats { return statsd.Stats{} }})
	goldenAs(t, r, "requests_nothing_yet")
}

func TestRequestsSaysWhyItCannotListen(t *testing.T) {
	r := collectors.NewRequests(collectors.RequestsOptions{Problem: func() error {
		return &collectors.Unavailable{Reason: collectors.InUse, Detail: "udp 127.0.0.1:9125"}
	}})
	s, err := r.Collect(context.Background())
	if reason, _ := collectors.ReasonOf(err); reason != collectors.InUse || len(s.Metrics) == 0 {
		t.Errorf("%v with %d metrics", err, len(s.Metrics))
	}
}

func TestWeights(t *testing.T) {
	r := collectors.NewRequests(collectors.RequestsOptions{})
	for range 3000 { // 1/0.3 is no whole number, and 3000 of them are 10000
		feed(r, "a.gunicorn.request.status.200:1|c|@0.3\na.gunicorn.request.duration:10000|ms|@0.3", ingest.Source{})
	}
	feed(r, "a.gunicorn.request.status.404:5|c|@0.1\na.gunicorn.log.warning:2|c", ingest.Source{})
	got := collect(t, r)
	ok, _ := got.Get("resp_http_requests_total", "a", "200", "", "")
	slow, _ := got.Get("resp_http_slow_requests_total", "a")
	if math.Abs(ok-10000) > 1 || math.Abs(slow-10000) > 1 {
		t.Errorf("%v requests, %v slow, want 10000", ok, slow)
	}
	expect(t, got, "resp_http_requests_total a 404   50", "resp_app_log_messages_total a warning 2", "resp_app_log_messages_total a error 0")
	n, h := sumHistograms(t, r)
	if n != uint64(ok) || math.Abs(h.GetSampleSum()-100_000) > 0.01 {
		t.Errorf("the histogram: %d, sum %v", n, h.GetSampleSum())
	}
}

// TestWholeRequestsCountOnce: gunicorn reports the requests that the
// integration reported already.
func TestWholeRequestsCountOnce(t *testing.T) {
	from := ingest.Source{PID: 7}
	r := collectors.NewRequests(collectors.RequestsOptions{
		Attribute: func(context.Context, []ingest.Source) map[ingest.Source]string {
			return map[ingest.Source]string{from: "shop"}
		},
	})
	for range 4 {
		feed(r, "resp.request:1|ms|#app:shop,method:GET,route:/,code:200", from)
		feed(r, gunicorn, ingest.Source{})                                   // named by the prefix
		feed(r, strings.ReplaceAll(gunicorn, "shop.", ""), from)             // named by the sender
		feed(r, "gunicorn.log.error:1|c\nshop.gunicorn.log.error:1|c", from) // logs count always
		collect(t, r)
	}
	got := collect(t, r)
	if n, _ := sumHistograms(t, r); n != 4 || sum(got, "resp_http_requests_total") != 4 {
		t.Errorf("%d durations, %v requests, want 4", n, sum(got, "resp_http_requests_total"))
	}
	expect(t, got, "resp_app_log_messages_total shop error 8")
}

const gunicorn = "shop.gunicorn.request.duration:12.3|ms\nshop.gunicorn.requests:1|c|@1.0\nshop.gunicorn.request.status.200:1|c|@1.0\n"

func TestAttribution(t *testing.T) {
	clock := newFakeClock()
	var mu sync.Mutex
	known := map[ingest.Source]string{}
	r := collectors.NewRequests(collectors.RequestsOptions{
		Now: clock.Now,
		Attribute: func(_ context.Context, asked []ingest.Source) map[ingest.Source]string {
			mu.Lock()
			defer mu.Unlock()
			out := map[ingest.Source]string{}
			for _, s := range asked {
				if n := known[s]; n != "" {
					out[s] = n
				}
			}
			return out
		},
	})
	one, two, none := ingest.Source{PID: 1}, ingest.Source{Addr: netip.MustParseAddrPort("127.0.0.1:4000")}, ingest.Source{}
	lines := strings.ReplaceAll(gunicorn, "shop.", "")
	for _, s := range []ingest.Source{one, two, none} {
		feed(r, lines, s)
	}
	known[one] = "shop"
	expect(t, collect(t, r), "resp_http_requests_total shop 200   1", "resp_http_requests_total unknown 200   absent")
	// A second collection returns the same; a sender may be found later.
	clock.advance(30 * time.Second)
	known[two] = "shop"
	expect(t, collect(t, r), "resp_http_requests_total shop 200   2", "resp_http_requests_total unknown 200   absent")
	// A sender that is not found in time is unknown.
	clock.advance(31 * time.Second)
	expect(t, collect(t, r), "resp_http_requests_total shop 200   2", "resp_http_requests_total unknown 200   1")
	// A port may come to mean another app.
	feed(r, lines, two)
	known[two] = "api"
	got := collect(t, r)
	expect(t, got, "resp_http_requests_total shop 200   2", "resp_http_requests_total api 200   1")
	if n, _ := sumHistograms(t, r); n != 4 {
		t.Errorf("%d durations, want 4", n)
	}
}

func TestSendersAppBeyondTheBound(t *testing.T) {
	r := collectors.NewRequests(collectors.RequestsOptions{
		MaxApps: 1,
		Attribute: func(_ context.Context, asked []ingest.Source) map[ingest.Source]string {
			return map[ingest.Source]string{asked[0]: fmt.Sprintf("app%d", asked[0].PID)}
		},
	})
	for pid := int32(1); pid <= 3; pid++ {
		feed(r, strings.ReplaceAll(gunicorn, "shop.", "")+"gunicorn.log.error:2|c", ingest.Source{PID: pid})
		collect(t, r)
	}
	expect(t, collect(t, r), "resp_http_requests_total app1 200   1", "resp_http_requests_total other 200   2",
		"resp_series_dropped_total resp_http_requests_total 2",
		"resp_series_dropped_total resp_http_request_duration_seconds 2",
		"resp_series_dropped_total resp_app_log_messages_total 4")
}

func TestManySenders(t *testing.T) {
	clock := newFakeClock()
	r := collectors.NewRequests(collectors.RequestsOptions{Now: clock.Now})
	send := func(from, to int) {
		for i := from; i < to; i++ {
			feed(r, "gunicorn.request.status.200:1|c", ingest.Source{PID: int32(i + 1)})
		}
	}
	send(0, 500)
	expect(t, collect(t, r), "resp_http_requests_total unknown 200   absent")
	// So many that they would take all places do not wait, and none is lost.
	send(500, 2000)
	expect(t, collect(t, r), "resp_http_requests_total unknown 200   2000", "resp_series_dropped_total resp_http_requests_total 976")
	collect(t, r) // they lose their places
	send(5000, 5500)
	expect(t, collect(t, r), "resp_http_requests_total unknown 200   2000")
	clock.advance(time.Minute)
	expect(t, collect(t, r), "resp_http_requests_total unknown 200   2500", "resp_series_dropped_total resp_http_requests_total 976")
}

// TestNoEventIsLost collects and observes at once: at the end every event is
// counted once.
func TestNoEventIsLost(t *testing.T) {
	const senders, each = 4, 5000
	r := collectors.NewRequests(collectors.RequestsOptions{
		Attribute: func(_ context.Context, asked []ingest.Source) map[ingest.Source]string {
			out := map[ingest.Source]string{}
			for _, s := range asked {
				out[s] = "shop"
			}
			return out
		},
	})
	var work sync.WaitGroup
	for i := range senders {
		work.Go(func() {
			for range each {
				feed(r, "gunicorn.request.status.200:1|c\ngunicorn.request.duration:1|ms", ingest.Source{PID: int32(i + 1)})
			}
		})
	}
	done := make(chan struct{})
	var scrapes sync.WaitGroup
	for range 2 {
		scrapes.Go(func() {
			last := 0.0
			for {
				s, err := r.Collect(context.Background())
				if err != nil {
					t.Error(err)
				}
				if now := sum(facts(s), "resp_http_requests_total"); now < last {
					t.Errorf("a counter fell from %v to %v", last, now)
				} else {
					last = now
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	work.Wait()
	close(done)
	scrapes.Wait()
	expect(t, collect(t, r), fmt.Sprintf("resp_http_requests_total shop 200   %d", senders*each))
	if n, _ := sumHistograms(t, r); n != senders*each {
		t.Errorf("%d durations, want %d", n, senders*each)
	}
}

func TestRequestsCollectHonoursAttributesContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	r := collectors.NewRequests(collectors.RequestsOptions{
		Attribute: func(ctx context.Context, _ []ingest.Source) map[ingest.Source]string {
			<-ctx.Done()
			return nil
		},
	})
	feed(r, gunicorn+"gunicorn.request.status.200:1|c", ingest.Source{PID: 1})
	cancel()
	s, err := r.Collect(ctx)
	if err != nil || errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	expect(t, facts(s), "resp_http_requests_total shop 200   1")
}
