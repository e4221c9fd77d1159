package heal_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/counts"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// In each row one guard refuses the alert.
func TestGuards(t *testing.T) {
	for name, c := range map[string]struct {
		section func(*config.Healing)
		before  func(*harness)
		alert   action.Alert
		want    string
	}{
		"none":     {nil, nil, firing(), "queued"},
		"identity": {func(h *config.Healing) { h.Identity = config.Identity{Label: "instance", Value: "web-1"} }, nil, firing("instance", "web-2"), "not_mine"},
		"match":    {nil, nil, firing("alertname", "Other"), "unmatched"},
		"dedup": {nil, func(b *harness) {
			b.take(firing())
			b.wait(time.Minute)
		}, firing(), "duplicate"},
		"another on the target": {nil, func(b *harness) {
			b.first.apply = func(context.Context) { time.Sleep(20 * time.Second) }
			b.take(firing())
			b.wait(time.Second)
		}, firing("severity", "page"), "duplicate"},
		"paused": {nil, func(b *harness) {
			if err := b.Pause(journal.Pause{Reason: "deploy", Until: time.Now().Add(time.Hour)}); err != nil {
				b.t.Error(err)
			}
		}, firing(), "paused"},
		"pause over": {nil, func(b *harness) {
			if err := b.Pause(journal.Pause{Reason: "deploy", Until: time.Now().Add(time.Minute)}); err != nil {
				b.t.Error(err)
			}
			b.wait(61 * time.Second)
		}, firing(), "queued"},
		"off":    {func(h *config.Healing) { h.Mode = config.HealOff }, nil, firing(), "off"},
		"warmup": {func(h *config.Healing) { h.Warmup = time.Minute }, nil, firing(), "warmup"},
		"breaker": {func(h *config.Healing) {
			h.Breaker.Failures = 2
			h.Rules[0].Steps = h.Rules[0].Steps[:1]
			h.Rules[0].Cooldown = time.Minute
		}, func(b *harness) {
			b.first.outcome = []action.Outcome{action.Unchanged}
			for _, x := range []string{"a", "b"} {
				b.take(firing("pod", x))
				b.wait(3 * time.Minute)
			}
		}, firing(), "breaker"},
		"breaker closed again": {func(h *config.Healing) {
			h.Breaker.Failures = 2
			h.Rules[0].Steps = h.Rules[0].Steps[:1]
			h.Rules[0].Cooldown = time.Minute
		}, func(b *harness) {
			b.first.outcome = []action.Outcome{action.Unchanged}
			for _, x := range []string{"a", "b"} {
				b.take(firing("pod", x))
				b.wait(3 * time.Minute)
			}
			b.wait(31 * time.Minute)
		}, firing(), "queued"},
		"cooldown": {nil, func(b *harness) {
			b.take(firing("pod", "a"))
			b.wait(4 * time.Minute)
		}, firing("pod", "b"), "cooldown"},
		"cooldown over": {nil, func(b *harness) {
			b.take(firing("pod", "a"))
			b.wait(6 * time.Minute)
		}, firing("pod", "b"), "queued"},
		"budget": {func(h *config.Healing) { h.Budgets.MaxRuns = 1 }, func(b *harness) {
			b.take(firing())
			b.wait(10 * time.Minute)
		}, firing("pod", "b"), "budget"},
		"queue": {func(h *config.Healing) { h.QueueSize = 1 }, func(b *harness) {
			b.first.apply = func(context.Context) { time.Sleep(20 * time.Second) }
			b.first.plan.Target = "app:a/pool:main"
			b.take(firing("app", "a"))
			b.wait(time.Second)
			b.take(firing("app", "b"))
		}, firing("app", "c"), "queue_full ErrFull"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				b := start(t, dir, section(c.section), nil)
				defer b.stop()
				if c.before != nil {
					c.before(b)
				}
				if got := b.take(c.alert); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
				want, _, _ := strings.Cut(c.want, " ")
				if s := b.Stats(); s.Alerts[journal.Decision(want)] == 0 {
					t.Errorf("%s is not counted: %v", want, s.Alerts)
				}
			})
		})
	}
}

