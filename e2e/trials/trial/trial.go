// Package trial has what the commands of the trials share: how they start and
// end, and the file of raw results that a later run continues.
package trial

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// Main calls start with a context that SIGINT and SIGTERM end. An error is
// printed with the name of the command, and is exit code 1.
func Main(name string, start func(context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := start(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
}

// Beside calls run for each of list, so many side by side. A failure ends only the calls
// that would follow in its place; it returns all errors.
func Beside[T any](list []T, beside int, run func(T) error) error {
	left := make(chan T, len(list))
	for _, x := range list {
		left <- x
	}
	close(left)
	var wg sync.WaitGroup
	errs := make([]error, beside)
	for i := range beside {
		wg.Go(func() {
			for x := range left {
				if errs[i] = run(x); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// OpenFile returns a file of raw results, open for reading and appending, in a directory
// that it makes if needed.
func OpenFile(name string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(name, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
}

// Rows is a CSV file of raw results, a row a result. The first column is the
// seed, which is the same in all rows.
type Rows struct {
	f    *os.File
	w    *csv.Writer
	seed string
}

// Open opens the file, or makes it with a line of the columns' names after
// "seed". It returns the rows of an earlier run, without the seed; those of
// another seed are an error.
func Open(name string, seed uint64, columns ...string) (*Rows, [][]string, error) {
	f, err := OpenFile(name)
	if err != nil {
		return nil, nil, err
	}
	r := &Rows{f: f, w: csv.NewWriter(f), seed: strconv.FormatUint(seed, 10)}
	before, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	if len(before) == 0 {
		return r, nil, r.w.Write(append([]string{"seed"}, columns...))
	}
	rows := before[1:]
	for i, row := range rows {
		if row[0] != r.seed {
			return nil, nil, errors.Join(fmt.Errorf("%s has results of seed %s", name, row[0]), f.Close())
		}
		rows[i] = row[1:]
	}
	return r, rows, nil
}

// Write adds a row.
func (r *Rows) Write(values ...string) error { return r.w.Write(append([]string{r.seed}, values...)) }

// Flush writes what is buffered.
func (r *Rows) Flush() error {
	r.w.Flush()
	return r.w.Error()
}

// Close writes what is buffered and closes the file.
func (r *Rows) Close() error { return errors.Join(r.Flush(), r.f.Close()) }
