package collectors_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/ingest"
)

// histogramsOf returns the histograms of a family by the values of their labels.
func histogramsOf(t *testing.T, c collectors.Collector, name string) map[string]*dto.Histogram {
	t.Helper()
	s, err := c.Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*dto.Histogram{}
	for _, m := range s.Metrics {
		var d dto.Metric
		if err := m.Write(&d); err != nil {
			t.Fatal(err)
		}
		if d.Histogram == nil || !strings.Contains(m.Desc().String(), `"`+name+`"`) {
			continue
		}
		var labels []string
		for _, l := range d.Label {
			labels = append(labels, l.GetValue())
		}
		out[strings.Join(labels, " ")] = d.Histogram
	}
	return out
}

func TestInside(t *testing.T) {
	r := collectors.NewRequests(collectors.RequestsOptions{})
	feed(r, "resp.queue_time:40:60|ms|@0.5|#source:header,app:a\nresp.pool_wait:3|ms|#pool:main,app:a\nresp.pool_wait:5|ms|#pool:read,app:a", ingest.Source{})
	feed(r, "resp.task:1:2|ms|@0.5|#task:mail,outcome:ok,app:a\nresp.task:0|ms|#task:mail,outcome:failed,app:a", ingest.Source{})
	expect(t, collect(t, r), "resp_task_runs_total a mail ok 4", "resp_task_runs_total a mail failed 1", "resp_http_requests_total a 200   absent", "resp_http_slow_requests_total a absent")
	queue := histogramsOf(t, r, "resp_http_queue_time_seconds")
	if h := queue["a"]; len(queue) != 1 || h.GetSampleCount() != 4 || h.GetSampleSum() < 0.1999 || h.GetSampleSum() > 0.2001 || h.GetSchema() != 3 || len(h.Bucket) != 13 {
		t.Errorf("queue times: %v", queue)
	}
	pools := histogramsOf(t, r, "resp_pool_wait_seconds")
	if len(pools) != 2 || pools["a main"].GetSampleCount() != 1 || pools["a read"].GetSampleSum() != 0.005 {
		t.Errorf("waits for pools: %v", pools)
	}
}

// What is over a limit counts as "other", and is counted as folded, once.
func TestInsideBounds(t *testing.T) {
	r := collectors.NewRequests(collectors.RequestsOptions{})
	for i := range 100 {
		for range 2 {
			feed(r, fmt.Sprintf("resp.pool_wait:1|ms|#pool:p%d,app:a\nresp.task:1|ms|#task:t%d,outcome:ok,app:a", i, i), ingest.Source{})
		}
	}
	feed(r, "resp.pool_wait:1|ms|#pool:other,app:a\nresp.task:1|ms|#outcome:failed,app:a,task:"+strings.Repeat("x", 300), ingest.Source{})
	pools := histogramsOf(t, r, "resp_pool_wait_seconds")
	if len(pools) != 17 || pools["a other"].GetSampleCount() != 169 || pools["a p3"].GetSampleCount() != 2 {
		t.Errorf("%d pools: %v", len(pools), pools["a other"])
	}
	got := collect(t, r)
	if n := len(got.All("resp_task_runs_total")); n != 66 {
		t.Errorf("%d series of tasks", n)
	}
	expect(t, got, "resp_task_runs_total a t31 ok 2", "resp_task_runs_total a other ok 136", "resp_task_runs_total a other failed 1",
		"resp_series_dropped_total resp_pool_wait_seconds 168", "resp_series_dropped_total resp_task_runs_total 137")
}

// The apps of one host together have so many names of pools and tasks as of routes.
func TestInsideBoundsOfAllApps(t *testing.T) {
	r := collectors.NewRequests(collectors.RequestsOptions{MaxRoutes: 4, MaxApps: 100})
	for app := range 60 {
		for i := range 10 {
			feed(r, fmt.Sprintf("resp.pool_wait:1|ms|#pool:p%d,app:a%d\nresp.queue_time:1|ms|#app:a%d", i, app, app), ingest.Source{})
		}
	}
	named, waits := 0, uint64(0)
	for labels, h := range histogramsOf(t, r, "resp_pool_wait_seconds") {
		if waits += h.GetSampleCount(); !strings.HasSuffix(labels, " other") {
			named++
		}
	}
	if named > 40 || waits != 600 {
		t.Errorf("%d pools, %d waits", named, waits)
	}
	queued := uint64(0)
	for _, h := range histogramsOf(t, r, "resp_http_queue_time_seconds") {
		queued += h.GetSampleCount()
	}
	if queued != 600 {
		t.Errorf("%d queue times", queued)
	}
}

// Events that wait for their sender's app are all counted for it later.
func TestInsideMerges(t *testing.T) {
	known := false
	r := collectors.NewRequests(collectors.RequestsOptions{
		Trusts: func(ingest.Source) bool { return false },
		Users: func(context.Context) map[string][]uint32 {
			if !known {
				return nil
			}
			return map[string][]uint32{"a": {7}}
		},
		Attribute: func(_ context.Context, sources []ingest.Source) map[ingest.Source]string {
			out := map[ingest.Source]string{}
			for _, s := range sources {
				out[s] = "a"
			}
			return out
		},
	})
	from := ingest.Source{PID: 9, UID: 7, Proven: true}
	const lines = "resp.queue_time:40|ms\nresp.pool_wait:3|ms|#pool:main\nresp.task:1|ms|#task:mail,outcome:failed"
	feed(r, lines, from)                                                                                                                  // unnamed
	feed(r, strings.ReplaceAll(strings.ReplaceAll(lines, "ms\n", "ms|#app:a\n"), "#pool:main|#app:a", "#app:a,pool:main")+",app:a", from) // named
	known = true
	expect(t, collect(t, r), "resp_task_runs_total a mail ok 0")
	expect(t, collect(t, r), "resp_task_runs_total a mail failed 2")
	if h := histogramsOf(t, r, "resp_http_queue_time_seconds")["a"]; h.GetSampleCount() != 2 {
		t.Errorf("queue times: %v", h)
	}
	if h := histogramsOf(t, r, "resp_pool_wait_seconds")["a main"]; h.GetSampleCount() != 2 {
		t.Errorf("waits: %v", h)
	}
	// What another user sends for that app is dropped.
	feed(r, "resp.task:1|ms|#task:mail,outcome:failed,app:a", ingest.Source{PID: 10, UID: 8, Proven: true})
	s, err := r.Collect(t.Context())
	if err == nil {
		t.Error("no lack names the other user")
	}
	expect(t, facts(s), "resp_task_runs_total a mail failed 2", "resp_statsd_lines_total untrusted absent")
}
