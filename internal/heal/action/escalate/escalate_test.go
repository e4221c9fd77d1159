package escalate_test

import (
	"errors"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/escalate"
)

// Plan does not notify; Apply does, with the rule and the alert of the plan.
func TestEscalate(t *testing.T) {
	t.Parallel()
	var called []string
	a := escalate.New(func(rule, fingerprint string) { called = append(called, rule+" "+fingerprint) })
	p, err := a.Plan(t.Context(), action.PlanRequest{Alert: action.Alert{Fingerprint: "f1"}, Rule: "leaked"})
	if err != nil || p.Cleared || !p.Refused.IsZero() || p.Total != 0 || len(called) != 0 {
		t.Fatalf("%+v, %v, called %v", p, err, called)
	}
	if n, err := a.Apply(t.Context(), p); n != 0 || err != nil || len(called) != 1 || called[0] != "leaked f1" {
		t.Errorf("done %d, %v, called %v", n, err, called)
	}
	if o, err := a.Verify(t.Context(), p); o != action.Unchanged || err != nil {
		t.Errorf("verified as %s, %v", o, err)
	}
	if target := a.Target(action.Alert{Fingerprint: "f1"}); target != "" {
		t.Errorf("target %q", target)
	}
	p.Private = nil
	if _, err := a.Apply(t.Context(), p); !errors.Is(err, action.ErrNotPlanned) || len(called) != 1 {
		t.Errorf("a plan of another process: %v, called %v", err, called)
	}
}
