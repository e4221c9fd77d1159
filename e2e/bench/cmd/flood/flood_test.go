package main

import (
	"bytes"
	"testing"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/stat"
)

func TestPackets(t *testing.T) {
	for _, n := range []int{1, 2, 20} {
		all := packets(n)
		count := map[string]int{}
		for _, p := range all {
			lines := bytes.Split(p, []byte("\n"))
			if len(lines) != n {
				t.Errorf("a packet of %d lines has %d", n, len(lines))
			}
			for _, l := range lines {
				count[string(l)]++
			}
		}
		for _, l := range rig.GunicornLines() {
			if count[l] != n {
				t.Errorf("packets of %d: %q is in them %d times, want %d", n, l, count[l], n)
			}
		}
	}
}

func TestFigures(t *testing.T) {
	step := func(rate float64, lost int64) stat.Step {
		return stat.Step{Asked: rate, Sent: int64(rate), Counted: int64(rate) - lost, Seconds: 1, CPU: 1}
	}
	c := &climbs{runs: [][]stat.Step{
		{step(1000, 0), step(2000, 1), step(4000, 5)},
		{step(1000, 0), step(2000, 0), step(4000, 5)},
		{step(1000, 9), step(2000, 9)}, // a run without a loss-free step counts too
	}}
	f := c.figures()
	if f.best.Median != 1000 || f.best.Min != 0 || f.best.Max != 2000 {
		t.Errorf("loss-free rates: %+v, want 1000 [0–2000]", f.best)
	}
	if f.open {
		t.Error("every run ended in a loss: the limit was reached")
	}
	c.runs[0] = []stat.Step{{Asked: 2000, Sent: 1000, Counted: 1000, Seconds: 1}}
	if !c.figures().open {
		t.Error("a run ended without a loss: the limit was not reached")
	}
}

func TestLaddersClimb(t *testing.T) {
	for _, l := range ladders() {
		for i := 1; i < len(l.rates); i++ {
			if l.rates[i] <= l.rates[i-1] {
				t.Errorf("%s, %d: rung %v is not above %v", l.network, l.lines, l.rates[i], l.rates[i-1])
			}
		}
	}
}
