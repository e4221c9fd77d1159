// Command demo starts a shop app with its stores and its workers, the exporter,
// Prometheus, Alertmanager and a light load on the loopback, and proves that
// Prometheus sees the app and the stores. Then it makes one fault after another
// and shows how each is healed, explained or handed to a person. It continues
// until Ctrl-C or DEMO_SECONDS; its exit code is 1 if that failed.
package main

import (
	"cmp"
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

	"github.com/resp-exporter/resp-exporter/e2e/internal/render"
)

const (
	patience = 3 * time.Minute  // for the parts to start, and for Prometheus to see the app
	tell     = 10 * time.Second // between two status lines
)

func main() {
	exporter := flag.String("exporter", "build/resp-exporter", "the exporter's binary")
	shop := flag.String("shop", "e2e/shop", "directory of the shop app")
	rules := flag.String("rules", "rules", "directory of the alert rules")
	healSQL := flag.String("heal-sql", "deploy/sql/mariadb-heal.sql", "procedures of the actions for MariaDB")
	pictures := flag.String("pictures", "", "directory for pictures of the dashboards; the demo ends once they are drawn")
	blind := flag.String("blind", "", "directory for pictures of the overview during five faults without a name; the demo only does this")
	seed := flag.Uint64("seed", 1, "of -blind: which faults, in which order")
	flag.Parse()
	if code, ok := foreground(); ok {
		os.Exit(code)
	}
	// A terminal that is closed sends SIGHUP.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := demo(ctx, map[string]string{"exporter": *exporter, "shop": *shop, "rules": *rules, "heal-sql": *healSQL}, *pictures, *blind, *seed)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demo runs the demo until its time is over or ctx ends. pictures and blind are directories
// for pictures, "" for none.
func demo(ctx context.Context, paths map[string]string, pictures, blind string, seed uint64) error {
	limit, err := seconds(os.Getenv("DEMO_SECONDS"))
	if err != nil {
		return err
	}
	story, err := chosen(os.Getenv("DEMO_FAULTS"))
	if err != nil {
		return err
	}
	for name, path := range paths {
		if paths[name], err = filepath.Abs(path); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := complete(ctx); err != nil && ctx.Err() == nil { // Ctrl-C also ends the programs that complete starts
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
	s.exporterPath, s.shopDir, s.rulesDir, s.healSQL = paths["exporter"], paths["shop"], paths["rules"], paths["heal-sql"]
	s.integration = filepath.Join(s.shopDir, "../../integrations/flask")
	if err := s.drawTo(cmp.Or(blind, pictures)); err != nil {
		return err
	}
	if blind != "" {
		s.secret = func(ctx context.Context) error { return s.blind(ctx, seed) }
	}
	if err := show(ctx, s, story, limit); err != nil && ctx.Err() == nil {
		return err
	}
	fmt.Println("Ending the demo.")
	return nil
}

// drawTo sets the directory of the pictures; "" draws none.
func (s *stack) drawTo(pictures string) (err error) {
	if pictures == "" {
		return nil
	}
	if s.picturesDir, err = filepath.Abs(pictures); err != nil {
		return fmt.Errorf("%s: %w", pictures, err)
	}
	s.renderDir, s.dashboards = filepath.Join(s.shopDir, "../render"), filepath.Join(s.rulesDir, "../grafana/dashboards")
	return render.Ready(s.renderDir)
}

// show starts everything, proves it, tells the story and then reports until ctx ends or,
// counted from the start, limit is over; 0 is no limit. The proof, the story and one
// report are complete even with a short limit.
func show(ctx context.Context, s *stack, story []fault, limit time.Duration) error {
	fmt.Println("Starting MariaDB, Redis, the shop with its workers, the exporter, Alertmanager and Prometheus ...")
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
	if s.secret != nil {
		return s.secret(ctx)
	}
	if s.picturesDir != "" {
		if err := s.startFleet(ctx); err != nil {
			return err
		}
	}
	if err := s.setMemory(ctx); err != nil {
		return err
	}
	s.invite()
	if err := s.story(ctx, story); err != nil {
		return err
	}
	s.tell(ctx)
	if s.picturesDir != "" {
		return s.pictures(ctx, began)
	}
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

// seconds returns a number of seconds as a duration, 0 for "". Anything but a number above
// 0 and below a million is an error.
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
