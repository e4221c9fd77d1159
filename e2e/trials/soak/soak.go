// Package soak scrapes an exporter many times while workers are recycled, slow
// readers hold connections and a hostile user sends StatsD, and reports whether
// anything of the exporter grows. It uses documented interfaces only: /metrics,
// the configuration and the flags, so that any two builds can be compared.
package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// hostile is the user who sends StatsD without being the app: nobody of Debian.
const hostile = 65534

// patience is how long a program may need until it answers.
const patience = time.Minute

// Options is what a soak does.
type Options struct {
	Exporter string        // program
	Scrapes  int           // in all
	Parallel int           // scrapers
	Gap      time.Duration // between two scrapes of one scraper
	Readers  int           // clients that read one byte a second
	Recycle  time.Duration // one worker each; 0: never
	Hostile  int           // datagrams a second; 0: none
	Discover bool          // the exporter discovers the app, and all others of the machine
	Seed     uint64
	Settle   time.Duration // of attack before the first scrape
	Limit    time.Duration // of the whole soak
	Done     int           // scrapes that an earlier part has done already
}

// Scrape is one scrape.
type Scrape struct {
	N          int     // counted from 0, in the order in which they began
	Seconds    float64 // since the soak began
	Took       float64 // seconds
	Status     int     // of HTTP; 0: no answer
	Series     int
	RSS        float64 // bytes, process_resident_memory_bytes
	Goroutines float64 // go_goroutines
	Files      float64 // process_open_fds
	CPU        float64 // seconds, process_cpu_seconds_total
}

// Result is what a soak measured.
type Result struct {
	Scrapes  []Scrape
	Recycled int64 // workers
	Opened   int64 // connections of slow readers
	Closed   int64 // of the opened ones, by the exporter
	Packets  float64
}

// bench is one running soak.
type bench struct {
	o     Options
	dir   string
	procs run.Group

	exporter, app, statsd, socket string // addresses; socket is a path
	master                        int    // pid

	recycled, opened, closed atomic.Int64
	began                    time.Time
	mu                       sync.Mutex
	scrapes                  []Scrape
	sink                     func(Scrape) error
}

// Run starts an app and the exporter, and scrapes until Scrapes are done, ctx
// ends or Limit is over; the last two are errors. Each scrape is handed to sink
// as soon as it is done, by one caller at a time.
func Run(ctx context.Context, o Options, sink func(Scrape) error) (Result, error) {
	if o.Scrapes <= o.Done || o.Parallel < 1 || o.Readers < 0 || o.Limit <= 0 {
		return Result{}, errors.New("soak: want more scrapes than are done, 1 or more scrapers, and a time limit")
	}
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		return Result{}, fmt.Errorf("soak: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o755); err != nil { // the hostile user sends to a socket in it
		return Result{}, fmt.Errorf("soak: %w", err)
	}
	b := &bench{o: o, dir: dir, sink: sink}
	defer b.stop()
	ctx, cancel := context.WithTimeout(ctx, o.Limit)
	defer cancel()
	if err := b.start(ctx); err != nil {
		return Result{}, err
	}
	err = b.soak(ctx)
	r := Result{Scrapes: b.scrapes, Recycled: b.recycled.Load(), Opened: b.opened.Load(), Closed: b.closed.Load()}
	if page, status := b.read(context.WithoutCancel(ctx)); status == 200 {
		r.Packets, _ = page.sum("resp_statsd_packets_total")
	}
	return r, err
}

// soak scrapes while the others do harm, and returns when all have ended.
func (b *bench) soak(ctx context.Context) error {
	b.began = time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var others, scrapers sync.WaitGroup
	others.Go(func() { b.recycle(ctx) })
	others.Go(func() { b.visit(ctx) })
	for i := range b.o.Readers {
		others.Go(func() { b.slow(ctx, i) })
	}
	pause(ctx, b.o.Settle)
	var next atomic.Int64
	next.Store(int64(b.o.Done))
	for range b.o.Parallel {
		scrapers.Go(func() {
			for n := int(next.Add(1)) - 1; n < b.o.Scrapes && ctx.Err() == nil; n = int(next.Add(1)) - 1 {
				if err := b.scrape(ctx, n); err != nil {
					cancel(err)
				}
				pause(ctx, b.o.Gap)
			}
		})
	}
	scrapers.Wait()
	err := context.Cause(ctx)
	cancel(nil)
	others.Wait()
	for _, p := range b.procs.Procs() {
		err = errors.Join(err, p.Err())
	}
	return err
}

// scrape does one scrape and records its values. It ignores a scrape that ctx cut off.
func (b *bench) scrape(ctx context.Context, n int) error {
	began := time.Now()
	page, status := b.read(ctx)
	if status == 0 && ctx.Err() != nil {
		return nil
	}
	s := Scrape{N: n, Seconds: began.Sub(b.began).Seconds(), Took: time.Since(began).Seconds(), Status: status, Series: page.series}
	for name, to := range map[string]*float64{
		"process_resident_memory_bytes": &s.RSS, "go_goroutines": &s.Goroutines, "process_open_fds": &s.Files, "process_cpu_seconds_total": &s.CPU,
	} {
		*to, _ = page.sum(name)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.scrapes = append(b.scrapes, s)
	return b.sink(s)
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// random returns a source of random numbers that is the same for a seed and a
// stream.
func (b *bench) random(stream int) *rand.Rand {
	return rand.New(rand.NewPCG(b.o.Seed, uint64(stream))) //nolint:gosec // to be repeated, not to be secret
}

// file writes a file that others may read, and returns its path.
func (b *bench) file(name, text string) (string, error) {
	path := filepath.Join(b.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o644) //nolint:gosec // others read it
}

// stop ends all programs, the last started first.
func (b *bench) stop() {
	b.procs.Stop()
}
