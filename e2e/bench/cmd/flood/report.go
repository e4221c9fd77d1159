package main

import (
	"fmt"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/stat"
)

// figures are what the runs of one receiver on one ladder come to.
type figures struct {
	best, cpu stat.Spread // loss-free lines a second; CPU µs a line at that rate
	low       stat.Spread // CPU µs a line at the lowest rung
	open      bool        // in some run the last rung lost nothing: the receiver's limit is higher
}

// figures returns the best rate without loss and the CPU time per line of all runs. A run
// without such a rate counts as 0.
func (c *climbs) figures() figures {
	var f figures
	var best, cpu, low []float64
	for _, steps := range c.runs {
		// No loss-free step counts as a rate of zero: a run is never left out.
		b, _ := stat.Best(steps)
		best, cpu, low = append(best, b.Rate()), append(cpu, b.CPUPerLine()), append(low, steps[0].CPUPerLine())
		f.open = f.open || steps[len(steps)-1].Lossless()
	}
	f.best, f.cpu, f.low = stat.Of(best), stat.Of(cpu), stat.Of(low)
	return f
}

// summary returns the table that compares the receivers, ladder by ladder; the first one is
// ours.
func summary(all []*climbs) {
	var rows [][]string
	var ours figures
	for _, c := range all {
		f := c.figures()
		ratio := "1"
		if c.receiver == all[0].receiver {
			ours = f
		} else {
			ratio = stat.Ratio(f.best.Median, ours.best.Median)
		}
		end := "reached"
		if f.open {
			end = "not reached"
		}
		if c.ladder.network != "udp" {
			end = "the sender waits"
		}
		rows = append(rows, []string{
			fmt.Sprintf("%s, %d", c.ladder.network, c.ladder.lines), c.receiver, thousands(f.best), ratio, end, f.cpu.Format(2), f.low.Format(2),
		})
	}
	fmt.Println(stat.Table([]string{
		"network, lines a packet", "receiver", "loss-free, 1,000 lines/s", "to ours", "its limit", "CPU µs a line there", "at the lowest rung",
	}, rows))
}

// details prints every rung: the lost lines and the CPU, run by run.
func details(all []*climbs) {
	var rows [][]string
	for _, c := range all {
		for rung, rate := range c.ladder.rates {
			lost, cpu := "", ""
			for _, steps := range c.runs {
				if rung >= len(steps) {
					lost, cpu = lost+" / –", cpu+" / –"
					continue
				}
				s := steps[rung]
				lost += fmt.Sprintf(" / %d of %d", s.Sent-s.Counted, s.Sent)
				cpu += fmt.Sprintf(" / %.2f", s.CPUPerLine())
			}
			asked := fmt.Sprintf("%.0f", rate)
			if rate == 0 {
				asked = "as fast as it goes"
			}
			rows = append(rows, []string{fmt.Sprintf("%s, %d", c.ladder.network, c.ladder.lines), c.receiver, asked, lost[3:], cpu[3:]})
		}
	}
	fmt.Println(stat.Table([]string{"network, lines a packet", "receiver", "asked lines/s", "lost, run by run", "CPU µs a line"}, rows))
}

// thousands returns a spread in thousands, as text.
func thousands(s stat.Spread) string {
	return stat.Spread{Median: s.Median / 1000, Min: s.Min / 1000, Max: s.Max / 1000}.Format(0)
}