// The decisions at the start of a run: each row ends one run.
func TestRuns(t *testing.T) {
	for name, c := range map[string]struct {
		section func(*config.Healing)
		change  func(*harness)
		state   journal.Decision
		states  string // in the journal
		applied int    // of the first action
		climbed int    // of the second one
	}{
		"verified":    {nil, nil, "verified", "queued running verifying verified", 1, 0},
		"cleared":     {nil, func(b *harness) { b.first.plan.Cleared = true }, "cleared", "queued cleared", 0, 0},
		"refused":     {nil, func(b *harness) { b.first.plan.Refused = refused }, "escalated", "queued escalated", 0, 0},
		"unplanned":   {nil, func(b *harness) { b.first.planErr = errors.New("mysql main does not answer") }, "escalated", "queued escalated", 0, 0},
		"unavailable": {nil, func(b *harness) { b.first.plan.Refused = unavailable }, "verified", "queued step_failed running verifying verified", 0, 1},
		"unavailable when applied": {nil, func(b *harness) { b.first.applyErr, b.first.done = unavailable, 0 },
			"verified", "queued running step_failed running verifying verified", 1, 1},
		"all unavailable": {nil, func(b *harness) { b.first.plan.Refused, b.next.plan.Refused = unavailable, unavailable },
			"escalated", "queued step_failed escalated", 0, 0},
		"unavailable, the last step": {func(h *config.Healing) { h.Rules[0].Steps = h.Rules[0].Steps[:1] }, func(b *harness) { b.first.plan.Refused = unavailable },
			"unavailable", "queued unavailable", 0, 0},
		"ladder": {nil, func(b *harness) { b.first.outcome = []action.Outcome{action.Unchanged} },
			"verified", "queued running verifying step_failed running verifying verified", 1, 1},
		"whole ladder": {nil, func(b *harness) {
			b.first.outcome = []action.Outcome{action.Unchanged}
			b.next.outcome = []action.Outcome{action.Unchanged}
		}, "escalated", "queued running verifying step_failed running verifying escalated", 1, 1},
		"no call at the end": {func(h *config.Healing) { h.Rules[0].Steps = h.Rules[0].Steps[:1] }, func(b *harness) {
			b.first.outcome = []action.Outcome{action.Unchanged}
		}, "failed", "queued running verifying failed", 1, 0},
		"slow progress": {nil, func(b *harness) {
			b.first.outcome = []action.Outcome{action.InProgress, action.InProgress, action.InProgress, action.Verified}
		}, "verified", "queued running verifying verified", 1, 0},
		"progress without an end": {nil, func(b *harness) { b.first.outcome = []action.Outcome{action.InProgress} },
			"escalated", "queued running verifying escalated", 1, 0},
		"worse": {nil, func(b *harness) { b.first.outcome = []action.Outcome{action.Worse} }, "escalated", "queued running verifying escalated", 1, 0},
		"apply fails": {nil, func(b *harness) {
			b.first.applyErr, b.first.done = errors.New("no right to end connections"), 0
			b.first.outcome = []action.Outcome{action.Unchanged}
		}, "verified", "queued running verifying step_failed running verifying verified", 1, 1},
		"apply panics": {nil, func(b *harness) {
			b.first.apply = func(context.Context) { panic("oh") }
			b.first.outcome = []action.Outcome{action.Unchanged}
			b.next.planErr = errors.New("no")
		}, "escalated", "queued running verifying step_failed escalated", 1, 0},
		"timeout": {nil, func(b *harness) {
			b.first.apply = func(ctx context.Context) { <-ctx.Done() }
		}, "verified", "queued running verifying verified", 1, 0},
		"dry run":        {func(h *config.Healing) { h.Mode = config.HealDryRun }, nil, "dry_run", "queued dry_run", 0, 0},
		"dry run refuse": {func(h *config.Healing) { h.Mode = config.HealDryRun }, func(b *harness) { b.first.plan.Refused = refused }, "refused", "queued refused", 0, 0},
		"dry run unavailable": {func(h *config.Healing) { h.Mode = config.HealDryRun }, func(b *harness) { b.first.plan.Refused = unavailable },
			"dry_run", "queued step_failed dry_run", 0, 0},
		"dry run all unavailable": {func(h *config.Healing) { h.Mode = config.HealDryRun }, func(b *harness) { b.first.plan.Refused, b.next.plan.Refused = unavailable, unavailable },
			"unavailable", "queued step_failed unavailable", 0, 0},
		"approval": {func(h *config.Healing) { h.Rules[0].Steps[0].Approve = true }, nil, "expired", "queued awaiting_approval expired", 0, 0},
		"fleet: all of it": {func(h *config.Healing) { h.Coordination.Redis = "cache" }, func(b *harness) {
			b.fleet = &fleet{f: heal.Fleet{Members: 10, Firing: 10}}
		}, "fleet", "queued fleet", 0, 0},
		"fleet: too few well": {func(h *config.Healing) {
			h.Coordination.Redis, h.Budgets.FleetMaxFraction = "cache", 1
		}, func(b *harness) { b.fleet = &fleet{f: heal.Fleet{Members: 2, Firing: 1}} }, "fleet", "queued fleet", 0, 0},
		"fleet: Redis gone": {func(h *config.Healing) { h.Coordination.Redis = "cache" }, func(b *harness) {
			b.fleet = &fleet{err: errors.New("does not listen at its address")}
		}, "fleet", "queued fleet", 0, 0},
		"fleet: another has it": {func(h *config.Healing) { h.Coordination.Redis = "cache" }, func(b *harness) {
			b.fleet = &fleet{f: heal.Fleet{Members: 10, Firing: 1, Repairing: 1}, held: true}
		}, "lease", "queued lease", 0, 0},
		"fleet: all of it, after a step": {func(h *config.Healing) { h.Coordination.Redis = "cache" }, func(b *harness) {
			b.fleet = &fleet{f: heal.Fleet{Members: 10, Firing: 1, Repairing: 1}}
			b.first.outcome = []action.Outcome{action.Unchanged}
			b.first.apply = func(context.Context) { b.fleet.f.Firing = 10 }
		}, "escalated", "queued running verifying step_failed escalated", 1, 0},
		"fleet: may": {func(h *config.Healing) { h.Coordination.Redis = "cache" }, func(b *harness) {
			b.fleet = &fleet{f: heal.Fleet{Members: 10, Firing: 3, Repairing: 1}}
		}, "verified", "queued running verifying verified", 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				b := start(t, dir, section(c.section), c.change)
				defer b.stop()
				if got := b.take(firing()); got != "queued" {
					t.Fatal(got)
				}
				b.wait(15 * time.Minute)
				r := b.last()
				if r.State != c.state {
					t.Errorf("ended as %s: %s", r.State, r.Reason)
				}
				if got := states(t, dir); got != c.states {
					t.Errorf("the journal has %s, want %s", got, c.states)
				}
				_, first := b.first.count()
				_, next := b.next.count()
				if first != c.applied || next != c.climbed {
					t.Errorf("done %d and %d times, want %d and %d", first, next, c.applied, c.climbed)
				}
				if s := b.Stats(); s.NeedsHuman["leaked"] != (c.state == "escalated") {
					t.Errorf("needs a person: %v", s.NeedsHuman)
				}
				if b.fleet != nil && c.applied > 0 && b.fleet.released != 1 {
					t.Errorf("the lease was released %d times", b.fleet.released)
				}
			})
		})
	}
}

