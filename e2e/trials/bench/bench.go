// Package bench runs one app under one server, and an exporter that watches it,
// on the loopback. It uses what is documented of the exporter only: the flags,
// the configuration and /metrics, so that any two builds can be compared.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// patience is how long a program may need until it answers.
const patience = time.Minute

// Spec is an app, its server and the exporter's configuration. In all but App
// these are replaced: {app} by the name of the module, {dir} by its directory,
// {at} by the address of the app, {port} by its port, {other} by a second
// address, {other-port} by its port, {statsd} by an address of UDP.
type Spec struct {
	App    string            // source of the module
	Files  map[string]string // more files, by name within {dir}
	Argv   []string          // of the server
	Env    []string
	Config string // of the exporter
	Local  bool   // {at} is a UNIX socket
	Redis  bool   // there is a Redis at the port $REDIS
}

// Bench is one app and its exporter.
type Bench struct {
	Name  string // of the module
	Dir   string
	At    string // address of the app
	Other string // a second address that is free

	spec        Spec
	url         string // of the exporter
	env         []string
	replace     *strings.Replacer
	client      *http.Client
	app, export *run.Proc
	procs       []*run.Proc // in the order of their start
}

// New makes the directory, chooses ports and writes the files. It starts nothing.
func New(spec Spec) (*Bench, error) {
	dir, err := os.MkdirTemp("", "well")
	if err != nil {
		return nil, err
	}
	b := &Bench{Name: "a" + strings.ToLower(filepath.Base(dir)), Dir: dir, spec: spec}
	if err := b.prepare(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return b, nil
}

// prepare chooses the ports and writes the files of the app and of the exporter.
func (b *Bench) prepare() error {
	ports := make([]string, 4) // app, its second address, exporter, Redis
	for i := range ports {
		port, err := run.FreePort(0)
		if err != nil {
			return err
		}
		ports[i] = strconv.Itoa(port)
	}
	udp, err := run.FreeUDPPort()
	if err != nil {
		return err
	}
	b.At, b.Other, b.url = "127.0.0.1:"+ports[0], "127.0.0.1:"+ports[1], "http://127.0.0.1:"+ports[2]
	if b.spec.Local {
		b.At = "unix:" + filepath.Join(b.Dir, "s")
	}
	b.replace = strings.NewReplacer("{app}", b.Name, "{dir}", b.Dir, "{at}", b.At, "{port}", ports[0],
		"{other}", b.Other, "{other-port}", ports[1], "{statsd}", fmt.Sprintf("127.0.0.1:%d", udp))
	b.env = []string{"PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH=" + b.Dir, "REDIS=" + ports[3], "MARKS=" + b.marks()}
	for _, e := range b.spec.Env {
		b.env = append(b.env, b.replace.Replace(e))
	}
	b.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: b.dial}}
	if err := errors.Join(os.Chmod(b.Dir, 0o755), os.Mkdir(b.marks(), 0o777), os.Chmod(b.marks(), 0o777)); err != nil { // other users' workers mark too
		return err
	}
	files := map[string]string{"resp-exporter.yml": b.spec.Config}
	maps.Copy(files, b.spec.Files)
	for name, text := range files {
		file := filepath.Join(b.Dir, b.replace.Replace(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(b.replace.Replace(text)), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(b.Dir, b.Name+".py"), []byte(b.spec.App), 0o644)
}

// Replace replaces what a Spec may contain.
func (b *Bench) Replace(s string) string { return b.replace.Replace(s) }

// marks returns the directory in which the app marks the requests that it works on.
func (b *Bench) marks() string { return filepath.Join(b.Dir, "marks") }

// Marks returns the names of the marks that begin with prefix.
func (b *Bench) Marks(prefix string) []string {
	found, err := filepath.Glob(filepath.Join(b.marks(), prefix+"*"))
	if err != nil {
		return nil
	}
	for i, f := range found {
		found[i] = filepath.Base(f)
	}
	return found
}

// Start starts Redis, the app and, once that answers, the exporter: an app that
// is down at the first look is down.
func (b *Bench) Start(ctx context.Context, exporter string) error {
	if b.spec.Redis {
		port := b.env[2][len("REDIS="):]
		if _, err := b.run(run.Spec{Name: "redis", Path: "redis-server", Args: []string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", b.Dir}}); err != nil {
			return err
		}
	}
	if err := b.StartApp(ctx); err != nil {
		return err
	}
	var err error
	b.export, err = b.run(run.Spec{Name: "exporter", Path: exporter, Args: []string{
		"--web.listen-address=" + b.url[len("http://"):], "--config.file=" + filepath.Join(b.Dir, "resp-exporter.yml"),
		"--no-collector.host", "--no-collector.disk", "--log.level=error",
	}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := run.Answers(ctx, b.export, b.url+"/-/ready"); err != nil {
		return fmt.Errorf("%w\n%s", err, b.export.Output(2000))
	}
	return nil
}

// StartApp starts the server and waits until the app answers.
func (b *Bench) StartApp(ctx context.Context) error {
	args := make([]string, len(b.spec.Argv)-1)
	for i, a := range b.spec.Argv[1:] {
		args[i] = b.replace.Replace(a)
	}
	var err error
	if b.app, err = b.run(run.Spec{Name: "app", Path: b.spec.Argv[0], Args: args, Dir: b.Dir, Env: b.env}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for ctx.Err() == nil {
		if status, err := b.Get(ctx, "/"); err == nil && status == http.StatusOK {
			return nil
		}
		if err := b.app.Err(); err != nil {
			return fmt.Errorf("%w\n%s", err, b.app.Output(2000))
		}
		Pause(ctx, 100*time.Millisecond)
	}
	return fmt.Errorf("the app does not answer: %w\n%s", ctx.Err(), b.app.Output(2000))
}

// App returns the server's first process.
func (b *Bench) App() *run.Proc { return b.app }

// run starts a program, which ends with the bench.
func (b *Bench) run(spec run.Spec) (*run.Proc, error) {
	spec.Logs = b.Dir
	p, err := run.Start(spec)
	if err == nil {
		b.procs = append(b.procs, p)
	}
	return p, err
}

func (b *Bench) dial(ctx context.Context, _, _ string) (net.Conn, error) { return b.Dial(ctx) }

// Dial opens a connection to the app.
func (b *Bench) Dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	if path, ok := strings.CutPrefix(b.At, "unix:"); ok {
		return d.DialContext(ctx, "unix", path)
	}
	return d.DialContext(ctx, "tcp", b.At)
}

// Get sends a request to the app and returns the status. The connection is
// closed afterwards.
func (b *Bench) Get(ctx context.Context, path string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://app"+path, nil)
	if err != nil {
		return 0, err
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}

// Close ends all programs, the last started first, and removes the directory.
func (b *Bench) Close() error {
	for _, p := range slices.Backward(b.procs) {
		p.Stop()
	}
	return os.RemoveAll(b.Dir)
}

// Pause waits for d, or until ctx ends.
func Pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
