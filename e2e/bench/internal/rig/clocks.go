package rig

import (
	"context"
	"errors"
	"time"
)

// Wait waits for d, or until ctx ends.
func Wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// Use returns the CPU milliseconds a second of each target while do runs.
func Use(targets []Target, do func() error) ([]float64, error) {
	start := time.Now()
	before, err := Clocks(targets)
	if err != nil {
		return nil, err
	}
	if err := do(); err != nil {
		return nil, err
	}
	after, err := Clocks(targets)
	if err != nil {
		return nil, err
	}
	elapsed := time.Since(start).Seconds()
	out := make([]float64, len(targets))
	for i := range targets {
		out[i] = Milliseconds(after[i]-before[i]) / elapsed
	}
	return out, nil
}

// Clocks returns the CPU time that each target has used so far.
func Clocks(targets []Target) ([]time.Duration, error) {
	var all []time.Duration
	var errs []error
	for _, t := range targets {
		c, err := CPU(t.PID)
		all, errs = append(all, c), append(errs, err)
	}
	return all, errors.Join(errs...)
}

// Milliseconds returns d in milliseconds.
func Milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
