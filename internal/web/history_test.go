package web_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
	"github.com/resp-exporter/resp-exporter/internal/web/charts"
)

var nan = math.NaN()

// told is the JSON of a history for the page's script.
type told struct {
	Full bool                             `json:"full"`
	T    []int64                          `json:"t"`
	Host map[string][]*float64            `json:"host"`
	Apps map[string]map[string][]*float64 `json:"apps"`
}

func ask(t testing.TB, h *charts.History, since int64) told {
	t.Helper()
	o := options(modeltest.State(nil))
	o.History = h
	var u struct{ History told }
	body := get(t, serve(o), "/api/v1/page?since="+strconv.FormatInt(since, 10)).Body.Bytes()
	if err := json.Unmarshal(body, &u); err != nil {
		t.Fatalf("%v in %.200s", err, body)
	}
	return u.History
}

func row(values []*float64) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = "-"
		if v != nil {
			out[i] = fmt.Sprint(*v)
		}
	}
	return strings.Join(out, " ")
}

func rate(v float64) *model.State {
	var s sample
	s.add("page.http_rate", v, "shop")
	return modeltest.State(s)
}

func TestHistorySeries(t *testing.T) {
	var s sample
	s.add("page.http_rate", 40, "shop")
	s.add("page.http_latency_seconds", 1, "shop", "0.5")
	s.add("page.http_latency_seconds", 2, "shop", "0.95")
	s.add("page.http_latency_seconds", 3, "shop", "0.99")
	s.add("page.http_latency_seconds", 9, "shop", "0.7")
	for i, state := range []string{"busy", "idle", "stuck", "booting", "odd"} {
		s.add("resp_app_workers", float64(i+1), "shop", state)
	}
	s.add("resp_listener_queue_length", 2, "shop", ":8000")
	s.add("resp_listener_queue_length", 3, "shop", ":8001")
	s.add("resp_listener_queue_limit", 128, "shop", ":8000")
	s.add("resp_listener_queue_limit", 128, "shop", ":8001")
	s.add("resp_app_cpu_usage_ratio", 0.5, "shop")
	s.add("resp_worker_memory_bytes", 7, "shop", "0", "rss")
	s.add("resp_worker_memory_bytes", 5, "shop", "0", "pss")
	s.add("resp_worker_memory_bytes", 9, "shop", "0", "rss")
	s.add("resp_worker_memory_bytes", 8, "shop", "1", "rss")
	s.add("resp_worker_memory_bytes", 8, "shop", "32", "rss")
	s.add("resp_host_cpu_usage_ratio", 0.1)
	s.add("resp_host_memory_usage_ratio", 0.2)
	s.add("resp_worker_memory_bytes", 8, "short of labels")
	h := charts.New()
	h.Record(moment, modeltest.State(s))
	got := ask(t, h, 0)
	want := map[string]string{
		"requests": "40", "p50": "1", "p95": "2", "p99": "3", "busy": "1", "idle": "2", "stuck": "3", "booting": "4",
		"queue": "3", "limit": "128", "cpu": "0.5", "memory/0": "5", "memory/1": "8",
	}
	for name, v := range want {
		if row(got.Apps["shop"][name]) != v {
			t.Errorf("%s: %q, want %q", name, row(got.Apps["shop"][name]), v)
		}
	}
	if len(got.Apps["shop"]) != len(want) || len(got.Apps) != 1 {
		t.Errorf("series %v, want those of %v", got.Apps, want)
	}
	if row(got.Host["cpu"]) != "0.1" || row(got.Host["memory"]) != "0.2" || len(got.Host) != 2 {
		t.Errorf("host %v", got.Host)
	}
}

