// Command leakviews runs apps of which one view leaks, and such without a leak, and
// reports how often the exporter names the view. Each run is a line of a CSV file, which a
// later run with the same file and seed continues.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/trials/leakviews"
	"github.com/resp-exporter/resp-exporter/e2e/trials/trial"
)

func main() { trial.Main("leakviews", start) }

// batch is the runs of one seed.
type batch struct {
	mu   sync.Mutex
	rows *trial.Rows
	all  [][]string
}

func start(ctx context.Context) error {
	c := leakviews.Case{}
	flag.StringVar(&c.Exporter, "exporter", "build/resp-exporter", "the exporter")
	flag.Uint64Var(&c.Seed, "seed", uint64(time.Now().Unix()), "of names, durations and the load")
	n := flag.Int("n", 20, "runs with a leak, and as many without")
	beside := flag.Int("beside", 4, "runs side by side")
	flag.IntVar(&c.Workers, "workers", 4, "of each app")
	flag.Float64Var(&c.Rate, "rate", 20, "requests a second")
	flag.IntVar(&c.Bytes, "bytes", 50_000, "that a request to the view that leaks keeps")
	flag.Float64Var(&c.Scale, "scale", 60, "how many times faster time passes for the detector")
	flag.DurationVar(&c.Longest, "longest", 8*time.Minute, "of a run; one without a leak takes as long as that")
	file := flag.String("csv", "", "a line a run (build/trials/leakviews-SEED.csv)")
	flag.Parse()
	fmt.Println("seed", c.Seed)
	var err error
	if c.Exporter, err = filepath.Abs(c.Exporter); err != nil {
		return err
	}
	if *file == "" {
		*file = fmt.Sprintf("build/trials/leakviews-%d.csv", c.Seed)
	}
	b := &batch{}
	if b.rows, b.all, err = trial.Open(*file, c.Seed, "run", "leaks", "named", "wrong", "right", "suspected_s", "named_s", "told_bytes_per_s", "kept_bytes_per_s"); err != nil {
		return err
	}
	err = b.runAll(ctx, c, *n, *beside)
	return errors.Join(err, b.rows.Close(), b.verdict(*n))
}

// runAll runs what no earlier run has done, side by side.
func (b *batch) runAll(ctx context.Context, c leakviews.Case, n, beside int) error {
	done := map[string]bool{}
	for _, r := range b.all {
		done[r[0]] = true
	}
	var left []int
	for i := range 2 * n {
		if !done[strconv.Itoa(i)] {
			left = append(left, i)
		}
	}
	return trial.Beside(left, beside, func(x int) error {
		one := c
		one.Seed, one.Leak = c.Seed*1000+uint64(x), x%2 == 0
		r, err := leakviews.Run(ctx, &one)
		if err != nil {
			return fmt.Errorf("run %d: %w", x, err)
		}
		return b.add(x, &r)
	})
}

// add stores and prints one result.
func (b *batch) add(x int, r *leakviews.Result) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	row := []string{
		strconv.Itoa(x), r.Leaks, r.Named, strconv.FormatBool(r.Wrong), strconv.FormatBool(r.Right()),
		fmt.Sprintf("%.0f", r.Suspected.Seconds()), fmt.Sprintf("%.0f", r.After.Seconds()), fmt.Sprintf("%.0f", r.Growth), fmt.Sprintf("%.0f", r.Truth),
	}
	b.all = append(b.all, row)
	fmt.Println(row)
	return errors.Join(b.rows.Write(row...), b.rows.Flush())
}

// verdict prints how many runs are right: 19 of 20 with a leak and all without must be.
func (b *batch) verdict(n int) error {
	var with, right, without, quiet int
	for _, r := range b.all {
		all, good := &with, &right
		if r[1] == "" {
			all, good = &without, &quiet
		}
		if *all++; r[4] == "true" {
			*good++
		}
	}
	fmt.Printf("the view that leaks was named, and no other, in %d of %d runs; none was named in %d of %d without a leak\n", right, with, quiet, without)
	if with < n || without < n || right*20 < with*19 || quiet < without {
		return errors.New("less than 19 of 20, or a view was named without a leak")
	}
	return nil
}
