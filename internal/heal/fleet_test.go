package heal_test

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// inFleet is a section with a fleet, in which the same alert may come again soon.
func inFleet(h *config.Healing) {
	h.Coordination.Redis = "cache"
	h.Rules[0].Cooldown = time.Minute
	h.Breaker.Failures = 100
}

// again sends the alert as a new one, and returns the state of its run after a while.
func (b *harness) again(n int, wait time.Duration) string {
	b.t.Helper()
	a := firing()
	a.StartsAt = a.StartsAt.Add(time.Duration(n) * time.Second)
	if got := b.take(a); got != "queued" {
		b.t.Fatalf("alert %d: %s", n, got)
	}
	b.wait(wait)
	return string(b.last().State)
}

// After too few were healthy nothing begins until the fleet was healthy for storm_exit: nor
// where the Redis has lost that there was a storm, nor where another exporter has seen it.
func TestStorm(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(inFleet), func(b *harness) { b.fleet = &fleet{f: heal.Fleet{Members: 10, Firing: 10}} })
		defer b.stop()
		if got := b.again(0, time.Minute); got != "fleet" || !slices.Equal(b.fleet.holds, []time.Duration{5 * time.Minute}) {
			t.Errorf("too few: %s, held %v", got, b.fleet.holds)
		}
		if s := b.Stats(); s.Storms != 1 || s.StormLeft == nil || *s.StormLeft <= 3*time.Minute || *s.StormLeft > 5*time.Minute {
			t.Errorf("%d storms counted, %v left", s.Storms, s.StormLeft)
		}
		b.fleet.f = heal.Fleet{Members: 10, Firing: 1, Repairing: 1}
		if got := b.again(1, time.Minute); got != "fleet" || !strings.Contains(b.last().Reason, "storm_exit") || len(b.fleet.holds) != 1 {
			t.Errorf("a minute later: %s, %s, held %v", got, b.last().Reason, b.fleet.holds)
		}
		b.wait(3 * time.Minute)
		b.fleet.f.Firing = 10
		if got := b.again(2, time.Minute); got != "fleet" || len(b.fleet.holds) != 2 {
			t.Errorf("again too few: %s, held %v", got, b.fleet.holds)
		}
		if s := b.Stats(); s.Storms != 2 { // the first was over
			t.Errorf("%d storms counted, want 2", s.Storms)
		}
		b.fleet.f.Firing = 1
		b.wait(3 * time.Minute)
		if got := b.again(3, time.Minute); got != "fleet" {
			t.Errorf("four minutes after the second time: %s", got)
		}
		if got := b.again(4, time.Minute); got != "verified" {
			t.Errorf("healthy for five minutes: %s", got)
		}
		if s := b.Stats(); s.StormLeft == nil || *s.StormLeft != 0 {
			t.Errorf("after the storm %v is left", s.StormLeft)
		}
		b.fleet.f.Storm = time.Minute
		b.wait(5 * time.Minute)
		if got := b.again(5, time.Minute); got != "fleet" {
			t.Errorf("in the storm of another exporter: %s", got)
		}
		if s := b.Stats(); s.Storms != 2 || s.StormLeft == nil || *s.StormLeft <= 0 {
			t.Errorf("in the storm of another exporter %d are counted, %v is left", s.Storms, s.StormLeft)
		}
		h := section(inFleet)
		h.Budgets.StormExit = 0
		b.use(h)
		b.fleet.f = heal.Fleet{Members: 10, Firing: 10}
		b.again(6, time.Minute)
		b.fleet.f.Firing = 1
		if got := b.again(7, time.Minute); got != "verified" || len(b.fleet.holds) != 2 {
			t.Errorf("without storm_exit: %s, held %v", got, b.fleet.holds)
		}
	})
}

// No storm begins in dry-run, nor where the exporters may not all be known, nor by a check
// during which a reload ends the coordination.
func TestNoStorm(t *testing.T) {
	for name, c := range map[string]struct {
		mode   string
		change func(*harness)
		first  string
		holds  int
	}{
		"dry-run":   {config.HealDryRun, func(*harness) {}, "fleet", 0},
		"not whole": {config.HealEnforce, func(b *harness) { b.fleet.noHold = errors.New("some may be missing") }, "fleet", 1},
		"a reload":  {config.HealEnforce, func(b *harness) { b.fleet.request = func() { b.use(section(nil)) } }, "fleet", 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				b := start(t, dir, section(func(h *config.Healing) { inFleet(h); h.Mode = c.mode }), func(b *harness) {
					b.fleet = &fleet{f: heal.Fleet{Members: 10, Firing: 10}}
				})
				defer b.stop()
				c.change(b)
				if got := b.again(0, time.Minute); got != c.first || len(b.fleet.holds) != c.holds {
					t.Errorf("too few: %s, held %v", got, b.fleet.holds)
				}
				b.fleet.request, b.fleet.f.Firing = nil, 1
				b.use(section(inFleet))
				want := "verified"
				if name == "a reload" { // in the storm that it began by the settings that it had
					want = "fleet"
				}
				if got := b.again(1, time.Minute); got != want {
					t.Errorf("then: %s", got)
				}
			})
		})
	}
}

