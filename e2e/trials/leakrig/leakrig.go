// Package leakrig starts what the trials of memory leaks have in common: an app under
// gunicorn, and the exporter, for which time passes faster.
package leakrig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

const (
	patience = 2 * time.Minute // that programs may take to start
	config   = `monitoring_interval: 1s
statsd: {listen: ["udp://127.0.0.1:%d"]}
apps: [{name: shop, match: {listen: "127.0.0.1:%d"}}]
`
)

// Options describe what is started.
type Options struct {
	Source   string   // of the module leakapp
	Env      []string // of the app
	Page     string   // that the app answers, without a slash
	Workers  int
	Exporter string
	Scale    float64 // how many times faster the exporter's time passes for leaks
}

// Rig is an app and an exporter that run.
type Rig struct {
	App, Metrics string         // URLs, without a slash
	Calls        sync.WaitGroup // of requests; [Rig.Close] waits for them

	dir    string
	client *http.Client
	procs  run.Group
}

// Start starts both and waits until they answer. After an error nothing runs.
func Start(ctx context.Context, o Options) (_ *Rig, err error) {
	r := &Rig{client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
	if r.dir, err = os.MkdirTemp("", "leak"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	var ports [2]int
	for i := range ports {
		if ports[i], err = run.FreePort(0); err != nil {
			return nil, err
		}
	}
	udp, err := run.FreeUDPPort()
	if err != nil {
		return nil, err
	}
	app, metrics := fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	r.App, r.Metrics = "http://"+app, "http://"+metrics
	for name, text := range map[string]string{"leakapp.py": o.Source, "resp-exporter.yml": fmt.Sprintf(config, udp, ports[0])} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	err = r.begin(ctx, run.Spec{
		Name: "gunicorn", Path: "gunicorn", Env: o.Env,
		Args: []string{"-w", strconv.Itoa(o.Workers), "-b", app, "--timeout", "120", "leakapp:app"},
	}, r.App+"/"+o.Page)
	if err != nil {
		return nil, err
	}
	return r, r.begin(ctx, run.Spec{
		Name: "resp-exporter", Path: o.Exporter,
		Args: []string{"--web.listen-address=" + metrics, "--config.file=" + filepath.Join(r.dir, "resp-exporter.yml"), fmt.Sprintf("--leak.time-scale=%g", o.Scale)},
	}, r.Metrics+"/-/ready")
}

// begin starts a program and waits until it answers.
func (r *Rig) begin(ctx context.Context, s run.Spec, url string) error {
	s.Dir, s.Logs = r.dir, r.dir
	_, err := r.procs.Start(ctx, s, patience, run.OK(url))
	return err
}

// Get returns the body that a URL answers with, whatever its status.
func (r *Rig) Get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return io.ReadAll(resp.Body)
}

// Close waits for the requests, whose context must have ended, stops both programs and
// removes their files.
func (r *Rig) Close() error {
	r.Calls.Wait()
	r.procs.Stop()
	return os.RemoveAll(r.dir)
}
