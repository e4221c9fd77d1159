package heal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/counts"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// A person who is called after a run has ended is in the journal. Nobody is called for an
// alert that no longer fires, or a rule that is gone.
func TestCallPerson(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		needed := func(b *harness) string { return strings.Join(b.Snapshot().Human, " ") }
		b := start(t, dir, section(nil), nil)
		b.CallPerson(t.Context(), "leaked", "f1")
		if got := needed(b); got != "" {
			t.Errorf("no alert fires: %q", got)
		}
		b.take(firing())
		b.wait(time.Minute)
		b.CallPerson(t.Context(), "gone", "f1")
		if got := needed(b); got != "" {
			t.Errorf("no such rule: %q", got)
		}
		b.CallPerson(t.Context(), "leaked", "f1")
		if got := needed(b); got != "leaked" {
			t.Errorf("called: %q", got)
		}
		b.stop()
		b = start(t, dir, section(nil), nil)
		if got := needed(b); got != "leaked" {
			t.Errorf("after a restart: %q", got)
		}
		resolved := firing()
		resolved.Resolved = true
		b.take(resolved)
		b.CallPerson(t.Context(), "leaked", "f1")
		if got := needed(b); got != "" {
			t.Errorf("resolved: %q", got)
		}
		b.stop()
		b = start(t, dir, section(nil), nil)
		defer b.stop()
		if got := needed(b); got != "" {
			t.Errorf("after another restart: %q", got)
		}
	})
}

// A call for a person that is dropped is logged.
func TestCallPersonDropped(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b := start(t, dir, section(nil), func(b *harness) {
			b.logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		})
		b.CallPerson(t.Context(), "leaked", "f1")
		b.stop()
		var line struct{ Level, Rule, Alert string }
		if err := json.Unmarshal(log.Bytes(), &line); err != nil || line.Level != "WARN" || line.Rule != "leaked" || line.Alert != "f1" {
			t.Errorf("%s, %v", log.Bytes(), err)
		}
	})
}

// Actions may begin in mode enforce, outside of a pause, and with a state directory.
func TestMayAct(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(nil), nil)
		defer b.stop()
		check := func(what string, enforces, may bool) {
			t.Helper()
			if b.Enforces() != enforces || b.MayAct() != may {
				t.Errorf("%s: %t and %t, want %t and %t", what, b.Enforces(), b.MayAct(), enforces, may)
			}
		}
		check("enforce", true, true)
		if err := b.Pause(journal.Pause{Until: time.Now().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		check("paused", true, false)
		b.wait(2 * time.Minute)
		check("after the pause", true, true)
		if err := os.Rename(dir, dir+".lost"); err != nil {
			t.Fatal(err)
		}
		b.wait(time.Minute)
		check("without its directory", true, false)
		b.use(section(func(h *config.Healing) { h.Mode = config.HealDryRun }))
		check("dry-run", false, false)
	})
}

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
					if n := s.Runs[counts.RunKey{Rule: "leaked", Action: action, Result: d}]; n != 1 {
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

// observing is an action that changes nothing.
type observing struct{ *fakeAction }

func (observing) Observes() {}

// After a step that only observed, and was verified, the next one begins; without one the run
// has ended well.
func TestObserver(t *testing.T) {
	for name, only := range map[string]bool{"next step": false, "no other step": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				h := section(func(h *config.Healing) {
					if only {
						h.Rules[0].Steps = h.Rules[0].Steps[:1]
					}
				})
				b := start(t, dir, h, nil)
				defer b.stop()
				apply, err := b.Prepare(h, func(s config.HealingStep) (action.Action, error) {
					if s.Action == config.ActionKillLeaked {
						return observing{b.first}, nil
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
				_, applied := b.next.count()
				if r.State != journal.DecisionVerified || (applied == 1) == only {
					t.Errorf("%s by %s, the next step was applied %d times", r.State, r.Action, applied)
				}
				if !only && (len(r.Before) != 1 || r.Before[0].Result != journal.DecisionVerified || r.Action != config.ActionRecycle) {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}
