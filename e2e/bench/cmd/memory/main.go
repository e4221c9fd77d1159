// Command memory measures the memory of resp-exporter after many scrapes with everything
// on: an app that reports itself with resp_flask.py and has a pool of MariaDB, whose
// requests are sampled with their stacks; sessions in Redis; healing; and a history of
// the last hour that was written before the start. It prints a Markdown table and ends
// all it started.
//
//	memory -exporter build/resp-exporter
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/stat"
)

// settings are the flags.
type settings struct {
	exporter, old, shop, lib string
	scrapes                  int
	busy                     []int
	gap                      time.Duration
}

func main() { rig.Main("memory", 25*time.Minute, start) }

func start(ctx context.Context) error {
	var s settings
	flag.StringVar(&s.exporter, "exporter", "build/resp-exporter", "resp-exporter")
	flag.StringVar(&s.old, "old", "", "another build of it, to be measured in turn; empty: none")
	flag.StringVar(&s.shop, "shop", "e2e/shop", "directory of the app")
	flag.StringVar(&s.lib, "lib", "integrations/flask", "directory of resp_flask.py")
	flag.IntVar(&s.scrapes, "scrapes", 1000, "scrapes")
	flag.DurationVar(&s.gap, "gap", 60*time.Millisecond, "from one scrape to the next, at least 60ms")
	busy := flag.String("busy", "64,1600", "for each run: how many requests each second of the history's last hour has")
	flag.Parse()
	for text := range strings.SplitSeq(*busy, ",") {
		var n int
		if _, err := fmt.Sscan(text, &n); err != nil || n < 0 || n > 2000 {
			return fmt.Errorf("-busy: %q is no number from 0 to 2000", text)
		}
		s.busy = append(s.busy, n)
	}
	if s.scrapes < 1 || s.gap < 60*time.Millisecond || flag.NArg() > 0 {
		return errors.New("want -scrapes of at least 1, -gap of at least 60ms, and no argument")
	}
	rows, err := s.all(ctx) // what was measured before a failure still holds
	fmt.Printf("%s; %d scrapes, %v apart\n\n", rig.Machine(), s.scrapes, s.gap)
	fmt.Println(stat.Table([]string{"exporter", "requests in the history, a second", "history, MB", "RSS, MB", "of it anonymous", "of the program's file", "highest", "Go heap in use", "series"}, rows))
	return err
}

// all measures the builds in turn. With an error it returns the rows before it.
func (s settings) all(ctx context.Context) ([][]string, error) {
	var rows [][]string
	for _, n := range s.busy {
		for _, path := range []string{s.old, s.exporter} {
			if path == "" {
				continue
			}
			row, err := s.measure(ctx, path, n)
			if err != nil {
				return rows, err
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}
