// Command demo starts a shop app, the exporter, Prometheus and a light load on
// the loopback, proves that Prometheus sees the app, says what to open, and
// ends all of it on Ctrl-C or after DEMO_SECONDS.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/prom"
)

const (
	patience = 60 * time.Second // for Prometheus to see the app
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
	if err := show(ctx, s, limit); err != nil && ctx.Err() == nil {
		return err
	}
	fmt.Println("Ending the demo.")
	return nil
}

// show starts everything, proves it and then reports until ctx ends or, counted
// from the start, limit is over; 0 is no limit. However short the limit, the
// proof comes first: a demo that showed nothing has failed.
func show(ctx context.Context, s *stack, limit time.Duration) error {
	fmt.Println("Starting the shop, the exporter and Prometheus ...")
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

// proveSeen waits until Prometheus has the shop's workers and the rate of its
// requests, and prints what it answered.
func (s *stack) proveSeen(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := s.seen(wait)
		if err == nil {
			return nil
		}
		select {
		case <-s.died():
			return s.post()
		case <-wait.Done():
			return fmt.Errorf("prometheus did not see the shop within %s: %w\n%s", patience, err, s.tails())
		case <-time.After(time.Second):
		}
	}
}

// seen asks Prometheus for the shop. The shop is known by where it listens: if
// another app of this host is called shop too, the exporter tells them apart.
func (s *stack) seen(ctx context.Context) error {
	listeners, err := prom.Query(ctx, s.promURL, fmt.Sprintf("resp_listener_queue_limit{listener=%q}", strings.TrimPrefix(s.shopURL, "http://")))
	if err != nil {
		return err
	}
	if len(listeners) != 1 {
		return fmt.Errorf("%d apps listen at %s", len(listeners), s.shopURL)
	}
	s.app = listeners[0].Labels["app"]
	workers, known, err := prom.One(ctx, s.promURL, s.expr("sum(resp_app_workers{app=%q})"))
	if err != nil || !known || workers == 0 {
		return errors.Join(errors.New("its workers are not there"), err)
	}
	rate, known, err := prom.One(ctx, s.promURL, s.expr(requestRate))
	if err != nil || !known || rate == 0 {
		return errors.Join(errors.New("its requests are not there"), err)
	}
	fmt.Printf("Prometheus sees the app %s: %.0f workers, %.1f requests/s.\n", s.app, workers, rate)
	return nil
}

// expr puts the app's name into a query.
func (s *stack) expr(format string) string { return fmt.Sprintf(format, s.app) }

func (s *stack) invite() {
	fmt.Printf(`
Open
  %s/                    the status page
  %s/metrics             what Prometheus scrapes
  %s/graph?g0.expr=%s&g0.tab=0&g0.range_input=5m
                                            the shop's workers by state, in Prometheus
  %s/slow?s=20             keeps one worker of the shop busy: watch the page
Ctrl-C ends it.

`, s.exporterURL, s.exporterURL, s.promURL, url.QueryEscape(s.expr("resp_app_workers{app=%q}")), s.shopURL)
}

const requestRate = "sum(rate(resp_http_requests_total{app=%q}[30s]))"

// tell prints one line from Prometheus; what it does not know is a dash.
func (s *stack) tell(ctx context.Context) {
	value := func(expr, format string) string {
		v, ok, err := prom.One(ctx, s.promURL, s.expr(expr))
		if err != nil || !ok {
			return "–"
		}
		return fmt.Sprintf(format, v)
	}
	fmt.Printf("%s  %s requests/s, %s of %s workers busy, queue %s\n", time.Now().Format("15:04:05"),
		value(requestRate, "%.1f"),
		value(`sum(resp_app_workers{app=%q,state="busy"})`, "%.0f"),
		value(`sum(resp_app_workers{app=%q})`, "%.0f"),
		value(`sum(resp_listener_queue_length{app=%q})`, "%.0f"))
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
