package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/stat"
)

// pacedScrapes is how often each target is scraped with pauses.
const pacedScrapes = 6

// turn is what one target's scrapes in one round cost.
type turn struct {
	scrapes      int
	cpu, p50     float64 // milliseconds a scrape
	rss          float64 // MB, at the end
	series       int
	bytes, wired int // of the last body, as text and as it came
}

// rounded scrapes in rounds and prints what the scrapes cost.
func (s settings) rounded(ctx context.Context, client *rig.Client, targets []rig.Target) error {
	turns := make([][]turn, len(targets))
	for range s.rounds {
		got, err := s.round(ctx, client, targets)
		if err != nil {
			return err
		}
		for i, t := range got {
			turns[i] = append(turns[i], t)
		}
	}
	resting, err := s.resting(ctx, targets)
	if err != nil {
		return err
	}
	paced, err := s.paced(ctx, client, targets)
	if err != nil {
		return err
	}
	s.report(targets, turns, resting, paced)
	return nil
}

// round scrapes the targets in turn, each n times or until the time is up, and
// measures what each used meanwhile, its background work included.
func (s settings) round(ctx context.Context, client *rig.Client, targets []rig.Target) ([]turn, error) {
	took := make([][]float64, len(targets))
	turns := make([]turn, len(targets))
	before, err := rig.Clocks(targets)
	if err != nil {
		return nil, err
	}
	for start := time.Now(); len(took[0]) < s.n && (len(took[0]) == 0 || time.Since(start) < s.atMost); {
		err := s.cycle(ctx, client, targets, func(i int, a rig.Answer) {
			took[i] = append(took[i], rig.Milliseconds(a.Took))
			turns[i].series, turns[i].bytes, turns[i].wired = rig.Series(a.Body), len(a.Body), a.Wire
		})
		if err != nil {
			return nil, err
		}
	}
	after, err := rig.Clocks(targets)
	if err != nil {
		return nil, err
	}
	for i, t := range targets {
		rss, _, err := rig.Memory(t.PID)
		if err != nil {
			return nil, err
		}
		n := len(took[i])
		turns[i].scrapes, turns[i].cpu = n, rig.Milliseconds(after[i]-before[i])/float64(n)
		turns[i].p50, turns[i].rss = stat.Of(took[i]).Median, float64(rss)/1e6
	}
	return turns, nil
}

// cycle scrapes each target once and waits until the gap since its start is
// over, so that no scrape of resp-exporter finds what the one before it read.
func (s settings) cycle(ctx context.Context, client *rig.Client, targets []rig.Target, seen func(int, rig.Answer)) error {
	start := time.Now()
	for i, t := range targets {
		a, err := client.Scrape(ctx, t.URL)
		if err != nil {
			return err
		}
		seen(i, a)
	}
	return rig.Wait(ctx, s.gap-time.Since(start))
}

// resting returns each target's CPU use without scrapes, in milliseconds a second: the
// cost of its background work, whatever the scrape interval is.
func (s settings) resting(ctx context.Context, targets []rig.Target) ([]float64, error) {
	return rig.Use(targets, func() error { return rig.Wait(ctx, s.rest) })
}

// paced returns each target's CPU use in milliseconds a second when it is scraped
// now and then, as Prometheus does. A scrape after a pause finds more to read
// anew, and colder caches, than one of many in a row.
func (s settings) paced(ctx context.Context, client *rig.Client, targets []rig.Target) ([]float64, error) {
	return rig.Use(targets, func() error {
		for range pacedScrapes {
			for _, t := range targets {
				if _, err := client.Scrape(ctx, t.URL); err != nil {
					return err
				}
			}
			if err := rig.Wait(ctx, s.every); err != nil {
				return err
			}
		}
		return nil
	})
}

// report prints a row for each target, with the ratio of its CPU time to ours, and the sum
// of the peers.
func (s settings) report(targets []rig.Target, turns [][]turn, resting, paced []float64) {
	cpu := func(i int) stat.Spread { return stat.Column(turns[i], func(t turn) float64 { return t.cpu }) }
	ours, peers := cpu(0).Median, 0.0
	var rows [][]string
	for i, t := range targets {
		last := turns[i][len(turns[i])-1]
		ratio := "1"
		if i > 0 {
			peers += cpu(i).Median
			ratio = stat.Ratio(cpu(i).Median, ours)
		}
		rows = append(rows, []string{
			t.Name, cpu(i).Format(2), ratio,
			stat.Column(turns[i], func(t turn) float64 { return t.p50 }).Format(2),
			fmt.Sprintf("%.2f", resting[i]), fmt.Sprintf("%.2f", paced[i]), fmt.Sprintf("%.1f", last.rss), strconv.Itoa(last.series),
			fmt.Sprintf("%d (%d)", last.bytes, last.wired), fmt.Sprint(stat.Column(turns[i], func(t turn) float64 { return float64(t.scrapes) }).Median),
		})
	}
	rows = append(rows, []string{"both peers together", fmt.Sprintf("%.2f", peers), stat.Ratio(peers, ours)})
	fmt.Printf("%d processes on the host; %d rounds\n\n", rig.Processes(), len(turns[0]))
	fmt.Println(stat.Table([]string{
		"exporter", "CPU ms a scrape", "to ours", "p50 ms", "CPU ms a second, not scraped", fmt.Sprintf("scraped every %v", s.every), "RSS MB", "series", "bytes (gzip)", "scrapes a round",
	}, rows))
}
