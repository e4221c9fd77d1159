// Command relay sends alerts about many exporters through a pair of Alertmanagers, two
// receivers and a Redis that is killed in the middle, and prints what became of them. It fails
// if one is lost or is run twice.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/trials/relay"
	"github.com/resp-exporter/resp-exporter/e2e/trials/trial"
)

func main() { trial.Main("relay", start) }

func start(ctx context.Context) error {
	began := time.Now()
	o := relay.Options{Stops: true, Logf: func(format string, v ...any) {
		fmt.Fprintf(os.Stderr, "%4.0f s: "+format+"\n", append([]any{time.Since(began).Seconds()}, v...)...)
	}}
	exporter := flag.String("exporter", "build/resp-exporter", "the program")
	flag.StringVar(&o.CSV, "csv", "build/trials/relay.csv", "raw results; a later run with the same seed continues them")
	flag.Uint64Var(&o.Seed, "seed", 1, "of the order and the times of alerts")
	flag.IntVar(&o.Hosts, "n", 1000, "exporters that alerts are about")
	flag.IntVar(&o.Real, "processes", 4, "of these: processes; the others are the product's relay and runner in this process")
	flag.IntVar(&o.Each, "each", 10, "alerts about each exporter")
	flag.DurationVar(&o.Spread, "spread", 20*time.Second, "time over which one alert about each exporter is sent")
	flag.DurationVar(&o.Down, "down", 20*time.Second, "time for which the Redis is down")
	flag.BoolVar(&o.NoAOF, "no-aof", false, "the Redis loses its data when it is killed")
	flag.DurationVar(&o.Linger, "linger", 100*time.Second, "time after the last alert, in which Alertmanager repeats")
	flag.Parse()
	if flag.NArg() > 0 || o.Hosts < 1 || o.Real > o.Hosts || o.Each < 1 {
		return fmt.Errorf("unexpected arguments %q, or no alert", flag.Args())
	}
	var err error
	if o.Exporter, err = filepath.Abs(*exporter); err != nil {
		return err
	}
	r, err := relay.Run(ctx, o)
	if r != nil {
		r.Print(os.Stdout)
	}
	if err != nil {
		return err
	}
	if s := r.All(); s.Once != o.Hosts*o.Each {
		return fmt.Errorf("%d of %d alerts lost, %d run twice", s.Lost, o.Hosts*o.Each, s.Twice)
	}
	return nil
}
