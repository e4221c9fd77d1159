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

// options are the flags.
type options struct {
	looks, size int
	seed        uint64
	roots, only string
	file        string
}

func start(ctx context.Context) error {
	var o options
	flag.IntVar(&o.looks, "looks", 20_000, "looks at each interpreter, over all kinds of threads")
	flag.IntVar(&o.size, "batch", 500, "looks at one program, before a new one is started")
	flag.Uint64Var(&o.seed, "seed", 1, "of what the programs do, and of when they are looked at")
	flag.StringVar(&o.roots, "roots", "", "directories with an unpacked Debian, separated by commas: their interpreters too")
	flag.StringVar(&o.only, "only", "", "only interpreters whose name contains this")
	flag.StringVar(&o.file, "csv", "build/trials/stacks.csv", "a line a batch; a file with lines of the same seed is continued")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("no argument is expected, got %q", flag.Args())
	}
	if o.size < 1 || o.looks < 1 {
		return errors.New("-looks and -batch must be at least 1")
	}
	rows, before, err := trial.Open(o.file, o.seed, "python", "version", "kind", "batch", "looks", "believed", "proven", "running", "torn", "wrong", "example")
	if err != nil {
		return err
	}
	fmt.Printf("seed %d, every batch in %s\n\n", o.seed, o.file)
	batches, err := o.run(ctx, rows, before)
	if err = errors.Join(err, rows.Close()); err != nil {
		return err
	}
	table, faults := stacks.Table(batches)
	fmt.Print(table)
	for _, f := range faults {
		err = errors.Join(err, errors.New(f))
	}
	return err
}

// run runs the batches that are not among the rows of an earlier run, and returns
// all.
func (o *options) run(ctx context.Context, rows *trial.Rows, before [][]string) ([]stacks.Batch, error) {
	pythons, err := stacks.Pythons(stacks.Home(), split(o.roots))
	if err != nil {
		return nil, err
	}
	batches, done, err := parseAll(before)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.file, err)
	}
	kinds := stacks.Kinds()
	perKind := (o.looks + len(kinds) - 1) / len(kinds)
	for _, python := range pythons {
		for i := range len(kinds) * ((perKind + o.size - 1) / o.size) {
			kind, n := kinds[i%len(kinds)], i/len(kinds)
			if done[key(python.Name, kind, n)] || !strings.Contains(python.Name, o.only) {
				continue
			}
			b, err := stacks.Run(ctx, python, kind, n, o.size, o.seed)
			if err == nil {
				batches = append(batches, b)
				err = errors.Join(write(rows, b), rows.Flush())
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return batches, nil
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

// parseAll reads the rows of an earlier run; done has the key of each.
func parseAll(rows [][]string) (batches []stacks.Batch, done map[string]bool, err error) {
	done = make(map[string]bool)
	for _, row := range rows {
		b, err := parse(row)
		if err != nil {
			return nil, nil, err
		}
		batches = append(batches, b)
		done[key(b.Python, b.Kind, b.N)] = true
	}
	return batches, done, nil
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
