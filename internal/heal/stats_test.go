package heal_test

import (
	"testing"
	"testing/synctest"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/counts"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// The counter of each possible result of a step starts at 0, so that increase() counts the
// first; there are no others.
func TestStatsBeginAtZero(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(nil), nil)
		defer b.stop()
		s := b.Stats()
		for _, c := range []struct {
			action string
			result journal.Decision
			is     bool
		}{
			{config.ActionKillLeaked, journal.DecisionVerified, true},
			{config.ActionKillLeaked, journal.DecisionStepFailed, true},
			{config.ActionRecycle, journal.DecisionFailed, true},
			{config.ActionEscalate, journal.DecisionEscalated, true},
			{config.ActionEscalate, journal.DecisionVerified, false},
			{config.ActionPurge, journal.DecisionVerified, false},
		} {
			if n, is := s.Runs[counts.RunKey{Rule: "leaked", Action: c.action, Result: c.result}]; is != c.is || n != 0 {
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
