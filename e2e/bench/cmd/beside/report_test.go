package main

import (
	"math"
	"testing"
)

// rounds returns two rounds of ours and two peers.
func rounds() []measured {
	return []measured{{load: idle, rounds: [][]turn{
		{{exporter: "ours", cpu: 1, rss: 30, series: 10, line: 1}, {exporter: "a", cpu: 15, rss: 20, series: 4}, {exporter: "b", cpu: 5, rss: 20, series: 4, line: 4}},
		{{exporter: "ours", cpu: 4, rss: 32, series: 10, line: 1}, {exporter: "a", cpu: 18, rss: 20, series: 4}, {exporter: "b", cpu: 2, rss: 20, series: 4, line: 2}},
	}}}
}

func TestRows(t *testing.T) {
	t.Parallel()
	got := map[string]row{}
	for _, r := range (settings{}).rows(rounds()) {
		got[r.name] = r
	}
	for name, want := range map[string]struct {
		ratio, peers float64
		met          bool
	}{
		"CPU, ms a scrape":           {0.125, 20, true},
		"RSS, MB":                    {0.775, 40, false},
		"series":                     {1.25, 8, false},
		"StatsD, CPU µs a line":      {0.375, 3, true},
		"MariaDB's CPU, ms a scrape": {0, 0, true}, // nobody has it
	} {
		r := got[name]
		if math.Abs(r.rate.Median-want.ratio) > 1e-9 || r.peers.Median != want.peers || r.met() != want.met {
			t.Errorf("%s: ratio %v, peers %v, met %v; want %+v", name, r.rate, r.peers, r.met(), want)
		}
	}
	if e := got["StatsD, CPU µs a line"].each; len(e) != 2 || e[0].Median != 0 || e[1].Median != 3 {
		t.Errorf("the peers one by one: %v", e)
	}
	if len((settings{}).rows([]measured{{load: many}})) != 0 {
		t.Error("a load without a round has no row")
	}
}

func TestRaw(t *testing.T) {
	t.Parallel()
	lines := raw(rounds())
	if len(lines) != 6 {
		t.Fatalf("%d lines, want one for each exporter and round", len(lines))
	}
	for _, l := range lines {
		if len(l) != len(head()) {
			t.Errorf("%d cells below %d heads: %v", len(l), len(head()), l)
		}
	}
}
