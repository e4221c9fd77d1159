package rig

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

const (
	// Requests is how many Visit sends.
	Requests = 100
	// Forks is how many Python processes make a crowd.
	Forks = 64
	// lifetime ends the extra processes by themselves, in seconds, should the program be killed.
	lifetime = "900"
)

// Visit sends a few requests to the shop.
func Visit(ctx context.Context, base string) error {
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	paths := [...]string{"/", "/products", "/products/3", "/products/99"}
	for i := range Requests {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+paths[i%len(paths)], nil)
		if err != nil {
			return fmt.Errorf("request to the shop: %w", err)
		}
		resp, err := client.Do(req)
		if err != nil {
			return fmt.Errorf("request to the shop: %w", err)
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
		_ = resp.Body.Close()
	}
	return nil
}

// Crowd starts many processes that do nothing, and a Python process with forks of it.
func (r *Rig) Crowd(ctx context.Context, many, forks int) error {
	const sleeps = `i=0; while [ $i -lt "$1" ]; do sleep "$2" & i=$((i+1)); done; wait`
	const fork = `import os, sys, time
for _ in range(int(sys.argv[1])):
    if os.fork() == 0: break
time.sleep(int(sys.argv[2]))`
	before, err := quiet(ctx)
	if err != nil {
		return err
	}
	specs := [...]run.Spec{
		{Name: "sleeps", Path: "sh", Args: []string{"-c", sleeps, "sh", strconv.Itoa(many), lifetime}},
		{Name: "forks", Path: "python3", Args: []string{"-c", fork, strconv.Itoa(forks), lifetime}},
	}
	for _, spec := range specs {
		if _, err := r.Start(ctx, spec, ""); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(time.Minute); Processes() < before+many+forks; time.Sleep(100 * time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("only %d of %d processes more after a minute", Processes()-before, many+forks)
		}
	}
	return nil
}

// quiet waits until no process of a round before ends any more, and returns how
// many processes there are.
func quiet(ctx context.Context) (int, error) {
	n := Processes()
	for deadline := time.Now().Add(time.Minute); ; {
		if err := Wait(ctx, time.Second); err != nil {
			return 0, err
		}
		now := Processes()
		if now >= n {
			return now, nil
		}
		if n = now; time.Now().After(deadline) {
			return 0, fmt.Errorf("processes still end after a minute; %d are left", n)
		}
	}
}

// Processes returns how many processes the host has; 0 if they cannot be read.
func Processes() int {
	n := 0
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if c := e.Name()[0]; c >= '0' && c <= '9' {
			n++
		}
	}
	return n
}
