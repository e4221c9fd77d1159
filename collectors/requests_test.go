package collectors_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/ingest/statsd"
)

var _ ingest.Sink = (*collectors.Requests)(nil)

// feed parses a packet as the listener does and gives its events to sink.
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

// hand is a clock that is moved by hand.
type hand struct {
	mu  sync.Mutex
	now time.Time
}

func newHand() *hand { return &hand{now: time.Unix(1_800_000_000, 0)} }

func (h *hand) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hand) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

func collect(t testing.TB, c collectors.Collector) health.Readings {
	t.Helper()
	s, err := c.Collect(context.Background())
	if err != nil {
		t.Fatalf("collect: %v", err)
	}
	return health.NewReadings(s.Readings)
}

// expect compares readings, given as "name label label value", with what is there.
func expect(t *testing.T, r health.Readings, want ...string) {
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

// sum adds up all readings of a name.
func sum(r health.Readings, name string) (total float64) {
	for _, x := range r.All(name) {
		total += x.Value
	}
	return total
}

// counted adds up the counts of all histograms of request durations.
func counted(t testing.TB, c collectors.Collector) (count uint64, h *dto.Histogram) {
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
		Now: newHand().Now,
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
`, ingest.Source{})
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
	n, h := counted(t, r)
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
	if n, _ := counted(t, r); n != 4 || sum(got, "resp_http_requests_total") != 4 {
		t.Errorf("%d durations, %v requests, want 4", n, sum(got, "resp_http_requests_total"))
	}
	expect(t, got, "resp_app_log_messages_total shop error 8")
}

const gunicorn = "shop.gunicorn.request.duration:12.3|ms\nshop.gunicorn.requests:1|c|@1.0\nshop.gunicorn.request.status.200:1|c|@1.0\n"

func TestAttribution(t *testing.T) {
	clock := newHand()
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
	// The same again gives nothing new; a sender may be found later.
	clock.pass(30 * time.Second)
	known[two] = "shop"
	expect(t, collect(t, r), "resp_http_requests_total shop 200   2", "resp_http_requests_total unknown 200   absent")
	// After its time a sender that nobody knows is unknown.
	clock.pass(31 * time.Second)
	expect(t, collect(t, r), "resp_http_requests_total shop 200   2", "resp_http_requests_total unknown 200   1")
	// A port may come to mean another app.
	feed(r, lines, two)
	known[two] = "api"
	got := collect(t, r)
	expect(t, got, "resp_http_requests_total shop 200   2", "resp_http_requests_total api 200   1")
	if n, _ := counted(t, r); n != 4 {
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
	clock := newHand()
	r := collectors.NewRequests(collectors.RequestsOptions{Now: clock.Now})
	send := func(from, to int) {
		for i := from; i < to; i++ {
			feed(r, "gunicorn.request.status.200:1|c", ingest.Source{PID: int32(i + 1)})
		}
	}
	send(0, 2000)
	expect(t, collect(t, r), "resp_http_requests_total unknown 200   976", "resp_series_dropped_total resp_http_requests_total 976")
	clock.pass(time.Minute)
	expect(t, collect(t, r), "resp_http_requests_total unknown 200   2000")
	clock.pass(61 * time.Second)
	collect(t, r) // forgets the silent ones
	send(5000, 6000)
	expect(t, collect(t, r), "resp_http_requests_total unknown 200   2000", "resp_series_dropped_total resp_http_requests_total 976")
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
				if now := sum(health.NewReadings(s.Readings), "resp_http_requests_total"); now < last {
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
	if n, _ := counted(t, r); n != senders*each {
		t.Errorf("%d durations, want %d", n, senders*each)
	}
}

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

// TestMillionTags: whatever comes, memory stays bounded and totals exact.
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
	// 1024 senders still wait for their app, with one event each.
	if s := sum(got, "resp_http_requests_total"); s != events-1024 {
		t.Errorf("%v requests, want %v", s, events-1024)
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

func TestPageReadings(t *testing.T) {
	clock := newHand()
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
	clock.pass(10 * time.Second)
	send("100", 200, 15)
	send("8000", 500, 5)
	got := collect(t, r) // all of it happened in the ten seconds since the look before
	expect(t, got, "page.http_rate a 2", "page.http_error_ratio a 0.25", "page.http_mean_seconds a 2.075", "page.http_slow_5m a 5")
	near(t, got, "0.5", 0.1)
	near(t, got, "0.99", 8)
	for range 12 { // a minute without traffic
		clock.pass(5 * time.Second)
		got = collect(t, r)
		collect(t, r) // a scrape at the same moment changes nothing
	}
	expect(t, got, "page.http_rate a 0", "page.http_error_ratio a 0.25", "page.http_mean_seconds a 2.075", "page.http_slow_5m a 5",
		"page.http_latency_seconds a 0.5 absent")
	send("100", 200, 60)
	clock.pass(5 * time.Second)
	got = collect(t, r)
	expect(t, got, "page.http_rate a 1", "page.http_error_ratio a 0.0625", "page.http_slow_5m a 5")
	near(t, got, "0.99", 0.1)
	for range 61 { // five minutes without traffic
		clock.pass(5 * time.Second)
		got = collect(t, r)
	}
	expect(t, got, "page.http_rate a 0", "page.http_error_ratio a absent", "page.http_mean_seconds a absent", "page.http_slow_5m a 0")
}

func near(t *testing.T, r health.Readings, quantile string, want float64) {
	t.Helper()
	if v, ok := r.Get("page.http_latency_seconds", "a", quantile); !ok || v < want/1.1 || v > want*1.1 {
		t.Errorf("quantile %s: %v, %t, want %v", quantile, v, ok, want)
	}
}

// TestNativeHistogram reads the histogram back as a server does.
func TestNativeHistogram(t *testing.T) {
	r := collectors.NewRequests(collectors.RequestsOptions{})
	values := []float64{0, 1e-9, 1. / 8192, 0.00013, 0.005, 0.0050001, 0.25, 1, 1, 1.05, 1.1, 2, 10, 59, 60, 61, 86400}
	e := ingest.Event{Kind: ingest.Duration, App: []byte("a"), Weight: 1}
	want := map[int]int64{}
	total := 0.0
	for _, v := range values {
		e.Seconds = v
		r.Observe(&e, ingest.Source{})
		total += v
		if v > 1./8192 {
			want[int(math.Ceil(math.Log2(v)*8))]++
		}
	}
	n, h := counted(t, r)
	if n != uint64(len(values)) || h.GetSampleSum() != total || h.GetZeroCount() != 3 || h.GetSchema() != 3 {
		t.Errorf("count %d, sum %v, zero %d, schema %d", n, h.GetSampleSum(), h.GetZeroCount(), h.GetSchema())
	}
	got := map[int]int64{}
	index, count, delta := 0, int64(0), 0
	for _, s := range h.PositiveSpan {
		index += int(s.GetOffset())
		for range s.GetLength() {
			count += h.PositiveDelta[delta]
			delta++
			if count != 0 {
				got[index] = count
			}
			index++
		}
	}
	if !maps.Equal(got, want) || delta != len(h.PositiveDelta) {
		t.Errorf("buckets %v, want %v", got, want)
	}
	for _, b := range h.Bucket {
		below := slices.DeleteFunc(slices.Clone(values), func(v float64) bool { return v > b.GetUpperBound() })
		if b.GetCumulativeCount() != uint64(len(below)) {
			t.Errorf("le %v: %d, want %d", b.GetUpperBound(), b.GetCumulativeCount(), len(below))
		}
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
	expect(t, health.NewReadings(s.Readings), "resp_http_requests_total shop 200   1")
}

func BenchmarkObserve(b *testing.B) {
	for name, line := range map[string]string{
		"duration": "shop.gunicorn.request.duration:12.3|ms",
		"status":   "shop.gunicorn.request.status.200:1|c",
		"request":  "resp.request:12.3|ms|#app:shop,method:GET,route:/items/<int:n>,code:200",
		"sender":   "gunicorn.request.duration:12.3|ms",
	} {
		b.Run(name, func(b *testing.B) {
			r := collectors.NewRequests(collectors.RequestsOptions{})
			var l statsd.Line
			var e ingest.Event
			if err := statsd.Parse([]byte(line), &l); err != nil || !l.Next(&e) {
				b.Fatal(err)
			}
			from := ingest.Source{Addr: netip.MustParseAddrPort("127.0.0.1:4000")}
			b.ReportAllocs()
			for b.Loop() {
				r.Observe(&e, from)
			}
		})
	}
}

// BenchmarkPacket20 is a packet of 20 of gunicorn's lines: parsed and counted.
func BenchmarkPacket20(b *testing.B) {
	packet := strings.TrimSpace(strings.Repeat(strings.ReplaceAll(gunicorn, "shop.", ""), 7))
	packet = packet[:strings.LastIndexByte(packet, '\n')]
	r := collectors.NewRequests(collectors.RequestsOptions{})
	in := []byte(packet)
	from := ingest.Source{Addr: netip.MustParseAddrPort("127.0.0.1:4000")}
	var l statsd.Line
	var e ingest.Event
	b.ReportAllocs()
	for b.Loop() {
		p := statsd.Packet(in)
		for line, ok := p.Next(); ok; line, ok = p.Next() {
			if statsd.Parse(line, &l) != nil {
				b.Fatalf("%q", line)
			}
			for l.Next(&e) {
				r.Observe(&e, from)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/20, "ns/line")
}

// BenchmarkCollectRequests is a scrape with the most pairs that the default
// bounds allow.
func BenchmarkCollectRequests(b *testing.B) {
	r := collectors.NewRequests(collectors.RequestsOptions{})
	for i := range 20_000 {
		feed(r, fmt.Sprintf("resp.request:%d|ms|#app:a%d,method:GET,route:/%d,code:200", i, i%10, i), ingest.Source{})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Collect(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
