// Package rig starts what the benchmarks measure, on the loopback and in a
// directory of its own, and reads what it costs.
package rig

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// patience is how long a program may take until it answers.
const patience = 20 * time.Second

// Rig is a set of programs that end together.
type Rig struct {
	Dir   string // temporary; gone after Close
	procs run.Group
}

// Target is a running exporter.
type Target struct {
	Name string
	PID  int
	URL  string // of its metrics
}

// New returns a rig in which nothing runs.
func New() (*Rig, error) {
	dir, err := os.MkdirTemp("", "resp-bench-")
	if err != nil {
		return nil, fmt.Errorf("directory of the rig: %w", err)
	}
	return &Rig{Dir: dir}, nil
}

// Start starts spec, whose log goes to the rig's directory. With a url it
// returns when that answers.
func (r *Rig) Start(ctx context.Context, spec run.Spec, url string) (*run.Proc, error) {
	spec.Logs = r.Dir
	if url == "" {
		return r.procs.Start(ctx, spec, patience, nil)
	}
	return r.procs.Start(ctx, spec, patience, run.OK(url))
}

// Exporter starts an exporter that serves /metrics. args gets its address.
func (r *Rig) Exporter(ctx context.Context, spec run.Spec, args func(address string) []string) (Target, error) {
	port, err := run.FreePort(0)
	if err != nil {
		return Target{}, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	spec.Args = append(spec.Args, args(address)...)
	url := "http://" + address + "/metrics"
	p, err := r.Start(ctx, spec, url)
	if err != nil {
		return Target{}, err
	}
	return Target{Name: spec.Name, PID: p.PID(), URL: url}, nil
}

// Write writes a file into the rig's directory and returns its path.
func (r *Rig) Write(name, text string) (string, error) {
	path := filepath.Join(r.Dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("file of the rig: %w", err)
	}
	return path, nil
}

// Close ends all programs, the last started first, each with all it started.
func (r *Rig) Close() {
	r.procs.Stop()
	_ = os.RemoveAll(r.Dir)
}

// Find returns the path of a program, or an error with the command that installs it.
func Find(program, how string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("%w\nget it with: %s", err, how)
	}
	return filepath.Abs(path)
}
