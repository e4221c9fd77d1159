// Command demo starts a shop app with its stores and its workers, the exporter,
// Prometheus and a light load on the loopback, proves that Prometheus sees the
// app and the stores, says what to open and what to try, and ends all of it on
// Ctrl-C or after DEMO_SECONDS.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	patience = 60 * time.Second // for the parts to start, and for Prometheus to see the app
	tell     = 10 * time.Second // between two status lines
)

func main() {
	exporter := flag.String("exporter", "build/resp-exporter", "the exporter's binary")
	shop := flag.String("shop", "e2e/shop", "directory of the shop app")
	flag.Parse()
	if code, ok := foreground(); ok {
		os.Exit(code)
	}
	// A terminal that is closed sends SIGHUP.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := demo(ctx, *exporter, *shop)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func demo(ctx context.Context, exporter, shop string) error {
	limit, err := seconds(os.Getenv("DEMO_SECONDS"))
	if err != nil {
		return err
	}
	if err := complete(ctx); err != nil {
		return err
	}
	if err := adoptOrphans(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "resp-demo-")
	if err != nil {
		return fmt.Errorf("temporary directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s := newStack(dir)
	defer s.stop()
	if s.exporterPath, err = filepath.Abs(exporter); err != nil {
		return fmt.Errorf("exporter: %w", err)
	}
	if s.shopDir, err = filepath.Abs(shop); err != nil {
		return fmt.Errorf("shop: %w", err)
	}
	if err := show(ctx, s, limit); err != nil && ctx.Err() == nil {
		return err
	}
	fmt.Println("Ending the demo.")
	return nil
}

// show starts everything, proves it and then reports until ctx ends or, counted
// from the start, limit is over; 0 is no limit. However short the limit, the
// proof and one report come first: a demo that showed nothing has failed.
func show(ctx context.Context, s *stack, limit time.Duration) error {
	fmt.Println("Starting MariaDB, Redis, the shop with its workers, the exporter and Prometheus ...")
	began := time.Now()
	if err := s.start(ctx); err != nil {
		return err
	}
	loadCtx, stopLoad := context.WithCancel(ctx)
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		load(loadCtx, s.shopURL)
	}()
	defer func() { stopLoad(); <-loaded }()
	if err := s.proveSeen(ctx); err != nil {
		return err
	}
	s.invite()
	s.tell(ctx)
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, began.Add(limit))
		defer cancel()
	}
	return s.report(ctx)
}

// report prints a line from time to time until ctx ends, which is how a demo
// should end, or a part dies.
func (s *stack) report(ctx context.Context) error {
	ticker := time.NewTicker(tell)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.died():
			return s.post()
		case <-ticker.C:
			s.tell(ctx)
		}
	}
}

func seconds(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n > 0 && n < 1e6) {
		return 0, errors.New("DEMO_SECONDS must be a number of seconds above 0, not " + strconv.Quote(text))
	}
	return time.Duration(n * float64(time.Second)), nil
}
