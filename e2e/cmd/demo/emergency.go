package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/prom"
)

// The thresholds of the shop's memory lie so far above what it takes at rest: above what the
// fault memory leaks until it is healed, and below what the fault emergency keeps.
const (
	memoryWarning  = 240 << 20
	memoryCritical = 300 << 20
)

// setMemory sets the thresholds of the shop's memory in the exporter's configuration. They
// are shares of the limit, which is that of its control group, or else the host's memory.
func (s *stack) setMemory(ctx context.Context) error {
	value := func(expr string) (float64, error) {
		v, known, err := prom.One(ctx, s.promURL, expr)
		if err == nil && !known {
			err = fmt.Errorf("%s is not known", expr)
		}
		return v, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var used, limit float64
	err := s.until(ctx, func() (err error) {
		if used, err = value(`max(resp_app_memory_usage_ratio{app="` + app + `"})`); err == nil {
			limit, err = value(`max(resp_app_memory_limit_bytes{app="` + app + `"})`)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("the shop's memory: %w", err)
	}
	s.warning, s.critical = min(used+memoryWarning/limit, 0.98), min(used+memoryCritical/limit, 0.99)
	if _, err := s.configure(); err != nil {
		return err
	}
	if err := s.part("exporter").Signal(syscall.SIGHUP); err != nil {
		return fmt.Errorf("reload of the exporter: %w", err)
	}
	return s.until(ctx, func() error {
		v, err := value(`max(resp_app_threshold{app="` + app + `",resource="memory",severity="warning"})`)
		if err == nil && v != s.warning {
			err = fmt.Errorf("the exporter has the threshold %g, not %g", v, s.warning)
		}
		return err
	})
}

// until calls f until it returns nil, a part ends, or ctx does. It then returns f's last error.
func (s *stack) until(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-s.died():
			return s.post()
		case <-time.After(look):
		}
	}
}
