// Package servers starts one app under each of many servers, and compares what the
// exporter reports of it with the facts: whether it is found, its name, its workers and
// their states, its queue and its requests.
package servers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/trials/bench"
)

// Options is what a trial does.
type Options struct {
	Exporter string // program
	Place    Place
	Parallel int    // servers at the same time
	Seed     uint64 // of numbers of requests and connections, of pauses, and of which worker is ended
}

// Cell is one comparison.
type Cell struct {
	Server  string  `json:"server"`
	Newest  bool    `json:"newest"`
	Version string  `json:"version"`
	Cell    string  `json:"cell"` // one of Columns
	OK      bool    `json:"ok"`
	Want    string  `json:"want"`
	Seen    string  `json:"seen"`
	Seconds float64 `json:"seconds"` // that the comparison took
}

// Columns returns the names of all comparisons, in their order.
func Columns() []string {
	return []string{"found", "name", "workers", "idle", "sleep", "spin", "await", "queue", "requests", "replaced"}
}

// Run compares each server, and hands each cell to sink, one at a time. A server
// that does not start is an error; the others go on.
func Run(ctx context.Context, o Options, list []Server, sink func(Cell) error) error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	errs := make([]error, len(list))
	turns := make(chan struct{}, max(o.Parallel, 1))
	for i, s := range list {
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			if ctx.Err() != nil {
				return
			}
			errs[i] = one(ctx, o, s, func(c Cell) error {
				mu.Lock()
				defer mu.Unlock()
				return sink(c)
			})
		})
	}
	wg.Wait()
	return errors.Join(errors.Join(errs...), ctx.Err())
}

// trial is one server that runs.
type trial struct {
	*bench.Bench

	s      Server
	name   string // that the app should have
	random *rand.Rand
	number int // of the last request with a mark
}

// one compares one server.
func one(ctx context.Context, o Options, s Server, sink func(Cell) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", s.Name, err)
		}
	}()
	version, err := o.Place.Version(ctx, s)
	if err != nil {
		return err
	}
	b, err := bench.New(s.spec)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := b.Start(ctx, o.Exporter); err != nil {
		return err
	}
	var salt uint64
	for _, c := range s.Name {
		salt = salt*31 + uint64(c)
	}
	t := &trial{Bench: b, s: s, name: b.Name, random: rand.New(rand.NewPCG(o.Seed, salt))} //nolint:gosec // to be repeated, not to be secret
	if s.app != "" {
		t.name = b.Replace(s.app)
	}
	cells, err := t.cells(ctx, version)
	for i := 0; err == nil && i < len(cells); i++ {
		err = sink(cells[i])
	}
	return err
}

// cells returns all comparisons of one server. An app that is not found has no
// other.
func (t *trial) cells(ctx context.Context, version string) ([]Cell, error) {
	var out []Cell
	for _, c := range t.comparisons() {
		began := time.Now()
		ok, want, seen, err := c.compare(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", c.cell, err, t.App().Output(2000))
		}
		out = append(out, Cell{t.s.Name, t.s.Newest, version, c.cell, ok, want, seen, time.Since(began).Seconds()})
		if c.cell == "found" && !ok {
			break
		}
	}
	return out, nil
}

// comparison is one cell to come.
type comparison struct {
	cell    string
	compare func(context.Context) (ok bool, want, seen string, err error)
}

// comparisons returns what is compared of a server, in the order of the table.
func (t *trial) comparisons() []comparison {
	list := []comparison{{"found", t.found}, {"name", t.named}, {"workers", t.counted}, {"idle", t.idle}}
	during := func(cell, does string) {
		list = append(list, comparison{cell, func(ctx context.Context) (bool, string, string, error) {
			return t.request(ctx, does, cell == "await")
		}})
	}
	if !t.s.green {
		during("sleep", "sleep")
	}
	during("spin", "spin")
	switch {
	case t.s.green:
		during("await", "sleep")
	case t.s.loop:
		during("await", "await")
	}
	return append(list, comparison{"queue", t.queue}, comparison{"requests", t.requests}, comparison{"replaced", t.replaced})
}
