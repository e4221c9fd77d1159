package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/stat"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

const (
	warmUp      = 5    // scrapes of each target that do not count
	memoryAfter = 1000 // scrapes
	requests    = 100  // to the shop before anything is measured, so that it has series
	forks       = 64   // python processes of the scenario many
)

// lifetime ends the extra processes by themselves, should this program be killed.
const lifetime = "600"

// scenario builds a fresh rig, measures, prints, and takes the rig down.
func (s settings) scenario(ctx context.Context, name string) error {
	r, err := rig.New()
	if err != nil {
		return err
	}
	defer r.Close()
	if name == "many" {
		if err := s.crowd(ctx, r); err != nil {
			return err
		}
	}
	targets, err := s.targets(ctx, r)
	if err != nil {
		return err
	}
	client := rig.NewClient()
	defer client.Close()
	for _, t := range targets {
		for range warmUp {
			if _, err := client.Scrape(ctx, t.URL); err != nil {
				return err
			}
		}
	}
	switch name {
	case "idle", "many":
		return s.rounded(ctx, client, targets)
	case "memory":
		return s.memory(ctx, client, targets)
	}
	return fmt.Errorf("no such scenario: %q", name)
}

// targets starts the exporters and the shop, and sends the shop some requests.
func (s settings) targets(ctx context.Context, r *rig.Rig) ([]rig.Target, error) {
	port, err := run.FreeUDPPort()
	if err != nil {
		return nil, err
	}
	statsd := fmt.Sprintf("127.0.0.1:%d", port)
	ours, err := r.Ours(ctx, run.Spec{Path: s.ours}, "udp://"+statsd)
	if err != nil {
		return nil, err
	}
	node, err := r.Node(ctx, s.node)
	if err != nil {
		return nil, err
	}
	process, err := r.Process(ctx, s.process)
	if err != nil {
		return nil, err
	}
	base, err := r.Shop(ctx, s.shop, statsd)
	if err != nil {
		return nil, err
	}
	return []rig.Target{ours, node, process}, visit(ctx, base)
}

// visit sends a few requests to the shop.
func visit(ctx context.Context, base string) error {
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	paths := [...]string{"/", "/products", "/products/3", "/products/99"}
	for i := range requests {
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

// crowd starts many processes that do nothing, and a Python process with forks.
func (s settings) crowd(ctx context.Context, r *rig.Rig) error {
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
		{Name: "sleeps", Path: "sh", Args: []string{"-c", sleeps, "sh", strconv.Itoa(s.many), lifetime}},
		{Name: "forks", Path: "python3", Args: []string{"-c", fork, strconv.Itoa(forks), lifetime}},
	}
	for _, spec := range specs {
		if _, err := r.Start(ctx, spec, ""); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(time.Minute); processes() < before+s.many+forks; time.Sleep(100 * time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("only %d of %d processes more after a minute", processes()-before, s.many+forks)
		}
	}
	return nil
}

// quiet waits until no process of a round before ends any more, and returns how
// many processes there are.
func quiet(ctx context.Context) (int, error) {
	n := processes()
	for deadline := time.Now().Add(time.Minute); ; {
		if err := wait(ctx, time.Second); err != nil {
			return 0, err
		}
		now := processes()
		if now >= n {
			return now, nil
		}
		if n = now; time.Now().After(deadline) {
			return 0, fmt.Errorf("processes still end after a minute; %d are left", n)
		}
	}
}

// processes counts the host's processes.
func processes() int {
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

// memory scrapes each target a thousand times, and prints the memory that it then uses.
func (s settings) memory(ctx context.Context, client *rig.Client, targets []rig.Target) error {
	rows := make([][]string, len(targets))
	for i, t := range targets {
		rss, _, err := rig.Memory(t.PID)
		if err != nil {
			return err
		}
		rows[i] = []string{t.Name, megabytes(rss)}
	}
	for range memoryAfter {
		if err := s.cycle(ctx, client, targets, func(int, rig.Answer) {}); err != nil {
			return err
		}
	}
	for i, t := range targets {
		rss, highest, err := rig.Memory(t.PID)
		if err != nil {
			return err
		}
		rows[i] = append(rows[i], megabytes(rss), megabytes(highest))
	}
	head := []string{"exporter", fmt.Sprintf("RSS MB after %d scrapes", warmUp), fmt.Sprintf("after %d more", memoryAfter), "highest"}
	fmt.Println(stat.Table(head, rows))
	return nil
}

func megabytes(b int64) string { return fmt.Sprintf("%.1f", float64(b)/1e6) }
