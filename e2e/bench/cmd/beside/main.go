// Command beside measures one resp-exporter that does its whole job beside the five
// exporters that it replaces, each with few collectors: node_exporter, process-exporter,
// statsd_exporter, mysqld_exporter and redis_exporter. All run at the same time, watch
// the same app, MariaDB and Redis, and are scraped in turn, in an order drawn anew each
// time. It prints one table of ratios and ends all it started.
//
//	beside -peers build/peers
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
)

const (
	wholeRun = 25 * time.Minute // at most
	// minGap is above the 50 ms for which resp-exporter gives one look at the processes
	// to everyone who asks, and the 100 ms for which MariaDB keeps its list of transactions.
	minGap = 150 * time.Millisecond
)

// The loads.
const (
	idle        = "idle"
	many        = "many"
	connections = "connections"
)

// settings are the flags.
type settings struct {
	ours, peers, shop, csv    string
	loads                     []string
	rounds, n, many, daemons  int
	connections, transactions int
	lines, paced              int
	seed                      uint64
	round, gap, rest, every   time.Duration
}

func main() { rig.Main("beside", wholeRun, start) }

// start runs the rounds of each load and prints the report, also of what was measured
// before an error.
func start(ctx context.Context) error {
	s, err := flags()
	if err != nil {
		return err
	}
	fmt.Printf("%s; seed %d; %d rounds of at most %d scrapes\n\n", rig.Machine(), s.seed, s.rounds, s.n)
	var all []measured
	for _, name := range s.loads {
		m, failed := s.load(ctx, name)
		if all = append(all, m); failed != nil {
			err = fmt.Errorf("load %s: %w", name, failed)
			break
		}
		fmt.Printf("%s: done, %s\n", name, rig.Machine())
	}
	s.report(all) // what was measured before a failure still holds
	return errors.Join(err, rig.Keep(s.csv, head(), raw(all)))
}

// flags returns the settings of the command line, with the paths of the programs.
func flags() (settings, error) {
	var s settings
	flag.StringVar(&s.ours, "exporter", "build/resp-exporter", "resp-exporter")
	flag.StringVar(&s.peers, "peers", "build/peers", "directory with the five exporters; empty: they are on the PATH")
	flag.StringVar(&s.shop, "shop", "e2e/shop", "directory of the shop app")
	flag.StringVar(&s.csv, "csv", "build/bench/beside.csv", "write each round to this file; empty: none")
	flag.IntVar(&s.rounds, "rounds", 3, "rounds of a load")
	flag.IntVar(&s.n, "n", 100, "scrapes of each exporter in one round")
	flag.DurationVar(&s.round, "round", 30*time.Second, "end a round after this long, however many scrapes it was")
	flag.DurationVar(&s.gap, "gap", minGap, "from one scrape of an exporter to the next, at least 150ms")
	flag.DurationVar(&s.rest, "rest", 8*time.Second, "measure without scrapes for this long")
	flag.DurationVar(&s.every, "every", 10*time.Second, "also measure with a scrape this often")
	flag.IntVar(&s.paced, "paced", 2, "how many of those")
	flag.IntVar(&s.daemons, "daemons", 80, "sleeping processes of the other loads, in place of a host's daemons and kernel threads, at most 4000")
	flag.IntVar(&s.many, "many", 2000, "sleeping processes of the load many, at most 4000")
	flag.IntVar(&s.connections, "connections", 1000, "connections of the load connections")
	flag.IntVar(&s.transactions, "transactions", 300, "how many of them sleep in a transaction")
	flag.IntVar(&s.lines, "lines", 3000, "StatsD lines a second for the cost of a line")
	flag.Uint64Var(&s.seed, "seed", 1, "seed of the order of scrapes")
	loads := flag.String("loads", strings.Join([]string{idle, many, connections}, ","), "what to run")
	quick := flag.Bool("quick", false, "two rounds of a few scrapes, small loads: a look, not a measurement")
	flag.Parse()
	if *quick {
		s.rounds, s.n, s.many, s.connections, s.transactions = 2, 10, 200, 100, 30
		s.rest, s.every, s.paced = 2*time.Second, time.Second, 2
	}
	s.loads = strings.Split(*loads, ",")
	for _, l := range s.loads {
		if !slices.Contains([]string{idle, many, connections}, l) {
			return s, fmt.Errorf("no such load: %q", l)
		}
	}
	if flag.NArg() > 0 || min(s.rounds, s.n, s.lines, s.paced) < 1 || min(s.many, s.daemons) < 0 || max(s.many, s.daemons) > 4000 || s.gap < minGap ||
		s.transactions > s.connections || s.connections > 4000 || s.lines > 100_000 {
		return s, errors.New("a flag is out of its range; -help lists them")
	}
	var err error
	s.ours, err = rig.Find(s.ours, rig.HowOurs)
	return s, err
}

// peer returns the path of one of the other exporters: below the directory of -peers, else
// on the PATH.
func (s settings) peer(name string) (string, error) {
	if s.peers != "" {
		name = filepath.Join(s.peers, name)
	}
	return rig.Find(name, rig.HowPeers)
}
