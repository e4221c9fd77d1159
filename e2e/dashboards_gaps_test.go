package e2e_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// written is a Prometheus with samples of an exporter that was scraped each interval for
// half an hour, until an hour ago, except from down on for a while.
type written struct {
	interval, lost time.Duration
	end, down      time.Time
}

// serve starts it and returns its address. A value is there for one interval: a scrape that
// fails ends it, which samples in a file cannot say otherwise.
func (w written) serve(t *testing.T) string {
	t.Helper()
	need(t, "promtool", "prometheus")
	dir, address := openDir(t), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	var text strings.Builder
	for _, family := range []string{
		`resp_http_requests_total{job="resp",instance="web-1",app="shop",code="200"}`, `resp_app_workers{job="resp",instance="web-1",app="shop",state="busy"}`,
	} {
		for at := w.end.Add(-30 * time.Minute); at.Before(w.end); at = at.Add(w.interval) {
			if at.Before(w.down) || !at.Before(w.down.Add(w.lost)) {
				fmt.Fprintf(&text, "%s %d %d\n", family, at.Unix()%100_000, at.Unix())
			}
		}
	}
	text.WriteString("# EOF\n")
	blocks := filepath.Join(dir, "tsdb")
	tool(t, "", "promtool", "tsdb", "create-blocks-from", "openmetrics", write(t, filepath.Join(dir, "samples"), text.String()), blocks)
	p := start(t, run.Spec{Name: "prometheus", Path: "prometheus", Args: []string{
		"--config.file=" + write(t, filepath.Join(dir, "prometheus.yml"), "global: {}\n"), "--storage.tsdb.path=" + blocks,
		"--web.listen-address=" + address, "--log.level=warn", "--query.lookback-delta=" + w.interval.String(),
	}})
	ctx, cancel := context.WithTimeout(t.Context(), scaled(time.Minute))
	defer cancel()
	if err := run.Answers(ctx, p, "http://"+address+"/-/ready"); err != nil {
		t.Fatal(err)
	}
	return "http://" + address
}

// TestDrawnGaps checks what is drawn of an exporter that did not answer for two minutes: a
// gap where it is scraped every 15 s. Scrapes that are a minute apart are a line, and so
// are their rates over four minutes, two of which are lost.
func TestDrawnGaps(t *testing.T) {
	t.Parallel()
	const requests, workers = "Requests", "Busy workers"
	end := time.Now().Add(-time.Hour).Truncate(time.Minute)
	for _, c := range []struct {
		name           string
		interval, lost time.Duration
		least, most    map[string]float64 // seconds of the longest gap
	}{
		{"15 s, two minutes lost", 15 * time.Second, 2 * time.Minute, map[string]float64{requests: 90, workers: 120}, map[string]float64{requests: 165, workers: 150}},
		{"15 s, one scrape lost", 15 * time.Second, 15 * time.Second, nil, nil},
		{"60 s, nothing lost", time.Minute, 0, nil, nil},
		{"60 s, two minutes lost", time.Minute, 2 * time.Minute, map[string]float64{workers: 120}, map[string]float64{workers: 240}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			base := written{c.interval, c.lost, end, end.Add(-12 * time.Minute)}.serve(t)
			one := narrowScreen
			one.Dashboard, one.Prometheus, one.Scrape, one.Until, one.Range = filepath.Join(dashboardsDir, "resp-overview.json"), base, c.interval.Seconds(), end.UnixMilli(), 1500
			seen := 0
			for _, p := range draw(t, one)[0].Panels {
				if p.Title != requests && p.Title != workers {
					continue
				}
				seen++
				if p.Empty || p.Measured.Gap < c.least[p.Title] || p.Measured.Gap > c.most[p.Title] {
					t.Errorf("%s: empty %t, a gap of %.0f s, want %.0f to %.0f", p.Title, p.Empty, p.Measured.Gap, c.least[p.Title], c.most[p.Title])
				}
			}
			if seen != 2 {
				t.Errorf("%d of 2 graphs are drawn", seen)
			}
		})
	}
}
