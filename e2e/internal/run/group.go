package run

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Group is programs that are started one after the other and stopped together. The zero
// value is ready.
type Group struct{ procs []*Proc }

// Start starts a program and returns when ready returns nil; at once if ready is nil. It
// returns an error with the end of the program's output if the program or ctx ends before,
// or limit has passed.
func (g *Group) Start(ctx context.Context, spec Spec, limit time.Duration, ready func(context.Context) error) (*Proc, error) {
	p, err := Start(spec)
	if err != nil {
		return nil, err
	}
	g.procs = append(g.procs, p)
	if ready == nil {
		return p, nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := until(ctx, p, ready); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, p.Output(3000))
	}
	return p, nil
}

// Procs returns the programs that were started.
func (g *Group) Procs() []*Proc { return g.procs }

// Stop stops all programs, the last one first, each with all it started.
func (g *Group) Stop() {
	for _, p := range slices.Backward(g.procs) {
		p.Stop()
	}
}

// OK returns a function for [Group.Start] that returns nil when url answers 200.
func OK(url string) func(context.Context) error {
	return func(ctx context.Context) error { return get(ctx, url) }
}

// until calls ready until it returns nil, p ends, or ctx does.
func until(ctx context.Context, p *Proc, ready func(context.Context) error) error {
	for {
		if err := p.Err(); err != nil {
			return err
		}
		last := ready(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", p.Name, last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
