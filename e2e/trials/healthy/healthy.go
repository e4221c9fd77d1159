// Package healthy looks many times at apps that are well, and reports each word
// of the exporter to the contrary: a worker that is stuck, a component at
// warning or critical. It uses what is documented only: /metrics, the
// configuration and the flags, so that any two builds can be compared.
package healthy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// patience is how long a program may need until it answers.
const patience = time.Minute

// Options is what a trial does.
type Options struct {
	Exporter string         // program
	Looks    int            // at each stack
	Gap      time.Duration  // between two looks
	Parallel int            // stacks at the same time
	Seed     uint64         // of the requests
	Done     map[string]int // looks at a stack that an earlier part has done
}

// Look is one look at one stack.
type Look struct {
	Stack  string
	N      int
	States map[string]float64 // resp_app_workers
	Worst  float64            // resp_health_status of the app: 0 healthy, 1 warning, 2 critical
	Of     string             // the component that is the worst
}

// False reports whether the exporter said that something is not well.
func (l Look) False() bool { return l.States["stuck"] > 0 || l.Worst > 0 }

// bench is one stack that runs.
type bench struct {
	o      Options
	stack  Stack
	dir    string
	name   string
	at     string // address of the app
	url    string // of the exporter
	client *http.Client
	procs  []*run.Proc
}

// Run looks at each stack, and hands each look to sink, one at a time.
func Run(ctx context.Context, o Options, stacks []Stack, sink func(Look) error) error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	errs := make([]error, len(stacks))
	turns := make(chan struct{}, max(o.Parallel, 1))
	for i, s := range stacks {
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			if o.Done[s.Name] < o.Looks && ctx.Err() == nil {
				errs[i] = one(ctx, o, s, func(l Look) error {
					mu.Lock()
					defer mu.Unlock()
					return sink(l)
				})
			}
		})
	}
	wg.Wait()
	return errors.Join(errors.Join(errs...), ctx.Err())
}

// one looks at one stack.
func one(ctx context.Context, o Options, s Stack, sink func(Look) error) error {
	dir, err := os.MkdirTemp("", "well")
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := &bench{o: o, stack: s, dir: dir, name: "a" + strings.ToLower(filepath.Base(dir))}
	defer b.stop()
	if err := b.start(ctx); err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { b.load(ctx) })
	wg.Go(func() { b.reload(ctx) })
	for range s.rest {
		wg.Go(func() { b.visit(ctx) })
	}
	pause(ctx, 2*time.Second)
	for n := o.Done[s.Name]; n < o.Looks && ctx.Err() == nil; n++ {
		l, err := b.look(ctx, n)
		if err == nil {
			err = sink(l)
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		pause(ctx, o.Gap)
	}
	return nil
}

// start starts Redis, the exporter and the app.
func (b *bench) start(ctx context.Context) error {
	ports := make([]string, 4) // app, its second bind, exporter, Redis
	for i := range ports {
		port, err := run.FreePort(0)
		if err != nil {
			return err
		}
		ports[i] = strconv.Itoa(port)
	}
	b.at, b.url = "127.0.0.1:"+ports[0], "http://127.0.0.1:"+ports[2]
	if b.stack.local {
		b.at = "unix:" + filepath.Join(b.dir, "s")
	}
	b.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: b.dial}}
	config := fmt.Sprintf("monitoring_interval: 1s\nthresholds: {memory: {warning: 1, critical: 1}, cpu: {warning: 1, critical: 1}}\napps: [{name: %s, match: {listen: %q}}]\n", b.name, b.at)
	for name, text := range map[string]string{b.name + ".py": b.stack.app, "resp-exporter.yml": config} {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	argv := b.stack.argv
	replace := strings.NewReplacer("AT", b.at, "PORT", ports[0], "OTHER", "127.0.0.1:"+ports[1], "APP", b.name)
	args := make([]string, len(argv)-1)
	for i, a := range argv[1:] {
		args[i] = replace.Replace(a)
	}
	env := []string{"PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH=" + b.dir, "REDIS=" + ports[3]}
	for _, spec := range []run.Spec{
		{Name: "redis", Path: "redis-server", Args: []string{"--port", ports[3], "--bind", "127.0.0.1", "--save", "", "--dir", b.dir}},
		{Name: "app", Path: argv[0], Args: args, Dir: b.dir, Env: env},
	} {
		if err := b.run(spec); err != nil {
			return err
		}
	}
	if err := b.ready(ctx); err != nil { // an app that is down at the first look is no false word
		return err
	}
	err := b.run(run.Spec{Name: "exporter", Path: b.o.Exporter, Args: []string{
		"--web.listen-address=" + b.url[len("http://"):], "--config.file=" + filepath.Join(b.dir, "resp-exporter.yml"),
		"--no-collector.host", "--no-collector.disk", "--log.level=error",
	}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return run.Answers(ctx, b.procs[2], b.url+"/-/ready")
}

func (b *bench) run(spec run.Spec) error {
	spec.Logs = b.dir
	p, err := run.Start(spec)
	if err == nil {
		b.procs = append(b.procs, p)
	}
	return err
}

// ready waits until the app answers.
func (b *bench) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for ctx.Err() == nil {
		if b.get(ctx, "/") == nil {
			return nil
		}
		if err := b.procs[1].Err(); err != nil {
			return fmt.Errorf("%w\n%s", err, b.procs[1].Output(2000))
		}
		pause(ctx, 100*time.Millisecond)
	}
	return fmt.Errorf("the app does not answer: %w\n%s", ctx.Err(), b.procs[1].Output(2000))
}

func (b *bench) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	if path, ok := strings.CutPrefix(b.at, "unix:"); ok {
		return d.DialContext(ctx, "unix", path)
	}
	return d.DialContext(ctx, "tcp", b.at)
}

func (b *bench) get(ctx context.Context, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://app"+path, nil)
	if err != nil {
		return err
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

// load sends short requests.
func (b *bench) load(ctx context.Context) {
	if b.stack.rate == 0 {
		return
	}
	random := rand.New(rand.NewPCG(b.o.Seed, uint64(len(b.stack.Name)))) //nolint:gosec // to be repeated, not to be secret
	var wg sync.WaitGroup
	defer wg.Wait()
	free := make(chan struct{}, 2) // fewer than there are workers and threads, or as many
	for ctx.Err() == nil {
		path := fmt.Sprintf("/sleep/%.3f", random.Float64()*0.03)
		free <- struct{}{}
		wg.Go(func() {
			_ = b.get(ctx, path) // a reload may cost one
			<-free
		})
		pause(ctx, time.Second/time.Duration(b.stack.rate))
	}
}

// visit keeps a connection open after one request.
func (b *bench) visit(ctx context.Context) {
	c, err := b.dial(ctx, "", "")
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	_, _ = c.Write([]byte("GET / HTTP/1.1\r\nHost: app\r\n\r\n"))
	<-ctx.Done()
}

// reload sends HUP to the master now and then.
func (b *bench) reload(ctx context.Context) {
	for b.stack.reload > 0 && ctx.Err() == nil {
		pause(ctx, b.stack.reload)
		_ = b.procs[1].Signal(syscall.SIGHUP)
	}
}

// stop ends all programs, the last started first.
func (b *bench) stop() {
	for _, p := range slices.Backward(b.procs) {
		p.Stop()
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
