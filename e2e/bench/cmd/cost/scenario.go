package main

import (
	"context"
	"fmt"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/stat"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

const (
	warmUp      = 5    // scrapes of each target that do not count
	memoryAfter = 1000 // scrapes
)

// scenario builds a fresh rig, measures, prints, and takes the rig down.
func (s settings) scenario(ctx context.Context, name string) error {
	r, err := rig.New()
	if err != nil {
		return err
	}
	defer r.Close()
	if name == "many" {
		if err := r.Crowd(ctx, s.many, rig.Forks); err != nil {
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

// targets starts the exporters and the shop, sends the shop some requests, and returns the
// exporters.
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
	process, err := r.Process(ctx, s.process, rig.Groups)
	if err != nil {
		return nil, err
	}
	base, err := r.Shop(ctx, s.shop, statsd)
	if err != nil {
		return nil, err
	}
	return []rig.Target{ours, node, process}, rig.Visit(ctx, base)
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