// The rate of errors is of the last minute, like the rate of requests.
func TestHistoryErrors(t *testing.T) {
	counts := func(fives ...float64) *model.State {
		var s sample
		s.add("resp_http_requests_total", 1000, "shop", "200", "", "")
		for i, v := range fives {
			s.add("resp_http_requests_total", v, "shop", strconv.Itoa(500+i), "", "")
		}
		return modeltest.State(s)
	}
	for name, c := range map[string]struct {
		totals []*model.State // one each 30 s
		want   string         // without the gaps that 30 s make
	}{
		"none":            {[]*model.State{counts(), counts(), counts()}, "0 0"},
		"the first error": {[]*model.State{counts(), counts(30), counts(30), counts(30), counts(30)}, "1 0.5 0 0"},
		"two codes":       {[]*model.State{counts(10, 10), counts(25, 25)}, "1"},
		"counted anew":    {[]*model.State{counts(90), counts(120), counts(15), counts(45)}, "1 1"},
		"not reported":    {[]*model.State{counts(90), modeltest.State(nil), counts(120), counts(150)}, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			h := charts.New()
			for i, r := range c.totals {
				h.Record(moment.Add(time.Duration(i)*30*time.Second), r)
			}
			got := strings.Join(strings.Fields(strings.ReplaceAll(row(ask(t, h, 0).Apps["shop"]["errors"]), "-", "")), " ")
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestHistoryGaps(t *testing.T) {
	h := charts.New()
	h.Record(moment, rate(1))
	h.Record(moment.Add(5*time.Second), modeltest.State(nil))
	h.Record(moment.Add(10*time.Second), rate(nan))
	h.Record(moment.Add(15*time.Second), rate(math.Inf(1)))
	h.Record(moment.Add(20*time.Second), rate(5))
	h.Record(moment.Add(20*time.Second), rate(6)) // twice in a second
	h.Record(moment.Add(80*time.Second), rate(7)) // a pause
	got := ask(t, h, 0)
	if r := row(got.Apps["shop"]["requests"]); r != "1 - - - 5 - 7" {
		t.Errorf("got %q, want gaps and one for the pause", r)
	}
	if n := len(got.T); n != 7 || got.T[5] != moment.Unix()+25 || got.T[6] != moment.Unix()+80 {
		t.Errorf("times %v", got.T)
	}
	h.Record(moment.Add(-time.Hour), rate(8)) // the clock was set back
	if got := ask(t, h, 0); len(got.T) != 1 || row(got.Apps["shop"]["requests"]) != "8" {
		t.Errorf("after the clock was set back: %v", got)
	}
}

func TestHistoryWrapsAround(t *testing.T) {
	h := charts.New()
	for i := range charts.Points + 10 {
		r := rate(float64(i))
		if i == 0 {
			r = modeltest.State([]modeltest.Fact{{Name: "page.http_rate", Labels: []string{"gone"}, Value: 1}})
		}
		h.Record(moment.Add(time.Duration(i)*5*time.Second), r)
	}
	got := ask(t, h, 0)
	requests := got.Apps["shop"]["requests"]
	if len(got.T) != charts.Points || len(requests) != charts.Points || *requests[0] != 10 || *requests[charts.Points-1] != charts.Points+9 {
		t.Errorf("%d times, %d values", len(got.T), len(requests))
	}
	for i := 1; i < len(got.T); i++ {
		if got.T[i] != got.T[i-1]+5 {
			t.Fatalf("times do not ascend by 5 s at %d: %v", i, got.T[i-1:i+1])
		}
	}
	if _, ok := got.Apps["gone"]; ok {
		t.Error("an app without a number for 30 minutes is not forgotten")
	}
}

func TestHistorySince(t *testing.T) {
	h := charts.New()
	for i := range 4 {
		h.Record(moment.Add(time.Duration(i)*5*time.Second), rate(float64(i)))
	}
	for _, c := range []struct {
		since int64
		full  bool
		want  string
	}{
		{0, true, "0 1 2 3"},
		{moment.Unix(), false, "1 2 3"},
		{moment.Unix() + 10, false, "3"},
		{moment.Unix() + 15, false, ""},
		{moment.Unix() + 7, true, "0 1 2 3"},
		{moment.Unix() + 900, true, "0 1 2 3"},
		{-1, true, "0 1 2 3"},
	} {
		if got := ask(t, h, c.since); got.Full != c.full || row(got.Apps["shop"]["requests"]) != c.want {
			t.Errorf("since %d: full %v, %q; want %v, %q", c.since, got.Full, row(got.Apps["shop"]["requests"]), c.full, c.want)
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	h := charts.New()
	var s sample
	for i := range 2000 {
		s.add("page.http_rate", 1, "app"+strconv.Itoa(i))
	}
	h.Record(moment, modeltest.State(s))
	if held, refused := h.Size(); held != charts.MaxSeries || refused != charts.MaxSeries {
		t.Errorf("held %d and refused %d series, want %d each", held, refused, charts.MaxSeries)
	}
	h.Record(moment.Add(5*time.Second), rate(1))
	if _, refused := h.Size(); refused != 1 {
		t.Errorf("refused %d of the second moment, want 1", refused)
	}
	h = charts.New()
	var many sample
	many.add("resp_app_workers", 40, "shop", "idle")
	for i := range 40 {
		many.add("resp_worker_memory_bytes", 1, "shop", strconv.Itoa(i), "rss")
	}
	many.add("resp_app_memory_bytes", 40, "shop", "rss")
	h.Record(moment, modeltest.State(many))
	if got := ask(t, h, 0).Apps["shop"]; len(got) != 5 || row(got["memory"]) != "40" {
		t.Errorf("40 workers: series %v, want their sum and the states only", got)
	}
}

// A worker whose shared pages are not counted yet has no point, so that no line falls
// from its resident size to its proportional size.
func TestHistoryWaitsForTheShare(t *testing.T) {
	for reason, want := range map[string]string{"ok": "", "permission": "36"} {
		h := charts.New()
		var s sample
		s.add("resp_app_workers", 1, "shop", "idle")
		s.add("resp_worker_memory_bytes", 36, "shop", "0", "rss")
		available := 0.0
		if reason == "ok" {
			available = 1
		}
		s.add("resp_collector_available", available, "memory", reason)
		h.Record(moment, modeltest.State(s))
		got := ""
		if x, ok := ask(t, h, 0).Apps["shop"]["memory/0"]; ok {
			got = row(x)
		}
		if got != want {
			t.Errorf("%s: memory of worker 0 is %q, want %q", reason, got, want)
		}
	}
}

// Run with -race: readers and the writer at once, and every row as long as the axis.
func TestHistoryAtOnce(t *testing.T) {
	h := charts.New()
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 500 {
			h.Record(moment.Add(time.Duration(i)*5*time.Second), rate(float64(i)))
		}
	})
	for range 2 {
		wg.Go(func() {
			for range 20 {
				got := ask(t, h, 0)
				if r, ok := got.Apps["shop"]["requests"]; ok && len(r) != len(got.T) {
					t.Errorf("%d values for %d moments", len(r), len(got.T))
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkHistoryRecord(b *testing.B) {
	for _, workers := range []int{4, 200} {
		b.Run(fmt.Sprintf("%d workers", workers), func(b *testing.B) {
			r, h, at := manySample(workers), charts.New(), moment
			b.ReportAllocs()
			for b.Loop() {
				at = at.Add(5 * time.Second)
				h.Record(at, r)
			}
		})
	}
}
