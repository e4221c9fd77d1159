// Command stacks looks at threads of every Python of the machine that say
// themselves where they are. Each batch of looks is a line of a CSV file, which a
// later run with the same file continues.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"

	"github.com/resp-exporter/resp-exporter/e2e/trials/stacks"
	"github.com/resp-exporter/resp-exporter/e2e/trials/trial"
)

func main() { trial.Main("stacks", start) }

func start(ctx context.Context) error {
	looks := flag.Int("looks", 20_000, "looks at each interpreter, over all kinds of threads")
	size := flag.Int("batch", 500, "looks at one program, before a new one is started")
	seed := flag.Uint64("seed", 1, "of what the programs do, and of when they are looked at")
	roots := flag.String("roots", "", "directories with an unpacked Debian, separated by commas: their interpreters too")
	only := flag.String("only", "", "only interpreters whose name contains this")
	file := flag.String("csv", "build/trials/stacks.csv", "a line a batch; a file with lines of the same seed is continued")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("no argument is expected, got %q", flag.Args())
	}
	if *size < 1 || *looks < 1 {
		return errors.New("-looks and -batch must be at least 1")
	}
	pythons, err := stacks.Pythons(stacks.Home(), split(*roots))
	if err != nil {
		return err
	}
	rows, before, err := trial.Open(*file, *seed, "python", "version", "kind", "batch", "looks", "believed", "proven", "running", "torn", "wrong", "example")
	if err != nil {
		return err
	}
	var batches []stacks.Batch
	done := make(map[string]bool)
	for _, row := range before {
		b, err := parse(row)
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", *file, err), rows.Close())
		}
		batches = append(batches, b)
		done[key(b.Python, b.Kind, b.N)] = true
	}
	fmt.Printf("seed %d, every batch in %s\n\n", *seed, *file)
	perKind := (*looks + len(stacks.Kinds()) - 1) / len(stacks.Kinds())
	for _, python := range pythons {
		if !strings.Contains(python.Name, *only) {
			continue
		}
		for n := 0; n*(*size) < perKind; n++ {
			for _, kind := range stacks.Kinds() {
				if done[key(python.Name, kind, n)] {
					continue
				}
				b, err := stacks.Run(ctx, python, kind, n, *size, *seed)
				if err == nil {
					batches = append(batches, b)
					err = errors.Join(write(rows, b), rows.Flush())
				}
				if err != nil {
					return errors.Join(err, rows.Close())
				}
			}
		}
	}
	table, faults := stacks.Table(batches)
	fmt.Print(table)
	err = rows.Close()
	for _, f := range faults {
		err = errors.Join(err, errors.New(f))
	}
	return err
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func key(python, kind string, n int) string { return python + " " + kind + " " + strconv.Itoa(n) }

func write(rows *trial.Rows, b stacks.Batch) error {
	values := []string{b.Python, b.Version, b.Kind}
	for _, n := range []int{b.N, b.Looks, b.OK, b.Frozen, b.Running, b.Bad, b.Wrong} {
		values = append(values, strconv.Itoa(n))
	}
	return rows.Write(append(values, b.Example)...)
}

// parse reads a row that write wrote.
func parse(row []string) (stacks.Batch, error) {
	if len(row) != 11 {
		return stacks.Batch{}, fmt.Errorf("a row of %d columns", len(row))
	}
	b := stacks.Batch{Python: row[0], Version: row[1], Kind: row[2], Example: row[10]}
	for i, into := range []*int{&b.N, &b.Looks, &b.OK, &b.Frozen, &b.Running, &b.Bad, &b.Wrong} {
		n, err := strconv.Atoi(row[3+i])
		if err != nil {
			return b, err
		}
		*into = n
	}
	return b, nil
}
