package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/stat"
)

// quantity is a row of the table, one a load.
type quantity struct {
	name     string
	goal     float64 // the ratio at most
	decimals int
	of       func(turn) float64
}

// quantities returns the quantities that are compared, in the order of the table, each with
// the wanted ratio and its decimals.
func (s settings) quantities() []quantity {
	every := fmt.Sprintf("CPU with a scrape every %.0f s, ms a second", s.every.Seconds())
	return []quantity{
		{"CPU, ms a scrape", 0.15, 2, func(t turn) float64 { return t.cpu }},
		{"RSS, MB", 0.40, 1, func(t turn) float64 { return t.rss }},
		{"series", 1, 0, func(t turn) float64 { return float64(t.series) }},
		{"bytes, kB", 1, 1, func(t turn) float64 { return float64(t.bytes) / 1000 }},
		{"bytes with gzip, kB", 1, 1, func(t turn) float64 { return float64(t.wired) / 1000 }},
		{"response time, ms", 1, 1, func(t turn) float64 { return t.p50 }},
		{"MariaDB's CPU, ms a scrape", 1, 2, func(t turn) float64 { return t.mysql }},
		{"Redis' CPU, ms a scrape", 1, 2, func(t turn) float64 { return t.redis }},
		{"StatsD, CPU µs a line", 1, 1, func(t turn) float64 { return t.line }},
		{"MariaDB's " + every, 1, 2, func(t turn) float64 { return t.store }},
		{every, 1, 2, func(t turn) float64 { return t.paced }},
		{"CPU without scrapes, ms a second", 1, 2, func(t turn) float64 { return t.resting }},
	}
}

// row is a quantity under a load: ours, the peers one by one, their sum, and the ratio of
// ours to it, over the rounds.
type row struct {
	quantity
	load              string
	ours, peers, rate stat.Spread
	each              []stat.Spread
}

// met reports whether the median ratio keeps the goal. What no peer has is no miss.
func (r row) met() bool { return r.peers.Median <= 0 || r.rate.Median <= r.goal }

// rows returns a row for each quantity and load.
func (s settings) rows(all []measured) []row {
	var out []row
	for _, q := range s.quantities() {
		for _, m := range all {
			if len(m.rounds) > 0 {
				out = append(out, rowOf(q, m))
			}
		}
	}
	return out
}

// rowOf returns the row of a quantity under one load: ours, the sum of the peers, and the
// ratio of both in each round. The ratio is 0 if the peers have none.
func rowOf(q quantity, m measured) row {
	r := row{quantity: q, load: m.load}
	of := func(figure func([]turn) float64) stat.Spread { return stat.Column(m.rounds, figure) }
	sum := func(turns []turn) float64 {
		s := 0.0
		for _, t := range turns[1:] {
			s += q.of(t)
		}
		return s
	}
	r.ours, r.peers = of(func(t []turn) float64 { return q.of(t[0]) }), of(sum)
	r.rate = of(func(t []turn) float64 {
		if sum(t) <= 0 {
			return 0
		}
		return q.of(t[0]) / sum(t)
	})
	for i := range m.rounds[0][1:] {
		r.each = append(r.each, of(func(t []turn) float64 { return q.of(t[i+1]) }))
	}
	return r
}

// report prints the table and what misses its goal.
func (s settings) report(all []measured) {
	list := s.rows(all)
	if len(list) == 0 {
		return
	}
	head := []string{"", "load", "resp-exporter"}
	for _, t := range all[0].rounds[0][1:] {
		head = append(head, t.exporter)
	}
	head = append(head, "the five", "ratio", "goal")
	var cells, missed [][]string
	for _, r := range list {
		line := []string{r.name, r.load, r.ours.Format(r.decimals)}
		for _, e := range r.each {
			line = append(line, cell(e.Median, r.decimals))
		}
		line = append(line, r.peers.Format(r.decimals), r.rate.Format(2), fmt.Sprintf("%.2f", r.goal))
		if cells = append(cells, line); !r.met() {
			missed = append(missed, []string{r.name, r.load, r.rate.Format(2), fmt.Sprintf("%.2f", r.goal)})
		}
	}
	fmt.Printf("\n%s\n", stat.Table(head, cells))
	if len(missed) > 0 {
		fmt.Printf("Goals missed:\n\n%s\n", stat.Table([]string{"", "load", "ratio", "goal"}, missed))
	}
}

// cell writes a figure, or a dash for one that is zero as far as it is shown: noise of the
// subtraction, too.
func cell(v float64, decimals int) string {
	text := fmt.Sprintf("%.*f", decimals, v)
	if v <= 0 || strings.Trim(text, "0.") == "" {
		return "–"
	}
	return text
}

// head and raw are the rounds as they are kept.
func head() []string {
	return strings.Fields("load round exporter scrapes cpu_ms_a_scrape cpu_ms_a_scrape_with_background p50_ms rss_mb series bytes gzip_bytes " +
		"mariadb_cpu_ms_a_scrape redis_cpu_ms_a_scrape resting_ms_a_second paced_ms_a_second mariadb_paced_ms_a_second cpu_us_a_statsd_line")
}

// raw returns the values of each exporter in each round, a line each.
func raw(all []measured) [][]string {
	var out [][]string
	for _, m := range all {
		for i, turns := range m.rounds {
			for _, t := range turns {
				line := []string{m.load, strconv.Itoa(i), t.exporter, strconv.Itoa(t.scrapes), rig.Decimal(t.cpu), rig.Decimal(t.gross), rig.Decimal(t.p50), rig.Decimal(t.rss)}
				line = append(line, strconv.Itoa(t.series), strconv.Itoa(t.bytes), strconv.Itoa(t.wired))
				out = append(out, append(line, rig.Decimal(t.mysql), rig.Decimal(t.redis), rig.Decimal(t.resting), rig.Decimal(t.paced), rig.Decimal(t.store), rig.Decimal(t.line)))
			}
		}
	}
	return out
}
