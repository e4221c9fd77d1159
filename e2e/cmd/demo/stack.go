package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// stack is what the demo runs.
type stack struct {
	dir, exporterPath, shopDir, rulesDir, healSQL string
	integration                                   string // the directory of resp_flask.py
	shopURL, exporterURL, promURL, alertsURL      string
	renderDir, dashboards, picturesDir, fleetURL  string       // of pictures
	shop, statsd                                  string       // host:port of gunicorn, and of the exporter's StatsD
	front                                         *http.Server // the proxy in front of the shop, at shopURL
	warning, critical                             float64      // thresholds of the shop's memory
	upstream                                      net.Listener // the payment service, which never answers
	token, tokenFile                              string       // of the exporter's webhook
	db, cache                                     store
	secret                                        func(context.Context) error // in place of the story: nothing is healed
	dead                                          chan struct{}

	mu            sync.Mutex
	parts, stores []*run.Proc // the stores outlive the parts that use them
	ending        chan struct{}
	supervisors   sync.WaitGroup
}

// store is one store's address, and the passwords of its users.
type store struct {
	address string            // host:port
	secret  map[string]string // by user
}

// newStack returns a stack in a directory, with new passwords, of which nothing runs yet.
func newStack(dir string) *stack {
	return &stack{
		dir:   dir,
		token: rand.Text(),
		db:    store{secret: map[string]string{"resp": rand.Text(), "shop": rand.Text(), "jobs": rand.Text()}},
		cache: store{secret: map[string]string{"resp": rand.Text(), "shop": rand.Text()}},
		dead:  make(chan struct{}, 16), // more than there are parts: a send never blocks

		warning: 0.8, critical: 0.9, // the defaults, until setMemory
		ending: make(chan struct{}),
	}
}

// onlyStarting waits until no other demo is about to start: both would find the
// same ports free. The name is of no file; it is gone with its owner. Several may be
// before this one, each with its own patience.
func onlyStarting(ctx context.Context) (net.Listener, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	for {
		l, err := new(net.ListenConfig).Listen(ctx, "unix", "@resp-exporter-demo-starts")
		if !errors.Is(err, syscall.EADDRINUSE) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("another demo is about to start: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// start starts the parts and returns when each answers.
func (s *stack) start(ctx context.Context) error {
	alone, err := onlyStarting(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = alone.Close() }()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	port, err := run.FreePort(8000)
	if err != nil {
		return err
	}
	bind := fmt.Sprintf("127.0.0.1:%d", port)
	s.shopURL = "http://" + bind
	if s.upstream, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return fmt.Errorf("the payment service: %w", err)
	}
	if err := s.startMariaDB(ctx); err != nil {
		return err
	}
	if err := s.startRedis(ctx); err != nil {
		return err
	}
	if port, err = run.FreePort(0); err != nil {
		return err
	}
	if err := s.startExporter(ctx, fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
		return err
	}
	if err := s.startShop(ctx, bind); err != nil {
		return err
	}
	if err := s.startWorkers(ctx); err != nil {
		return err
	}
	if err := s.startAlertmanager(ctx); err != nil {
		return err
	}
	return s.startPrometheus(ctx)
}

// instance returns Prometheus's name for the exporter.
func (s *stack) instance() string { return strings.TrimPrefix(s.exporterURL, "http://") }

// launch starts one part and waits until it is ready.
func (s *stack) launch(ctx context.Context, spec run.Spec, ready func(context.Context, *run.Proc) error) error {
	spec.Logs = s.dir
	p, err := run.Start(spec)
	if err != nil {
		return err
	}
	s.add(&s.parts, p)
	s.watch(p)
	if err := ready(ctx, p); err != nil {
		return fmt.Errorf("%w\n%s", err, p.Output(2000))
	}
	return nil
}

// add records a process that was started, in place of the one with the same name.
func (s *stack) add(list *[]*run.Proc, p *run.Proc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(slices.DeleteFunc(*list, func(old *run.Proc) bool { return old.Name == p.Name }), p)
}

// part returns what runs by that name.
func (s *stack) part(name string) *run.Proc {
	for _, p := range s.all() {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// answers returns a part that is ready when url answers.
func answers(url string) func(context.Context, *run.Proc) error {
	return func(ctx context.Context, p *run.Proc) error { return run.Answers(ctx, p, url) }
}

// watch reports on died when p ends.
func (s *stack) watch(p *run.Proc) {
	go func() {
		<-p.Done()
		s.dead <- struct{}{}
	}()
}

// write writes a file that only its owner may read into the directory of the demo.
func (s *stack) write(name, text string) (path string, err error) {
	path = filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("file of the demo: %w", err)
	}
	return path, nil
}

// died receives a value when a part ends by itself.
func (s *stack) died() <-chan struct{} { return s.dead }

// all returns the programs that run: first the stores, then the others.
func (s *stack) all() []*run.Proc {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.stores, s.parts)
}

// post reports which part ended, and the last lines of its output.
func (s *stack) post() error {
	var errs []error
	for _, p := range s.all() {
		if err := p.Err(); err != nil {
			errs = append(errs, fmt.Errorf("%w; the end of its log:\n%s", err, p.Output(2000)))
		}
	}
	return errors.Join(errs...)
}

// tails returns the end of what each program has written.
func (s *stack) tails() string {
	var b strings.Builder
	for _, p := range s.all() {
		fmt.Fprintf(&b, "--- %s\n%s\n", p.Name, p.Output(1500))
	}
	return b.String()
}

// stop ends what uses the stores, then the stores, and then what a part left behind.
func (s *stack) stop() {
	close(s.ending)
	s.supervisors.Wait()
	if s.front != nil {
		_ = s.front.Close()
	}
	for _, procs := range [][]*run.Proc{s.parts, s.stores} {
		var wg sync.WaitGroup
		for _, p := range procs {
			wg.Go(p.Stop)
		}
		wg.Wait()
	}
	if s.upstream != nil {
		_ = s.upstream.Close()
	}
	endOrphans()
}
