package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/render"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

const (
	ordinary = 75 * time.Second // before the first fault
	suffered = 45 * time.Second // from a fault to its picture
	recovery = 60 * time.Second // from the end of a fault to the next one: no held request lasts longer
	recent   = 5 * time.Minute  // the time range of a picture
	failures = 15               // requests per second that fail on purpose
	drawnOf  = 5                // faults of one trial
)

// hidden is a fault whose part is to be named from a picture of the overview.
type hidden struct {
	part, what string
	begin      func(ctx context.Context, s *stack) (end func() error, err error)
}

// hiddenFaults lists those that a trial draws from.
func hiddenFaults() []hidden {
	return []hidden{
		{"mysql", "MySQL does not answer", frozen(func(s *stack) *run.Proc { return s.stores[0] })},
		{"redis", "Redis does not answer", frozen(func(s *stack) *run.Proc { return s.part("redis-server") })},
		{"exporter", "the exporter does not answer", frozen(func(s *stack) *run.Proc { return s.part("exporter") })},
		{"lock in mysql", "a request holds a row, and others wait for it", held("/fault/lock?product=2&s=58", 4)},
		{"upstream", "requests wait for a payment service that does not answer", held("/fault/upstream?s=58", 4)},
		{"interpreter (GIL)", "threads compute, and the requests of their workers wait for the interpreter's lock", held("/fault/gil?s=55", 4)},
		{"pool", "24 connections are leaked in a transaction", visited("/fault/leak-connection", 24)},
		{"tasks", "a job keeps the only RQ worker", visited("/fault/stuck-job?s=600", 1)},
		{"app (errors)", "requests to one page fail", failing},
	}
}

// frozen stops a process, as one that hangs.
func frozen(find func(*stack) *run.Proc) func(context.Context, *stack) (func() error, error) {
	return func(_ context.Context, s *stack) (func() error, error) {
		p := find(s)
		if p == nil {
			return nil, errors.New("the part does not run")
		}
		return func() error { return p.Signal(syscall.SIGCONT) }, p.Signal(syscall.SIGSTOP)
	}
}

// held sends requests that last until the end of the fault.
func held(page string, times int) func(context.Context, *stack) (func() error, error) {
	return func(ctx context.Context, s *stack) (func() error, error) {
		for range times {
			go func() { _ = s.visit(ctx, page) }() // it ends by itself, or with ctx
		}
		return func() error { return nil }, nil
	}
}

// visited sends requests that leave something behind, until it is cleared.
func visited(page string, times int) func(context.Context, *stack) (func() error, error) {
	return func(ctx context.Context, s *stack) (func() error, error) {
		for range times {
			if err := s.visit(ctx, page); err != nil {
				return nil, err
			}
		}
		return func() error { return s.visit(ctx, "/fault/clear") }, nil
	}
}

// failing sends requests that fail.
func failing(ctx context.Context, s *stack) (func() error, error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(time.Second / failures)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				ask(ctx, http.DefaultClient, s.shopURL, "GET /error")
			}
		}
	}()
	return func() error { cancel(); <-done; return nil }, nil
}

// blind makes five faults, drawn by a seed, one after another, and draws the overview
// during each. The names of the pictures say nothing, not even the order; key.txt has what
// they show.
func (s *stack) blind(ctx context.Context, seed uint64) error {
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a trial that can be repeated
	all := hiddenFaults()
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	names := random.Perm(drawnOf)
	key := make([]string, drawnOf)
	if err := s.rests(ctx, ordinary); err != nil {
		return err
	}
	for i, f := range all[:drawnOf] {
		name := string(rune('a' + names[i]))
		fmt.Printf("Picture %d of %d.\n", i+1, drawnOf)
		if err := s.during(ctx, f, name); err != nil {
			return fmt.Errorf("%s: %w", f.what, err)
		}
		key[names[i]] = fmt.Sprintf("%s.png\t%s\t%s\n", name, f.part, f.what)
	}
	text := fmt.Sprintf("seed %d\n%s", seed, strings.Join(key, ""))
	return os.WriteFile(filepath.Join(s.picturesDir, "key.txt"), []byte(text), 0o644) //nolint:gosec // a page of the documentation
}

// during draws the overview while a fault lasts, and ends the fault.
func (s *stack) during(ctx context.Context, f hidden, name string) error {
	end, err := f.begin(ctx, s)
	if err != nil {
		return err
	}
	if err := s.rests(ctx, suffered); err != nil {
		return err
	}
	p := s.shows("overview", "")
	p.Picture = filepath.Join(s.picturesDir, name+".png")
	if err := errors.Join(s.draw(ctx, recent, []render.Picture{p}), end()); err != nil {
		return err
	}
	return s.rests(ctx, recovery)
}

// rests waits for a time. It returns an error if a part ends meanwhile.
func (s *stack) rests(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.died():
		return s.post()
	case <-time.After(d):
		return nil
	}
}
