package main

import (
	"context"
	"fmt"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/prom"
)

// Runs of the shop's background task, and how often it began again after a failure.
const (
	taskOK       = `sum(resp_task_runs_total{app="` + app + `",outcome="ok"})`
	taskRestarts = `sum(resp_task_restarts_total{app="` + app + `"})`
)

// mended is for a fault that only a person can mend, who was called: the demo does it in the
// place of the person, and waits until the task succeeds and its alert has ended.
func (s *stack) mended(ctx context.Context, t *told, began time.Time) error {
	restarts, _, err := prom.One(ctx, s.promURL, taskRestarts)
	if err != nil {
		t.why = "the restarts of the task: " + err.Error()
		return s.rests(ctx, look)
	}
	before, _, err := prom.One(ctx, s.promURL, taskOK)
	if err != nil {
		t.why = "the runs of the task: " + err.Error()
		return s.rests(ctx, look)
	}
	say(time.Since(began), "mended", fmt.Sprintf("by a person, after %.0f failures: what the task reads is right again", restarts))
	if err := s.visit(ctx, "/fault/clear"); err != nil {
		t.why = err.Error()
		return s.rests(ctx, look)
	}
	wait, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	err = s.until(wait, func() error {
		now, _, err := prom.One(wait, s.promURL, taskOK)
		if err != nil {
			return err
		}
		a, err := s.firing(wait, t.alert)
		if err == nil && (a != nil || now <= before) {
			err = fmt.Errorf("%s fires: %t, successful runs since: %.0f", t.alert, a != nil, now-before)
		}
		return err
	})
	if err != nil && wait.Err() == nil || ctx.Err() != nil {
		return err
	}
	if err != nil {
		t.why = err.Error()
		return nil
	}
	t.verified = time.Since(began)
	say(t.verified, "over", "a run succeeded, and the alert has ended")
	return nil
}

// called prints the faults for which a person was called, and returns those that did not
// end that way.
func called(list []told) (failed []string) {
	if len(list) == 0 {
		return nil
	}
	const line = "%-24s %-26s %16s %9s\n"
	fmt.Printf(line, "fault", "alert", "a person called", "mended")
	for _, t := range list {
		over := inSeconds(t.verified)
		if t.why != "" {
			over = "no"
			failed = append(failed, t.title)
		}
		fmt.Printf(line, t.title, t.alert, inSeconds(t.acted), over)
	}
	fmt.Printf("%d of %d called a person.\n\n", len(list)-len(failed), len(list))
	return failed
}
