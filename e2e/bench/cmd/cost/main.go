// Command cost measures what a scrape of resp-exporter costs beside
// node_exporter and process-exporter, on the loopback, with an app of four
// gunicorn workers; with -old, beside another build of resp-exporter instead, in
// alternating rounds. It prints Markdown tables and ends all it started.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
)

const (
	wholeRun = 20 * time.Minute // at most
	// minGap is above the 50 ms for which resp-exporter gives one look at the
	// processes to everyone who asks. Scrapes in a row would share looks, and
	// seem cheaper than those of a Prometheus ever are.
	minGap = 60 * time.Millisecond
)

// settings are the flags.
type settings struct {
	ours, node, process, shop string
	old, csv                  string
	rounds, n, many           int
	atMost                    time.Duration // a round
	gap                       time.Duration // from one scrape of a target to the next
	rest                      time.Duration // with no scrape at all
	every                     time.Duration // between scrapes with pauses
	scenarios                 []string
}

func main() { rig.Main("cost", wholeRun, start) }

// start reads the flags, runs each scenario and prints its table.
func start(ctx context.Context) error {
	var s settings
	flag.StringVar(&s.ours, "exporter", "build/resp-exporter", "resp-exporter")
	flag.StringVar(&s.old, "old", "", "another build of resp-exporter: compare the two, and nothing else")
	flag.StringVar(&s.csv, "csv", "", "with -old: also write each round to this file")
	flag.StringVar(&s.node, "node-exporter", "node_exporter", "node_exporter; a bare name is looked up on the PATH")
	flag.StringVar(&s.process, "process-exporter", "process-exporter", "process-exporter; a bare name is looked up on the PATH")
	flag.StringVar(&s.shop, "shop", "e2e/shop", "directory of the shop app")
	flag.IntVar(&s.rounds, "rounds", 3, "rounds; the targets take turns within one")
	flag.IntVar(&s.n, "n", 200, "scrapes of a target in one round")
	flag.IntVar(&s.many, "many", 2000, "sleeping processes of the scenario many, at most 4000")
	flag.DurationVar(&s.gap, "gap", minGap, "from one scrape of a target to the next in a round, at least 60ms")
	flag.DurationVar(&s.atMost, "round", 20*time.Second, "end a round after this long, however many scrapes it was")
	flag.DurationVar(&s.rest, "rest", 10*time.Second, "measure the CPU use without scrapes for this long")
	flag.DurationVar(&s.every, "every", 5*time.Second, "also measure the CPU use with a scrape this often")
	which := flag.String("scenarios", "idle,memory,many", "what to run")
	flag.Parse()
	s.scenarios = strings.Split(*which, ",")
	if s.many < 0 || s.many > 4000 || s.n < 1 || s.rounds < 1 || s.gap < minGap || flag.NArg() > 0 {
		return errors.New("want -many 0 to 4000, -n and -rounds of at least 1, -gap of at least 60ms, and no argument")
	}
	if s.old != "" {
		return s.compared(ctx)
	}
	var errs [3]error
	s.ours, errs[0] = rig.Find(s.ours, rig.HowOurs)
	s.node, errs[1] = rig.Find(s.node, rig.HowPeers)
	s.process, errs[2] = rig.Find(s.process, rig.HowPeers)
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	for _, name := range s.scenarios {
		fmt.Printf("## %s\n%s\n\n", name, rig.Machine())
		if err := s.scenario(ctx, name); err != nil {
			return fmt.Errorf("scenario %s: %w", name, err)
		}
	}
	return nil
}
