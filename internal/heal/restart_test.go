package heal_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// A pause and its reason are kept after a restart; so is the end of a pause.
func TestPauseSurvives(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(nil), nil)
		if err := b.Pause(journal.Pause{Reason: "deploy", By: "ann", Until: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		b.stop()
		b = start(t, dir, section(nil), nil)
		if p := b.Snapshot().Paused; p == nil || p.Reason != "deploy" || p.By != "ann" {
			t.Errorf("%+v", p)
		}
		if got := b.take(firing()); got != "paused" {
			t.Error(got)
		}
		if err := b.Resume(); err != nil {
			t.Fatal(err)
		}
		if p := b.Snapshot().Paused; p != nil {
			t.Errorf("still paused after it was resumed: %+v", p)
		}
		b.stop()
		b = start(t, dir, section(nil), nil)
		defer b.stop()
		if got := b.take(firing()); got != "queued" {
			t.Error(got)
		}
	})
}

// The guards count the acts before a restart.
func TestGuardsSurvive(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(nil), nil)
		b.take(firing())
		b.wait(time.Minute)
		b.stop()
		b = start(t, dir, section(nil), nil)
		if got := b.take(firing("pod", "b")); got != "cooldown" {
			t.Error(got)
		}
		b.stop()
		b = start(t, dir, section(func(h *config.Healing) { h.Budgets.MaxRuns = 1 }), nil)
		defer b.stop()
		if got := b.take(firing("app", "blog")); got != "budget" {
			t.Error(got)
		}
		if len(b.Snapshot().Runs) != 1 {
			t.Errorf("runs: %+v", b.Snapshot().Runs)
		}
	})
}

// An act in which the exporter ended counts after each further restart, also if the rule
// of its run was changed meanwhile and the run is cancelled.
func TestCancelledActSurvives(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(nil), func(b *harness) { b.first.apply = func(ctx context.Context) { <-ctx.Done() } })
		b.take(firing())
		b.wait(time.Second) // it acts
		b.stop()
		other := section(func(h *config.Healing) { h.Rules[0].Steps = h.Rules[0].Steps[1:] })
		b = start(t, dir, other, nil)
		if runs := b.Snapshot().Runs; len(runs) != 1 || runs[0].State != journal.DecisionCancelled || !runs[0].Interrupted {
			t.Errorf("with another rule: %+v", runs)
		}
		b.stop()
		b = start(t, dir, section(nil), nil)
		defer b.stop()
		b.wait(10 * time.Minute) // the cooldown
		b.take(firing("pod", "b"))
		b.wait(time.Second)
		if len(b.first.acts) != 1 {
			t.Errorf("after the second restart %d acts are known, want 1", len(b.first.acts))
		}
	})
}

// Two exporters never share a directory.
func TestLocked(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(nil), nil)
		other := start(t, dir, section(nil), nil)
		defer other.stop()
		s := other.Snapshot()
		if s.Mode != config.HealOff || s.Why == "" || !errors.Is(s.Err, journal.ErrLocked) {
			t.Errorf("%+v", s)
		}
		if got := other.take(firing()); got != "unwritten ErrUnwritten" {
			t.Error(got)
		}
		b.stop()
		other.wait(10 * time.Second)
		if got := other.take(firing()); got != "queued" {
			t.Errorf("when the other has ended: %s", got)
		}
	})
}

// A rule needs a person also after a restart, until the alert is resolved.
func TestNeedsHuman(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		refuse := func(b *harness) { b.first.plan.Refused = refused }
		needs := func(b *harness, want bool) {
			t.Helper()
			if got := b.Stats().NeedsHuman["leaked"]; got != want {
				t.Errorf("needs a person: %v", got)
			}
		}
		b := start(t, dir, section(nil), refuse)
		b.take(firing())
		b.wait(time.Second)
		needs(b, true)
		b.stop()
		b = start(t, dir, section(nil), refuse)
		needs(b, true)
		a := firing()
		a.Resolved = true
		b.take(a)
		needs(b, false)
		b.stop()
		b = start(t, dir, section(nil), refuse)
		defer b.stop()
		needs(b, false)
	})
}
