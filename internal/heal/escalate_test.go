package heal_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// The step escalate after another one is counted, ends the run with the reason of the
// step before, and adds why the call failed.
func TestEscalateAfterStep(t *testing.T) {
	for name, c := range map[string]struct {
		planErr, applyErr error
		reason            string
		applied           int
	}{
		"called":      {nil, nil, refused.Reason, 1},
		"plan fails":  {errors.New("no plan"), nil, refused.Reason + "; no plan", 0},
		"apply fails": {nil, errors.New("no call"), refused.Reason + "; no call", 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				b := start(t, dir, section(nil), func(b *harness) { b.first.plan.Refused = refused })
				defer b.stop()
				call := newFakeAction()
				call.planErr, call.applyErr = c.planErr, c.applyErr
				apply, err := b.Prepare(section(nil), func(s config.HealingStep) (action.Action, error) {
					if s.Action == config.ActionEscalate {
						return call, nil
					}
					return b.build(s)
				})
				if err != nil {
					t.Fatal(err)
				}
				apply()
				b.take(firing())
				b.wait(time.Minute)
				r := b.last()
				if r.State != journal.DecisionEscalated || r.Action != config.ActionEscalate || r.Reason != c.reason {
					t.Errorf("%s by %s: %q, want %q", r.State, r.Action, r.Reason, c.reason)
				}
				if plans, applied := call.count(); plans != 1 || applied != c.applied {
					t.Errorf("planned %d times, applied %d times, want 1 and %d", plans, applied, c.applied)
				}
				s := b.Stats()
				for action, d := range map[string]journal.Decision{config.ActionKillLeaked: journal.DecisionRefused, config.ActionEscalate: journal.DecisionEscalated} {
					if n := s.Runs[heal.RunKey{Rule: "leaked", Action: action, Result: d}]; n != 1 {
						t.Errorf("%s %s is counted %d times", action, d, n)
					}
				}
				if s.Victims[config.ActionEscalate] != 0 || len(s.LastSuccess) != 0 {
					t.Errorf("victims %v, successes %v", s.Victims, s.LastSuccess)
				}
			})
		})
	}
}
