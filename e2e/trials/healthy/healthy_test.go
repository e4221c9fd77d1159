package healthy_test

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
	"github.com/resp-exporter/resp-exporter/e2e/trials/healthy"
)

// TestHealthy runs two stacks of the trial, with a few samples each.
func TestHealthy(t *testing.T) {
	t.Parallel()
	exporter, err := run.Exporter(t.Context(), "../../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var stacks []healthy.Stack
	for _, s := range healthy.Stacks() {
		if s.Name == "gunicorn gthread busy" || s.Name == "uWSGI threads" {
			stacks = append(stacks, s)
		}
	}
	looks := make(map[string]int)
	o := healthy.Options{Exporter: exporter, Looks: 12, Gap: 200 * time.Millisecond, Parallel: 2, Seed: 1, Done: map[string]int{"uWSGI threads": 2}}
	err = healthy.Run(t.Context(), o, stacks, func(l healthy.Look) error {
		looks[l.Stack]++
		if l.False() {
			t.Errorf("false word: %+v", l)
		}
		return nil
	})
	if err != nil || len(stacks) != 2 || looks["gunicorn gthread busy"] != 12 || looks["uWSGI threads"] != 10 {
		t.Errorf("%v: looks %v", err, looks)
	}
}
