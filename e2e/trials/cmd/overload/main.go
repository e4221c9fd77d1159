// Command overload sends an app more requests than it can serve, with and without the
// action throttle, and reports what was served and how soon. Each run is a line of a CSV
// file, which a later run with the same file and seed continues, and each request one of
// another file.
package main

import (
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/trials/overload"
	"github.com/resp-exporter/resp-exporter/e2e/trials/trial"
)

func main() { trial.Main("overload", start) }

// The figures that a throttle must reach.
const (
	slowest   = 1500 * time.Millisecond // the 95th percentile of the requests that are accepted
	leastRate = 0.9                     // of the rate without overload
	leastHigh = 0.99                    // of the requests of high priority
	untreated = 10 * time.Second        // the 95th percentile at three times the load without a throttle
)

var columns = []string{"case", "arm", "capacity", "requests", "served", "p50", "p95", "longest", "high", "normal", "low", "p95_whole", "began", "released", "faults"}

func start(ctx context.Context) error {
	o := overload.Options{}
	flag.StringVar(&o.Exporter, "exporter", "build/resp-exporter", "the exporter")
	flag.StringVar(&o.Root, "root", ".", "the repository")
	flag.Uint64Var(&o.Seed, "seed", 1, "of the times and the routes of requests")
	flag.DurationVar(&o.For, "for", time.Minute, "of an overload")
	only := flag.String("cases", ".", "regular expression that picks cases by name")
	arms := flag.String("arms", "throttle,none", "throttle, none or both")
	dir := flag.String("dir", "", "directory of the raw results (build/trials/overload-SEED)")
	flag.Parse()
	if *dir == "" {
		*dir = fmt.Sprintf("build/trials/overload-%d", o.Seed)
	}
	pick, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	for _, p := range []*string{&o.Exporter, &o.Root} {
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	rows, before, err := trial.Open(filepath.Join(*dir, "runs.csv"), o.Seed, columns...)
	if err != nil {
		return err
	}
	err = runAll(ctx, o, pick, strings.Split(*arms, ","), *dir, rows, before)
	return errors.Join(err, rows.Close())
}

// runAll runs what no earlier run has done.
func runAll(ctx context.Context, o overload.Options, pick *regexp.Regexp, arms []string, dir string, rows *trial.Rows, before [][]string) error {
	done := map[string][]string{}
	for _, row := range before {
		done[row[0]+" "+row[1]] = row
	}
	missed := 0
	fmt.Printf("%-11s %-8s %9s %8s %7s %7s %7s %7s %7s %7s  %s\n", "case", "arm", "capacity", "served", "p50", "p95", "longest", "high", "normal", "low", "faults")
	cases := slices.DeleteFunc(overload.Cases(), func(c overload.Case) bool { return !pick.MatchString(c.Name) })
	for _, c := range cases {
		for _, arm := range arms {
			row, ok := done[c.Name+" "+arm]
			if !ok {
				var err error
				if row, err = runOne(ctx, o, c, arm, dir, rows); err != nil {
					return fmt.Errorf("%s, %s: %w", c.Name, arm, err)
				}
			}
			if row[14] != "" {
				missed++
			}
			fmt.Printf("%-11s %-8s %7s/s %8s %7s %7s %7s %7s %7s %7s  %s\n", row[0], row[1], row[2], row[4], row[5], row[6], row[7], row[8], row[9], row[10], row[14])
		}
	}
	if missed > 0 {
		return fmt.Errorf("%d runs miss a figure", missed)
	}
	return nil
}

// runOne runs a case in one arm, keeps its requests and its line, and returns the line.
func runOne(ctx context.Context, o overload.Options, c overload.Case, arm, dir string, rows *trial.Rows) ([]string, error) {
	o.Throttle = arm == "throttle"
	r, err := overload.Run(ctx, c, o)
	if err != nil {
		return nil, err
	}
	row := rowOf(&c, arm, &r)
	raw := filepath.Join(dir, strings.ReplaceAll(c.Name, " ", "-")+"-"+arm+".csv")
	return row, errors.Join(keep(raw, r.Requests), rows.Write(row...), rows.Flush())
}

// rowOf returns the line of a run.
func rowOf(c *overload.Case, arm string, r *overload.Result) []string {
	seconds := func(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }
	share := func(x float64) string { return fmt.Sprintf("%.4f", x) }
	m := &r.Settled
	return []string{
		c.Name, arm, fmt.Sprintf("%.1f", r.Capacity), strconv.Itoa(m.Requests), share(m.Served), seconds(m.P50), seconds(m.P95), seconds(m.Longest),
		share(m.ByPath["/checkout"].Ratio()), share(m.ByPath["/"].Ratio()), share(m.ByPath["/report"].Ratio()), seconds(r.Whole.P95), seconds(r.Began), seconds(r.Released),
		strings.Join(faults(c, arm, r), "; "),
	}
}

// faults returns the figures that a run misses.
func faults(c *overload.Case, arm string, r *overload.Result) (out []string) {
	m := &r.Settled
	say := func(missed bool, format string, values ...any) {
		if missed {
			out = append(out, fmt.Sprintf(format, values...))
		}
	}
	if arm != "throttle" {
		say(c.Load >= 3 && m.P95 < untreated, "p95 %s without a throttle, want %s", m.P95, untreated)
		return out
	}
	say(r.Began < 0, "no throttle")
	say(m.P95 > slowest, "p95 %s, want %s", m.P95.Round(time.Millisecond), slowest)
	// Bursts leave the app idle between them.
	say(!c.Bursts && m.Served < leastRate, "%.2f of the rate, want %.2f", m.Served, leastRate)
	say(m.ByPath["/checkout"].Ratio() < leastHigh, "%.4f of high priority, want %.2f", m.ByPath["/checkout"].Ratio(), leastHigh)
	say(m.Unhealthy > 0, "%d health checks shed", m.Unhealthy)
	say(r.Began >= 0 && r.Released < 0, "not released")
	return out
}

// keep writes a file with a line a request.
func keep(name string, requests []overload.Request) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	err = w.Write([]string{"at", "path", "status", "took"})
	for _, r := range requests {
		err = errors.Join(err, w.Write([]string{fmt.Sprintf("%.3f", r.At.Seconds()), r.Path, strconv.Itoa(r.Status), fmt.Sprintf("%.3f", r.Took.Seconds())}))
	}
	w.Flush()
	return errors.Join(err, w.Error(), f.Close())
}
