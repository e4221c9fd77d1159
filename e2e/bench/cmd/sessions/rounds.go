package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/stat"
)

const (
	pingPause   = time.Millisecond
	scrapeEvery = 500 * time.Millisecond
)

// half holds the measured values of half a round.
type half struct {
	longest, p99, p50 float64 // of pings, ms
	server            float64 // Redis' share of one core, %
	own               float64 // the exporter's
	scrape            float64 // median, ms
	heap              float64 // median of what is in use, MB
}

// measure runs both exporters in turn, and prints the medians over the rounds.
func (b *bench) measure(ctx context.Context) error {
	var with, without []half
	for i := range 2 * b.rounds {
		walks := i%2 == 1
		if err := b.reload(ctx, walks); err != nil {
			return err
		}
		h, err := b.half(ctx)
		if err != nil {
			return err
		}
		if walks {
			with = append(with, h)
		} else {
			without = append(without, h)
		}
	}
	var rows [][]string
	for _, f := range []struct {
		name string
		of   func(half) float64
	}{
		{"longest ping, ms", func(h half) float64 { return h.longest }},
		{"99th of 100 pings, ms", func(h half) float64 { return h.p99 }},
		{"median ping, ms", func(h half) float64 { return h.p50 }},
		{"Redis, % of a core", func(h half) float64 { return h.server }},
		{"exporter, % of a core", func(h half) float64 { return h.own }},
		{"median scrape, ms", func(h half) float64 { return h.scrape }},
		{"exporter's heap in use, MB", func(h half) float64 { return h.heap }},
	} {
		a, b := stat.Column(with, f.of), stat.Column(without, f.of)
		rows = append(rows, []string{f.name, a.Format(3), b.Format(3), stat.Ratio(a.Median, b.Median), fmt.Sprintf("%+.3f", a.Median-b.Median)})
	}
	fmt.Println(stat.Table([]string{"median of the rounds [lowest–highest]", "with the walk", "without", "ratio", "difference"}, rows))
	return nil
}

// half sends pings for a while, scrapes now and then, and returns the measured values.
func (b *bench) half(ctx context.Context) (half, error) {
	time.Sleep(2 * time.Second) // the work of the reload is not measured, and nothing reports its end
	server, own, err := b.cpu()
	if err != nil {
		return half{}, err
	}
	began := time.Now()
	done := make(chan error, 1)
	var scrapes, heaps []float64
	go func() {
		for err := error(nil); ; time.Sleep(scrapeEvery) {
			if time.Since(began) > b.each || err != nil {
				done <- err
				return
			}
			var a rig.Answer
			if a, err = b.client.Scrape(ctx, b.exporter.URL); err == nil {
				scrapes = append(scrapes, a.Took.Seconds()*1e3)
				heap, _ := rig.Value(a.Body, "go_memstats_heap_inuse_bytes")
				heaps = append(heaps, heap/1e6)
			}
		}
	}()
	var pings []float64
	for time.Since(began) < b.each {
		took, err := ping(b.redis)
		if err != nil {
			return half{}, err
		}
		pings = append(pings, took.Seconds()*1e3)
		time.Sleep(pingPause) // the rate of the pings that are measured
	}
	if err := <-done; err != nil {
		return half{}, err
	}
	wall := time.Since(began).Seconds()
	server2, own2, err := b.cpu()
	if err != nil {
		return half{}, err
	}
	slices.Sort(pings)
	return half{
		longest: pings[len(pings)-1], p99: pings[len(pings)*99/100], p50: pings[len(pings)/2],
		server: (server2 - server) / wall * 100, own: (own2 - own) / wall * 100,
		scrape: stat.Of(scrapes).Median, heap: stat.Of(heaps).Median,
	}, nil
}

// cpu returns the processor time of Redis and of the exporter, in seconds.
func (b *bench) cpu() (server, own float64, err error) {
	s, err := rig.CPU(b.server)
	if err != nil {
		return 0, 0, err
	}
	o, err := rig.CPU(b.exporter.PID)
	return s.Seconds(), o.Seconds(), err
}

// reload starts the scan again, or ends it.
func (b *bench) reload(ctx context.Context, walks bool) error {
	text := b.section
	if walks {
		text += "apps: [{name: shop, match: {cmdline: no-such-program}, sessions: [{redis: cache, prefix: \"session:\", lifetime: 2h}]}]\n"
	}
	if err := os.WriteFile(b.config, []byte(text), 0o600); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(b.exporter.URL, "/metrics")+"/-/reload", nil)
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("reload: status %d", resp.StatusCode)
	}
	return nil
}

// walk waits for one full scan and prints its count and duration, or how far it came.
func (b *bench) walk(ctx context.Context) error {
	if b.full == 0 {
		return nil
	}
	if err := b.reload(ctx, false); err != nil {
		return err
	}
	if err := b.reload(ctx, true); err != nil {
		return err
	}
	server, _, err := b.cpu()
	if err != nil {
		return err
	}
	const labels = `{app="shop",redis="cache"}`
	began := time.Now()
	for time.Since(began) < b.full {
		a, err := b.client.Scrape(ctx, b.exporter.URL)
		if err != nil {
			return err
		}
		took := time.Since(began)
		if n, ok := rig.Value(a.Body, "resp_sessions"+labels); ok {
			server2, _, err := b.cpu()
			if err != nil {
				return err
			}
			forever, _ := rig.Value(a.Body, "resp_sessions_without_expiry"+labels)
			bytes, _ := rig.Value(a.Body, "resp_session_bytes"+labels)
			fmt.Printf("A full walk took %.0f s and %.2f s of Redis' processor, %.2f %% of a core, with all else that Redis did then.\nCounted %.0f sessions, %.0f without an expiry, %.1f MB.\n",
				took.Seconds(), server2-server, (server2-server)/took.Seconds()*100, n, forever, bytes/1e6)
			return nil
		}
		time.Sleep(2 * time.Second)
	}
	a, err := b.client.Scrape(ctx, b.exporter.URL)
	if err != nil {
		return err
	}
	covered, _ := rig.Value(a.Body, "resp_session_scan_coverage_ratio"+labels)
	server2, _, err := b.cpu()
	if err != nil {
		return err
	}
	fmt.Printf("In %s the walk covered %.1f %%: at that pace a full one takes %.0f s. Redis used %.2f %% of a core, with all else that it did then.\n",
		b.full, covered*100, b.full.Seconds()/covered, (server2-server)/time.Since(began).Seconds()*100)
	return nil
}
