// Command chains makes chains of waits on real MariaDB, Redis and apps, and reports
// which the exporter explains wrongly. Each case is a line of a CSV file, which a
// later run with the same file and seed continues.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/trials/chains"
	"github.com/resp-exporter/resp-exporter/e2e/trials/trial"
)

func main() { trial.Main("chains", start) }

func start(ctx context.Context) error {
	exporter := flag.String("exporter", "build/resp-exporter", "the exporter")
	seed := flag.Uint64("seed", 1, "of names and line numbers")
	only := flag.String("cases", ".", "regular expression that picks cases by name")
	healthy := flag.Int("healthy", 200, "looks at healthy busy apps")
	file := flag.String("csv", "build/trials/chains.csv", "a line a case; a file with lines of the same seed is continued")
	flag.Parse()
	pick, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	rows, before, err := trial.Open(*file, *seed, "case", "seconds", "faults", "sentence")
	if err != nil {
		return err
	}
	wrong, err := made(ctx, *exporter, *seed, pick, rows, before)
	if err != nil {
		return errors.Join(err, rows.Close())
	}
	if *healthy > 0 {
		began := time.Now()
		invented, err := chains.Healthy(ctx, *exporter, *seed, *healthy)
		if err != nil {
			return errors.Join(err, rows.Close())
		}
		fmt.Printf("%d chains invented in %d looks (%.0f s) at healthy busy apps\n", len(invented), *healthy, time.Since(began).Seconds())
		for _, c := range invented {
			fmt.Println(c)
		}
		wrong += len(invented)
	}
	if wrong > 0 {
		err = fmt.Errorf("%d wrong", wrong)
	}
	return errors.Join(err, rows.Close())
}

// made makes the cases that are picked, but for those of an earlier run, and returns
// how many are wrong.
func made(ctx context.Context, exporter string, seed uint64, pick *regexp.Regexp, rows *trial.Rows, before [][]string) (wrong int, err error) {
	done := map[string][]string{}
	for _, row := range before {
		done[row[0]] = row
	}
	all := 0
	for _, c := range chains.Cases() {
		if !pick.MatchString(c.Name) {
			continue
		}
		all++
		row, ok := done[c.Name]
		if !ok {
			r, err := chains.Run(ctx, c, exporter, seed)
			if err != nil {
				return wrong, fmt.Errorf("%s: %w", c.Name, err)
			}
			row = []string{c.Name, fmt.Sprintf("%.1f", r.Seconds), strings.Join(r.Faults, "; "), r.Sentence}
			if err := errors.Join(rows.Write(row...), rows.Flush()); err != nil {
				return wrong, err
			}
		}
		if row[2] != "" {
			wrong++
		}
		fmt.Printf("%-55s %6s s  %s\n", row[0], row[1], row[2]+row[3])
	}
	fmt.Printf("seed %d: %d of %d chains are right\n", seed, all-wrong, all)
	return wrong, nil
}
