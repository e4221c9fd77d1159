package collectors_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/ingest/statsd"
)

func BenchmarkObserve(b *testing.B) {
	for name, line := range map[string]string{
		"duration": "shop.gunicorn.request.duration:12.3|ms",
		"status":   "shop.gunicorn.request.status.200:1|c",
		"request":  "resp.request:12.3|ms|#app:shop,method:GET,route:/items/<int:n>,code:200",
		"queued":   "resp.queue_time:12.3|ms|#source:header,app:shop",
		"pool":     "resp.pool_wait:12.3|ms|#pool:main,app:shop",
		"task":     "resp.task:12.3|ms|#task:cleanup,outcome:ok,app:shop",
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

// BenchmarkPacket20 parses and counts a packet of 20 lines of gunicorn.
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

// BenchmarkCollectRequests collects the largest number of series within the default limits.
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
