// Command flood measures how many StatsD lines a second resp-exporter and
// statsd_exporter take without losing one, each on one CPU of its own, and what
// CPU a line costs. It prints Markdown tables and ends all it started.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"runtime"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/stat"
)

const (
	atMost      = 4 * time.Minute // the whole run
	senderCPU   = 0
	receiverCPU = 1
)

// ladder is the rates, in lines a second, that are tried for a packet of that
// many lines.
type ladder struct {
	network string
	lines   int
	rates   []float64
}

// ladders returns the rates of lines per second that are sent, by transport and lines per
// datagram; 0: as fast as possible.
func ladders() []ladder {
	return []ladder{
		{"udp", 1, []float64{20e3, 40e3, 80e3, 120e3, 160e3, 200e3, 300e3}},
		{"udp", 20, []float64{100e3, 200e3, 400e3, 800e3, 1.2e6, 1.6e6, 2.4e6}},
		// The sender of a UNIX socket waits for the receiver: nothing is ever lost.
		{"unixgram", 1, []float64{0}},
		{"unixgram", 20, []float64{0}},
	}
}

// settings are the flags.
type settings struct {
	ours, peer string
	runs       int
	step       time.Duration
}

func main() { rig.Main("flood", atMost, start) }

// start reads the flags, runs all ladders and prints the table. An error: the machine has
// only one CPU.
func start(ctx context.Context) error {
	var s settings
	flag.StringVar(&s.ours, "exporter", "build/resp-exporter", "resp-exporter")
	flag.StringVar(&s.peer, "statsd-exporter", "statsd_exporter", "statsd_exporter; a bare name is looked up on the PATH")
	flag.IntVar(&s.runs, "runs", 3, "how often each ladder is climbed; the receivers take turns")
	flag.DurationVar(&s.step, "step", 1500*time.Millisecond, "how long one rate is sent")
	flag.Parse()
	if s.runs < 1 || s.step < 100*time.Millisecond || flag.NArg() > 0 {
		return errors.New("want -runs of at least 1, -step of at least 100ms, and no argument")
	}
	if runtime.NumCPU() < 2 {
		return errors.New("this needs two CPUs, one for the sender and one for the receiver")
	}
	var errs [3]error
	s.ours, errs[0] = rig.Find(s.ours, rig.HowOurs)
	s.peer, errs[1] = rig.Find(s.peer, rig.HowPeers)
	_, errs[2] = rig.Find("taskset", "apt-get install util-linux")
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	fmt.Println(rig.Machine())
	fmt.Println()
	results, err := s.climbAll(ctx)
	if len(results) > 0 { // what was measured before a failure still holds
		summary(results)
		details(results)
	}
	return err
}

// climbs is all runs of one receiver on one ladder.
type climbs struct {
	receiver string
	ladder   ladder
	runs     [][]stat.Step
}

// climbAll starts the receivers and measures them in turn on every ladder; it returns the
// results by ladder.
func (s settings) climbAll(ctx context.Context) ([]*climbs, error) {
	r, err := rig.New()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	receivers, err := s.receivers(ctx, r)
	if err != nil {
		return nil, err
	}
	client := rig.NewClient()
	defer client.Close()
	var all []*climbs
	for _, l := range ladders() {
		group := make([]*climbs, len(receivers))
		for i, rc := range receivers {
			group[i] = &climbs{receiver: rc.Name, ladder: l}
		}
		for range s.runs {
			for i, rc := range receivers {
				steps, err := rc.climb(ctx, client, l, s.step)
				if err != nil {
					return all, fmt.Errorf("%s, %s, %d lines a packet: %w", rc.Name, l.network, l.lines, err)
				}
				group[i].runs = append(group[i].runs, steps)
			}
		}
		all = append(all, group...)
	}
	return all, nil
}
