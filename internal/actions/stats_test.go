package actions_test

import (
	"testing"
	"testing/synctest"

	"github.com/resp-exporter/resp-exporter/internal/actions"
	"github.com/resp-exporter/resp-exporter/internal/config"
)

// What a step may come to is counted from 0 on, so that increase() sees the
// first of its kind; and no more than that.
func TestStatsBeginAtZero(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(nil), nil)
		defer b.stop()
		s := b.Stats()
		for _, c := range []struct {
			action string
			result actions.Decision
			is     bool
		}{
			{config.ActionKillLeaked, actions.DecisionVerified, true},
			{config.ActionKillLeaked, actions.DecisionStepFailed, true},
			{config.ActionRecycle, actions.DecisionFailed, true},
			{config.ActionEscalate, actions.DecisionEscalated, true},
			{config.ActionEscalate, actions.DecisionVerified, false},
			{config.ActionPurge, actions.DecisionVerified, false},
		} {
			if n, is := s.Runs[actions.RunKey{Rule: "leaked", Action: c.action, Result: c.result}]; is != c.is || n != 0 {
				t.Errorf("%s %s: %d, there %t, want %t", c.action, c.result, n, is, c.is)
			}
		}
		if _, is := s.Victims[config.ActionEscalate]; is || len(s.Victims) != 2 {
			t.Errorf("victims of %v", s.Victims)
		}
		if b.take(firing()) != "queued" {
			t.Fatal("not queued")
		}
		synctest.Wait()
		b.wait(0)
		if len(b.Stats().Runs) < len(s.Runs) {
			t.Error("what was counted is gone")
		}
	})
}
