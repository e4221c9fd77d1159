// Command soak scrapes an exporter thousands of times under attack and reports
// whether anything of it grows. Each scrape is a line of a CSV file, which a
// later run with the same file continues.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/trials/soak"
	"github.com/resp-exporter/resp-exporter/e2e/trials/trial"
)

func main() { trial.Main("soak", start) }

func start(ctx context.Context) error {
	var o soak.Options
	flag.StringVar(&o.Exporter, "exporter", "build/resp-exporter", "the exporter, of any version")
	flag.IntVar(&o.Scrapes, "scrapes", 10_000, "scrapes in all")
	flag.IntVar(&o.Parallel, "parallel", 3, "scrapers at the same time")
	flag.DurationVar(&o.Gap, "gap", 0, "between two scrapes of one scraper")
	flag.IntVar(&o.Readers, "readers", 100, "clients that read one byte a second")
	flag.DurationVar(&o.Recycle, "recycle", time.Second, "end a worker this often; 0: never")
	flag.IntVar(&o.Hostile, "hostile", 500, "StatsD datagrams a second from the user 65534, to UDP and to the socket; 0: none")
	flag.BoolVar(&o.Discover, "discover", false, "the exporter discovers the app, and every other one of the machine")
	flag.Uint64Var(&o.Seed, "seed", 1, "of everything that is random")
	flag.DurationVar(&o.Settle, "settle", 15*time.Second, "of attack before the first scrape, so that buffers and names are full")
	flag.DurationVar(&o.Limit, "limit", 30*time.Minute, "end after this long")
	file := flag.String("csv", "build/trials/soak.csv", "a line a scrape; a file with lines of the same seed is continued")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("no argument is expected, got %q", flag.Args())
	}
	if os.Geteuid() != 0 {
		return errors.New("run it as root: one of its programs runs as another user")
	}
	rows, before, err := trial.Open(*file, o.Seed, "scrape", "seconds", "took_seconds", "status", "series", "rss_bytes", "goroutines", "open_fds", "cpu_seconds")
	if err != nil {
		return err
	}
	o.Done = len(before)
	if o.Done >= o.Scrapes {
		return fmt.Errorf("%s has %d scrapes already: remove it, or ask for more", *file, o.Done)
	}
	fmt.Printf("%s: scrapes %d to %d, seed %d, every scrape in %s\n\n", o.Exporter, o.Done, o.Scrapes, o.Seed, *file)
	result, err := soak.Run(ctx, o, func(s soak.Scrape) error { return write(rows, s) })
	err = errors.Join(err, rows.Close(), result.Write(os.Stdout))
	for _, g := range soak.Growths(result.Scrapes) {
		if g.Grows {
			err = errors.Join(err, fmt.Errorf("%s grows: from %.0f to %.0f", g.Name, g.First, g.Last))
		}
	}
	if n := soak.Bad(result.Scrapes); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d scrapes were not answered with 200", n))
	}
	return err
}

// write adds a scrape to the file.
func write(rows *trial.Rows, s soak.Scrape) error {
	number := func(v float64, decimals int) string { return strconv.FormatFloat(v, 'f', decimals, 64) }
	err := rows.Write(
		strconv.Itoa(s.N), number(s.Seconds, 3), number(s.Took, 4), strconv.Itoa(s.Status), strconv.Itoa(s.Series),
		number(s.RSS, 0), number(s.Goroutines, 0), number(s.Files, 0), number(s.CPU, 2),
	)
	if s.N%100 == 0 {
		err = errors.Join(err, rows.Flush())
	}
	return err
}
