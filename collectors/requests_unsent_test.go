package collectors_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/ingest/statsd"
)

// left is what a worker of a user has left unsent.
func left(uid uint32, lines string) *appside.Last {
	return &appside.Last{Unsent: []appside.Unsent{{UID: uid, Lines: []byte(lines)}}}
}

// What a worker had not sent before its end counts as if it had: for the app that it names, if
// its user may report for that, else for the worker's own.
func TestUnsent(t *testing.T) {
	w := newFakeKernel(map[string][]uint32{"a": {7}, "b": {8}})
	r := w.requests(50)
	w.send(r, local(9, 7), "resp.request:1|ms|#app:a,code:200")
	w.send(r, local(8, 8), "resp.request:1|ms|#app:b,code:200")
	collectWithLacks(t, r)
	last := left(7, "resp.request:1|ms|#code:200,app:a,method:GET,route:/items\nresp.queue_time:2|ms|#app:a\nresp.request:1|ms|#code:500\n"+
		"resp.unknown:1|c\n\xff|\x00\nresp.request:1|ms\nresp.request:1|ms|#code:2")
	last.Requests = []appside.Request{{Method: "GET", Route: "/items"}}
	r.CountLast("a", 9, last)
	r.CountLast("a", 9, &appside.Last{})
	got := collectWithLacks(t, r)
	expect(t, got, "resp_http_requests_total a 200 GET /items 1", "resp_http_requests_total a 500   1", "resp_http_requests_killed_total a GET /items 1")
	if n := sum(got, "resp_http_requests_total"); n != 4 {
		t.Errorf("%v requests", n)
	}
	r.CountLast("a", 9, left(7, "resp.request:1|ms|#code:200,app:b,route:/claimed\n"))
	if _, err := r.Collect(t.Context()); err == nil {
		t.Error("a line for an app of another user is not refused")
	}
}

// A worker of nobody under a master of root reports for what nobody may report for, and not for
// what root may. A file of root's, which such a worker may have kept from before it gave up
// root, reports for the worker's own app alone.
func TestUnsentUnderRoot(t *testing.T) {
	const lines = "resp.request:1|ms|#app:other,code:500\nresp.request:1|ms|#app:shop,code:201\nresp.request:1|ms|#code:202\n"
	for uid, want := range map[uint32]string{65534: "1", 0: "1", 44: "absent"} {
		t.Run(fmt.Sprintf("user %d", uid), func(t *testing.T) {
			w := newFakeKernel(map[string][]uint32{"shop": {0, 65534}, "other": {0, 33}})
			r := w.requests(50)
			w.send(r, local(9, 65534), "resp.request:1|ms|#app:shop,code:200")
			w.send(r, local(8, 33), "resp.request:1|ms|#app:other,code:200")
			collectWithLacks(t, r)
			r.CountLast("shop", 9, left(uid, lines))
			refused := map[string]int{"1": 1, "absent": 3}[want]
			expect(t, collectWithLacks(t, r), "resp_http_requests_total other 500   absent", "resp_http_requests_total other 200   1",
				"resp_http_requests_total shop 201   "+want, "resp_http_requests_total shop 202   "+want,
				fmt.Sprintf("resp_statsd_lines_total untrusted %d", refused), fmt.Sprintf("resp_statsd_lines_total parsed %d", 5-refused))
		})
	}
}

// The lines of an app that reports to another receiver count there and not here: neither without
// any report, nor with those of its server, nor long after the last one.
func TestUnsentForAnotherReceiver(t *testing.T) {
	w := newFakeKernel(map[string][]uint32{"a": {7}})
	r := w.requests(50)
	const lines = "resp.request:1|ms|#app:a,code:200\nresp.task:1|ms|#app:a,task:mail,outcome:ok\nresp.unknown:1|c\nnone\n"
	r.CountLast("a", 9, left(7, lines))
	w.send(r, local(9, 7), "a.gunicorn.request.status.404:1|c")
	collectWithLacks(t, r)
	r.CountLast("a", 9, left(7, lines))
	check := func(n, runs string, unread int) {
		t.Helper()
		expect(t, collectWithLacks(t, r), "resp_http_requests_total a 200   "+n, "resp_task_runs_total a mail ok "+runs,
			fmt.Sprintf("resp_statsd_lines_total unknown %d", unread), fmt.Sprintf("resp_statsd_lines_total malformed %d", unread), "resp_statsd_lines_total untrusted 0")
	}
	check("absent", "absent", 0)
	w.send(r, local(9, 7), "resp.queue_time:1|ms|#app:a")
	r.CountLast("a", 9, left(7, lines)) // before the next scrape
	check("1", "1", 1)
	for range 3 { // they themselves are no report
		w.advance(4 * time.Minute)
		r.CountLast("a", 9, left(7, lines))
		collectWithLacks(t, r)
	}
	check("3", "3", 3)
}

// Lines that were not sent are among the outcomes, each once, also those over a limit.
func TestOutcomesOfUnsent(t *testing.T) {
	w := newFakeKernel(map[string][]uint32{"a": {7}, "b": {8}})
	o := w.options(50)
	o.MaxRoutes = 2
	o.Stats = func() statsd.Stats { return statsd.Stats{Parsed: w.lines, Unknown: 5, Malformed: 6} }
	r := collectors.NewRequests(o)
	for range 10 {
		w.send(r, local(9, 7), "resp.request:1|ms|#app:a,code:200")
		w.send(r, local(8, 8), "resp.request:1|ms|#app:b,code:200")
	}
	collectWithLacks(t, r)
	lines := ""
	for i := range 5 {
		lines += fmt.Sprintf("resp.request:1:2|ms|#app:a,code:200,route:/%d\nresp.request:1|ms|#app:b,code:200\n", i)
	}
	r.CountLast("a", 9, left(7, lines+"a.gunicorn.workers:2|g\nresp.other:1|c\n?\n"))
	expect(t, collectWithLacks(t, r), "resp_statsd_lines_total parsed 23", "resp_statsd_lines_total over_limit 3", "resp_statsd_lines_total untrusted 5",
		"resp_statsd_lines_total unknown 6", "resp_statsd_lines_total malformed 7")
}
