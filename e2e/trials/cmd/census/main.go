// Command census runs apps that lose memory in twelve ways and reports what the exporter's
// censuses of the heap name. Each run is a line of a CSV file, which a later run with the
// same file and seed continues.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/trials/census"
	"github.com/resp-exporter/resp-exporter/e2e/trials/trial"
)

func main() { trial.Main("census", start) }

// batch is the runs of one seed.
type batch struct {
	mu   sync.Mutex
	rows *trial.Rows
	all  [][]string
}

func start(ctx context.Context) error {
	var c census.Case
	flag.StringVar(&c.Exporter, "exporter", "build/resp-exporter", "the exporter")
	flag.Uint64Var(&c.Seed, "seed", uint64(time.Now().Unix()), "of names, durations and the load")
	ways := flag.String("ways", strings.Join(census.Ways(), ","), "in which apps lose memory")
	beside := flag.Int("beside", 3, "runs side by side")
	flag.IntVar(&c.Workers, "workers", 2, "of an app")
	flag.Float64Var(&c.Rate, "rate", 8, "requests a second")
	flag.Float64Var(&c.Scale, "scale", 60, "how many times faster time passes for the detector")
	flag.DurationVar(&c.Longest, "longest", 7*time.Minute, "of a run")
	file := flag.String("csv", "", "a line a run (build/trials/census-SEED.csv)")
	flag.Parse()
	fmt.Println("seed", c.Seed)
	var err error
	if c.Exporter, err = filepath.Abs(c.Exporter); err != nil {
		return err
	}
	if *file == "" {
		*file = fmt.Sprintf("build/trials/census-%d.csv", c.Seed)
	}
	b := &batch{}
	b.rows, b.all, err = trial.Open(*file, c.Seed, "way", "want", "got", "type", "right", "suspected_s", "known_s", "told_per_hour", "kept_per_hour", "objects", "cpu_s",
		"before_n", "before_median_ms", "before_p95_ms", "during_n", "during_median_ms", "during_p95_ms")
	if err != nil {
		return err
	}
	err = b.runAll(ctx, c, strings.Split(*ways, ","), *beside)
	return errors.Join(err, b.rows.Close(), b.verdict())
}

// runAll runs what no earlier run has done, side by side.
func (b *batch) runAll(ctx context.Context, c census.Case, ways []string, beside int) error {
	left := slices.DeleteFunc(slices.Clone(ways), func(way string) bool {
		return slices.ContainsFunc(b.all, func(r []string) bool { return r[0] == way })
	})
	return trial.Beside(left, beside, func(way string) error {
		one := c
		one.Seed, one.Way = c.Seed*1000+uint64(slices.Index(census.Ways(), way)), way
		r, err := census.Run(ctx, &one)
		if err != nil {
			return fmt.Errorf("%s: %w", way, err)
		}
		return b.add(way, &r)
	})
}

// add stores and prints one result.
func (b *batch) add(way string, r *census.Result) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	ms := func(l census.Latency) []string {
		return []string{strconv.Itoa(l.Requests), fmt.Sprintf("%.0f", l.Median*1e3), fmt.Sprintf("%.0f", l.P95*1e3)}
	}
	row := []string{
		way, r.Want, r.Got, r.Type, strconv.FormatBool(r.Right), fmt.Sprintf("%.0f", r.Suspected.Seconds()), fmt.Sprintf("%.0f", r.After.Seconds()),
		fmt.Sprintf("%.0f", r.PerHour), fmt.Sprintf("%.0f", r.Truth), fmt.Sprintf("%.0f", r.Objects), fmt.Sprintf("%.3f", r.CPU),
	}
	row = append(append(row, ms(r.Before)...), ms(r.During)...)
	b.all = append(b.all, row)
	fmt.Println(row)
	return errors.Join(b.rows.Write(row...), b.rows.Flush())
}

// verdict prints how many runs are right: of twelve ways all but one of those with a
// container must be named, and those without Python's objects must be told.
func (b *batch) verdict() error {
	right, wrongC := 0, 0
	for _, r := range b.all {
		switch {
		case r[4] == "true":
			right++
		case r[1] == "not_python":
			wrongC++
		}
	}
	fmt.Printf("what keeps the memory was told in %d of %d runs\n", right, len(b.all))
	if wrongC > 0 || right*12 < len(b.all)*11 {
		return errors.New("less than 11 of 12, or a leak outside of Python was not told")
	}
	return nil
}