func TestApproved(t *testing.T) {
	for name, c := range map[string]struct {
		now  []string // victims of the plan when it is approved
		want journal.Decision
	}{
		"as shown": {[]string{"9", "8", "7"}, "verified"}, "fewer": {[]string{"8", "7"}, "verified"}, "more": {[]string{"7", "8", "9", "6"}, "awaiting_approval"},
		"as many, and another": {[]string{"7", "8", "6"}, "awaiting_approval"}, "one, and another": {[]string{"6"}, "awaiting_approval"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				b := start(t, dir, section(func(h *config.Healing) { h.Rules[0].Steps[0].Approve = true }), nil)
				defer b.stop()
				name := func(ids ...string) { // a plan about these
					b.first.mu.Lock()
					defer b.first.mu.Unlock()
					b.first.plan.Victims, b.first.plan.Total = nil, len(ids)
					for _, id := range ids {
						b.first.plan.Victims = append(b.first.plan.Victims, action.Victim{Kind: "connection", ID: id})
					}
				}
				name("7", "8", "9")
				b.take(firing())
				b.wait(time.Minute)
				r := b.last()
				waits := func(want int) {
					t.Helper()
					if s, m := b.Snapshot(), b.Stats().Awaiting; s.Awaiting != want || len(m) != 1 || m[r.Rule] != want {
						t.Errorf("%d and %v wait for approval, want %d", s.Awaiting, m, want)
					}
				}
				waits(1)
				if _, err := b.Approve(t.Context(), "r-x", ""); !errors.Is(err, heal.ErrUnknownRun) {
					t.Error(err)
				}
				name(c.now...)
				if _, err := b.Approve(t.Context(), r.ID, ""); err != nil {
					t.Fatal(err)
				}
				b.wait(time.Minute)
				waits(map[bool]int{true: 1}[c.want == "awaiting_approval"])
				if got := b.last(); got.State != c.want {
					t.Errorf("%s: %s", got.State, got.Reason)
				}
				if c.want == "awaiting_approval" { // the plan that was seen is not the one that waits
					if _, err := b.Approve(t.Context(), r.ID, r.Plan.ID); !errors.Is(err, heal.ErrOtherPlan) {
						t.Error(err)
					}
					if _, err := b.Approve(t.Context(), r.ID, b.last().Plan.ID); err != nil {
						t.Fatal(err)
					}
					b.wait(time.Minute)
					if got := b.last(); got.State != "verified" {
						t.Errorf("%s: %s", got.State, got.Reason)
					}
				}
				if _, err := b.Approve(t.Context(), r.ID, ""); !errors.Is(err, heal.ErrNotWaiting) {
					t.Error(err)
				}
			})
		})
	}
}

