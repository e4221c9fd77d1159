package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/stat"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// compared measures the old and the new build in alternating rounds of each
// scenario. Each round has a fresh exporter and a fresh shop, so that neither
// build has the other beside it, and what the machine does meanwhile meets both.
func (s settings) compared(ctx context.Context) error {
	builds := [2]string{s.old, s.ours}
	for i, path := range builds {
		var err error
		if builds[i], err = rig.Find(path, rig.HowOurs); err != nil {
			return err
		}
	}
	var raw [][]string
	var err error
	for _, name := range s.scenarios {
		if err != nil || name != "idle" && name != "many" {
			continue // memory is a column of each
		}
		fmt.Printf("## %s\n%s\n\n", name, rig.Machine())
		var turns [2][]turn
		turns, err = s.alternate(ctx, name, builds)
		for which, list := range turns {
			for round, t := range list {
				raw = append(raw, []string{name, strconv.Itoa(round), []string{"old", "new"}[which], rig.Decimal(t.cpu), rig.Decimal(t.p50), rig.Decimal(t.rss), strconv.Itoa(t.series), strconv.Itoa(t.bytes)})
			}
		}
		if err == nil {
			compare(turns)
		}
	}
	return errors.Join(err, rig.Keep(s.csv, []string{"scenario", "round", "build", "cpu_ms_a_scrape", "p50_ms", "rss_mb", "series", "bytes"}, raw))
}

// alternate measures the builds in turn. With an error it returns the rounds
// that were done.
func (s settings) alternate(ctx context.Context, scenario string, builds [2]string) (turns [2][]turn, err error) {
	for round := range s.rounds {
		for k := range builds {
			which := (k + round) % 2 // the order alternates too
			t, err := s.alone(ctx, scenario, builds[which])
			if err != nil {
				return turns, fmt.Errorf("scenario %s, round %d of %s: %w", scenario, round, builds[which], err)
			}
			turns[which] = append(turns[which], t)
		}
	}
	return turns, nil
}

// alone starts one build with its own apps, measures it for one round, stops all of it and
// returns the result.
func (s settings) alone(ctx context.Context, scenario, path string) (turn, error) {
	r, err := rig.New()
	if err != nil {
		return turn{}, err
	}
	defer r.Close()
	if scenario == "many" {
		if err := r.Crowd(ctx, s.many, rig.Forks); err != nil {
			return turn{}, err
		}
	}
	port, err := run.FreeUDPPort()
	if err != nil {
		return turn{}, err
	}
	statsd := fmt.Sprintf("127.0.0.1:%d", port)
	target, err := r.Ours(ctx, run.Spec{Path: path}, "udp://"+statsd)
	if err != nil {
		return turn{}, err
	}
	base, err := r.Shop(ctx, s.shop, statsd)
	if err == nil {
		err = rig.Visit(ctx, base)
	}
	if err != nil {
		return turn{}, err
	}
	client := rig.NewClient()
	defer client.Close()
	for range warmUp {
		if _, err := client.Scrape(ctx, target.URL); err != nil {
			return turn{}, err
		}
	}
	got, err := s.round(ctx, client, []rig.Target{target})
	if err != nil {
		return turn{}, err
	}
	return got[0], nil
}

// compare prints the two builds and the ratios of new to old, round by round.
func compare(turns [2][]turn) {
	figures := []struct {
		name string
		of   func(turn) float64
	}{
		{"CPU ms a scrape", func(t turn) float64 { return t.cpu }},
		{"p50 ms", func(t turn) float64 { return t.p50 }},
		{"RSS MB", func(t turn) float64 { return t.rss }},
		{"series", func(t turn) float64 { return float64(t.series) }},
		{"bytes", func(t turn) float64 { return float64(t.bytes) }},
	}
	var rows [][]string
	for _, f := range figures {
		ratios := make([]float64, len(turns[0]))
		for i := range ratios {
			if old := f.of(turns[0][i]); old > 0 {
				ratios[i] = f.of(turns[1][i]) / old
			}
		}
		rows = append(rows, []string{f.name, stat.Column(turns[0], f.of).Format(2), stat.Column(turns[1], f.of).Format(2), stat.Of(ratios).Format(3)})
	}
	fmt.Printf("%d rounds of each build, in turn; median [least–most]\n\n", len(turns[0]))
	fmt.Println(stat.Table([]string{"", "old", "new", "new to old, round by round"}, rows))
}