// A storm that another exporter began holds here for as long as one of this exporter's, and
// is counted there only.
func TestStormOfAnother(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(inFleet), func(b *harness) {
			b.fleet = &fleet{f: heal.Fleet{Members: 10, Firing: 10}, noHold: fmt.Errorf("begun: %w", fs.ErrExist)}
		})
		defer b.stop()
		if got := b.again(0, time.Minute); got != "fleet" || len(b.fleet.holds) != 1 {
			t.Errorf("too few: %s, held %v", got, b.fleet.holds)
		}
		if s := b.Stats(); s.Storms != 0 || s.StormLeft == nil || *s.StormLeft <= 3*time.Minute {
			t.Errorf("%d storms counted, %v left", s.Storms, s.StormLeft)
		}
		b.fleet.f.Firing = 1 // and the Redis has lost the storm
		if got := b.again(1, time.Minute); got != "fleet" {
			t.Errorf("a minute later: %s", got)
		}
	})
}

// Where the fleet's Redis does not say what has helped, the action is refused as by every
// other error of it: nobody is asked to approve it.
func TestFailuresUnknown(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(inFleet), func(b *harness) {
			b.fleet = &fleet{f: heal.Fleet{Members: 10, Firing: 1, Repairing: 1}, forgot: errors.New("i/o timeout")}
		})
		defer b.stop()
		if got := b.again(0, time.Minute); got != "fleet" {
			t.Errorf("%s: %s", got, b.last().Reason)
		}
		if _, applied := b.first.count(); applied != 0 {
			t.Errorf("done %d times", applied)
		}
	})
}

// A step whose means are missing when it is applied is no failure for the fleet.
func TestUnavailableIsNotLearned(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(inFleet), func(b *harness) {
			b.fleet = &fleet{f: heal.Fleet{Members: 10, Firing: 1, Repairing: 1}}
			b.first.applyErr, b.first.done = unavailable, 0
		})
		defer b.stop()
		if got := b.again(0, 5*time.Minute); got != "verified" || !slices.Equal(b.fleet.learned, []string{"recycle_worker RespPoolLeak true"}) {
			t.Errorf("%s, learned %q", got, b.fleet.learned)
		}
	})
}

// An action that failed three times in a row for a cause is offered to a person, also after a
// restart, until it has helped once. Other causes are not concerned.
func TestLearning(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		one := func(h *config.Healing) {
			inFleet(h)
			h.Rules[0].Steps = h.Rules[0].Steps[:1]
		}
		change := func(b *harness) {
			b.fleet = &fleet{f: heal.Fleet{Members: 10, Firing: 1, Repairing: 1}}
			b.first.outcome = []action.Outcome{action.Unchanged}
			b.first.plan.Total = len(b.first.plan.Victims) // a person sees all of them
		}
		b := start(t, dir, section(one), change)
		for n := range 3 {
			if got := b.again(n, 6*time.Minute); got != "failed" {
				t.Fatalf("time %d: %s", n, got)
			}
		}
		b.stop()
		b = start(t, dir, section(one), change)
		defer b.stop()
		if got := b.again(3, time.Minute); got != "awaiting_approval" || !strings.Contains(b.last().Reason, "kill_leaked_connections failed 3 times in a row for RespPoolLeak") {
			t.Fatalf("the fourth time: %s, %s", got, b.last().Reason)
		}
		b.first.outcome = []action.Outcome{action.Verified}
		if _, applied := b.first.count(); applied != 0 {
			t.Errorf("done %d times without a person", applied)
		}
		if _, err := b.Approve(t.Context(), b.last().ID, ""); err != nil {
			t.Fatal(err)
		}
		b.wait(5 * time.Minute)
		if got := b.last().State; got != "verified" {
			t.Errorf("approved: %s", got)
		}
		if got := b.again(4, 5*time.Minute); got != "verified" {
			t.Errorf("after it has helped: %s", got)
		}
		want := []string{"kill_leaked_connections RespPoolLeak true", "kill_leaked_connections RespPoolLeak true"}
		if !slices.Equal(b.fleet.learned, want) {
			t.Errorf("the fleet has learned %q", b.fleet.learned)
		}
		b.fleet.failures = 3 // on other hosts
		if got := b.again(5, time.Minute); got != "awaiting_approval" {
			t.Errorf("failed elsewhere: %s", got)
		}
	})
}

// What failed for one cause is tried for another one.
func TestLearningByCause(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(func(h *config.Healing) {
			h.Breaker.Failures, h.Rules[0].Cooldown, h.Rules[0].Steps = 100, time.Minute, h.Rules[0].Steps[:1]
		}), func(b *harness) { b.first.outcome = []action.Outcome{action.Unchanged} })
		defer b.stop()
		for n, cause := range []string{"db_lock", "upstream", "db_lock", "upstream", "db_lock"} {
			a := firing("cause", cause)
			a.StartsAt = a.StartsAt.Add(time.Duration(n) * time.Second)
			b.take(a)
			b.wait(6 * time.Minute)
			if got := b.last().State; got != "failed" {
				t.Errorf("%d: %s", n, got)
			}
		}
		for cause, want := range map[string]string{"db_lock": "awaiting_approval", "upstream": "failed"} {
			a := firing("cause", cause)
			a.StartsAt = a.StartsAt.Add(time.Hour)
			b.take(a)
			b.wait(6 * time.Minute)
			if got := string(b.last().State); got != want {
				t.Errorf("%s: %s, want %s", cause, got, want)
			}
			b.wait(10 * time.Minute)
		}
	})
}