// The same notification fifteen times, and from two senders, creates one run.
func TestSameNotificationAgain(t *testing.T) {
	for _, result := range []action.Outcome{action.Verified, action.Unchanged} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			b := start(t, dir, section(func(h *config.Healing) { h.Rules[0].Steps = h.Rules[0].Steps[:1] }), func(b *harness) {
				b.first.outcome = []action.Outcome{result}
				b.first.applyErr = map[bool]error{true: errors.New("exit status 1")}[result == action.Unchanged]
			})
			defer b.stop()
			for range 15 {
				var wg sync.WaitGroup
				for range 2 {
					wg.Go(func() { b.take(firing()) })
				}
				wg.Wait()
				b.wait(20 * time.Second)
			}
			if _, applied := b.first.count(); applied != 1 || len(b.Snapshot().Runs) != 1 {
				t.Errorf("%s: done %d times in %d runs", result, applied, len(b.Snapshot().Runs))
			}
		})
	}
}

// A resolved alert cancels a run that has not started; a run that acts continues.
func TestResolved(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(nil), func(b *harness) {
			b.first.apply = func(context.Context) { time.Sleep(10 * time.Second) }
		})
		defer b.stop()
		acts, waits := firing("app", "a"), firing("app", "b")
		b.take(acts, waits)
		b.wait(time.Second)
		acts.Resolved, waits.Resolved = true, true
		if got := b.take(acts, waits); got != "resolved resolved" {
			t.Error(got)
		}
		b.wait(time.Minute)
		for _, r := range b.Snapshot().Runs {
			want := map[string]journal.Decision{"a": "verified", "b": "cancelled"}[r.Alert.Labels["app"]]
			if r.State != want {
				t.Errorf("%s is %s, want %s", r.Alert.Labels["app"], r.State, want)
			}
		}
		if _, applied := b.first.count(); applied != 1 {
			t.Errorf("done %d times", applied)
		}
		if got := b.Stats().Runs[counts.RunKey{Rule: "leaked", Action: config.ActionKillLeaked, Result: journal.DecisionCancelled}]; got != 1 {
			t.Errorf("%d cancelled runs are counted", got)
		}
	})
}

// If an alert is resolved while its run is planned, nothing is applied.
func TestResolvedWhilePlanning(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(nil), func(b *harness) { b.first.hold = make(chan struct{}) })
		defer b.stop()
		alert := firing("app", "a")
		b.take(alert)
		b.wait(time.Second)
		alert.Resolved = true
		b.take(alert)
		close(b.first.hold)
		b.wait(time.Minute)
		if r := b.Snapshot().Runs[0]; r.State != journal.DecisionCancelled {
			t.Errorf("the run is %s: %s", r.State, r.Reason)
		}
		if plans, applied := b.first.count(); plans != 1 || applied != 0 {
			t.Errorf("planned %d times, done %d times", plans, applied)
		}
	})
}
