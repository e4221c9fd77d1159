// Command healthy looks many times at apps that are well, and reports each false
// word of an exporter. Each look is a line of a CSV file, which a later run with
// the same file continues.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/trials/healthy"
	"github.com/resp-exporter/resp-exporter/e2e/trials/trial"
)

func main() { trial.Main("healthy", start) }

func start(ctx context.Context) error {
	var o healthy.Options
	flag.StringVar(&o.Exporter, "exporter", "build/resp-exporter", "the exporter, of any version")
	flag.IntVar(&o.Looks, "looks", 200, "at each stack")
	flag.DurationVar(&o.Gap, "gap", 250*time.Millisecond, "between two looks at a stack")
	flag.IntVar(&o.Parallel, "parallel", 3, "stacks at the same time")
	flag.Uint64Var(&o.Seed, "seed", 1, "of everything that is random")
	only := flag.String("stacks", ".", "regular expression that picks stacks by name")
	file := flag.String("csv", "build/trials/healthy.csv", "a line a look; a file with lines of the same seed is continued")
	flag.Parse()
	pick, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	var stacks []healthy.Stack
	for _, s := range healthy.Stacks() {
		if pick.MatchString(s.Name) {
			stacks = append(stacks, s)
		}
	}
	rows, before, err := trial.Open(*file, o.Seed, "stack", "look", "idle", "busy", "stuck", "booting", "worst", "component")
	if err != nil {
		return err
	}
	c := &counts{looks: make(map[string]int), results: make(map[string][4]int)}
	for _, row := range before {
		c.count(row)
	}
	o.Done = maps.Clone(c.looks)
	err = errors.Join(healthy.Run(ctx, o, stacks, func(l healthy.Look) error {
		row := columns(l)
		c.count(row)
		return errors.Join(rows.Write(row...), rows.Flush())
	}), rows.Close())
	fmt.Println("| stack | looks | with a stuck worker | with a warning | critical | could not read |\n|---|---|---|---|---|---|")
	wrong := 0
	for _, s := range stacks {
		r := c.results[s.Name]
		fmt.Printf("| %s | %d | %d | %d | %d | %d |\n", s.Name, c.looks[s.Name], r[0], r[1], r[2], r[3])
		wrong += r[0] + r[1] + r[2]
	}
	if wrong > 0 {
		err = errors.Join(err, fmt.Errorf("%d false words", wrong))
	}
	return err
}

// counts is what all looks showed, by stack.
type counts struct {
	looks   map[string]int
	results map[string][4]int // looks with a stuck worker, a warning, a critical component, one that could not be read
}

// count adds one row.
func (c *counts) count(row []string) {
	n := c.results[row[0]]
	if row[4] != "0" {
		n[0]++
	}
	switch {
	case strings.HasPrefix(row[7], healthy.Unread):
		n[3]++
	case row[6] == "1":
		n[1]++
	case row[6] == "2":
		n[2]++
	}
	c.results[row[0]] = n
	c.looks[row[0]]++
}

// columns returns a look as a row.
func columns(l healthy.Look) []string {
	row := []string{l.Stack, strconv.Itoa(l.N)}
	for _, state := range []string{"idle", "busy", "stuck", "booting"} {
		row = append(row, strconv.Itoa(int(l.States[state])))
	}
	return append(row, strconv.Itoa(int(l.Worst)), l.Of)
}
