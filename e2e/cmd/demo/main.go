// Command demo starts a shop app, the exporter, Prometheus and a light load on
// the loopback, proves that Prometheus sees the app, says what to open, and
// ends all of it on Ctrl-C or after DEMO_SECONDS.
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

	"github.com/resp-exporter/resp-exporter/e2e/internal/prom"
)

const (
	patience = 60 * time.Second // for Prometheus to see the app
	tell     = 10 * time.Second // between two status lines
)

var errNotSeen = errors.New("the metrics are not there")

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
	dir, err := os.MkdirTemp("", "resp-demo-")
	if err != nil {
		return fmt.Errorf("temporary directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s := &stack{dir: dir}
	defer s.stop()
	if s.exporterPath, err = filepath.Abs(exporter); err != nil {
		return fmt.Errorf("exporter: %w", err)
	}
	if s.shopDir, err = filepath.Abs(shop); err != nil {
		return fmt.Errorf("shop: %w", err)
	}
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	if err := show(ctx, s); err != nil && ctx.Err() == nil {
		return err
	}
	fmt.Println("Ending the demo.")
	return nil
}

// show starts everything, proves it and then reports until ctx ends, which is
// how a demo should end.
func show(ctx context.Context, s *stack) error {
	fmt.Println("Starting the shop, the exporter and Prometheus ...")
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

// proveSeen waits until Prometheus has the shop's workers and the rate of its
// requests, and prints what it answered.
func (s *stack) proveSeen(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		workers, seen, err := prom.One(wait, s.promURL, `sum(resp_app_workers{app="shop"})`)
		rate, counted, rateErr := prom.One(wait, s.promURL, requestRate)
		if err == nil && rateErr == nil && seen && counted && workers > 0 && rate > 0 {
			fmt.Printf("Prometheus sees the shop: %.0f workers, %.1f requests/s.\n", workers, rate)
			return nil
		}
		select {
		case <-s.died():
			return s.post()
		case <-ctx.Done():
			return nil
		case <-wait.Done():
			return fmt.Errorf("prometheus did not see the shop within %s (its workers: %t, its requests: %t): %w\n%s",
				patience, seen, counted, errors.Join(errNotSeen, err, rateErr), s.tails())
		case <-time.After(time.Second):
		}
	}
}

func (s *stack) invite() {
	fmt.Printf(`
Open
  %s/                    the status page
  %s/metrics             what Prometheus scrapes
  %s/graph?g0.expr=%s&g0.tab=0&g0.range_input=5m
                                            the shop's workers by state, in Prometheus
  %s/slow?s=20             keeps one worker of the shop busy: watch the page
Ctrl-C ends it.

`, s.exporterURL, s.exporterURL, s.promURL, "resp_app_workers%7Bapp%3D%22shop%22%7D", s.shopURL)
}

const requestRate = `sum(rate(resp_http_requests_total{app="shop"}[30s]))`

// tell prints one line from Prometheus; what it does not know is a dash.
func (s *stack) tell(ctx context.Context) {
	value := func(expr, format string) string {
		v, ok, err := prom.One(ctx, s.promURL, expr)
		if err != nil || !ok {
			return "–"
		}
		return fmt.Sprintf(format, v)
	}
	fmt.Printf("%s  %s requests/s, %s of %s workers busy, queue %s\n", time.Now().Format("15:04:05"),
		value(requestRate, "%.1f"),
		value(`sum(resp_app_workers{app="shop",state="busy"})`, "%.0f"),
		value(`sum(resp_app_workers{app="shop"})`, "%.0f"),
		value(`sum(resp_listener_queue_length{app="shop"})`, "%.0f"))
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
