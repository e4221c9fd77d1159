package heal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// withOtherRule returns a section with a second rule, whose runs have nothing to do.
func withOtherRule(change func(*config.Healing)) config.Healing {
	return section(func(h *config.Healing) {
		h.Rules[0].Cooldown = time.Hour
		noise := config.NewHealingStep(config.ActionRecycle)
		h.Rules = append(h.Rules, config.HealingRule{
			Name: "noise", Match: map[string]string{"alertname": "Noise"}, Cooldown: time.Minute, Steps: []config.HealingStep{noise},
		})
		if change != nil {
			change(h)
		}
	})
}

// fillJournal starts runs until the journal has been rotated often enough to replace both
// files twice.
func fillJournal(b *harness) {
	b.t.Helper()
	budget := b.section.Budgets.MaxRuns
	b.setBudget(1000) // the noise uses none, and must be accepted too
	defer b.setBudget(budget)
	for i := range 80 {
		b.take(firing("alertname", "Noise", "pod", fmt.Sprint("noise", i)))
		b.wait(time.Second)
	}
	for _, name := range []string{"journal.jsonl", "journal.1.jsonl"} {
		data, err := os.ReadFile(filepath.Join(b.dir, name))
		if err != nil || strings.Contains(string(data), `"rule":"leaked","action"`) {
			b.t.Errorf("%s still has the run: %v", name, err)
		}
	}
}

// Each guard is unchanged after its lines were rotated out of the journal.
func TestRotationKeepsGuards(t *testing.T) {
	for name, c := range map[string]struct {
		section func(*config.Healing)
		change  func(*harness) // of the action, before anything happens
		before  func(*harness)
		alert   action.Alert
		want    string
	}{
		"cooldown": {nil, nil, func(b *harness) { b.take(firing()); b.wait(time.Minute) }, firing("pod", "b"), "cooldown"},
		"duplicate": {func(h *config.Healing) { h.Rules[0].Cooldown = time.Hour }, func(b *harness) { b.first.plan.Cleared = true },
			func(b *harness) { b.take(firing()); b.wait(time.Minute) }, firing(), "duplicate"},
		"budget": {func(h *config.Healing) { h.Budgets.MaxRuns = 1 }, nil,
			func(b *harness) { b.take(firing()); b.wait(time.Minute) }, firing("app", "blog"), "budget"},
		"breaker": {func(h *config.Healing) {
			h.Breaker.Failures, h.Rules[0].Cooldown, h.Rules[0].Steps = 2, time.Minute, h.Rules[0].Steps[:1]
		}, func(b *harness) { b.first.outcome = []action.Outcome{action.Unchanged} }, func(b *harness) {
			for _, pod := range []string{"a", "b"} {
				b.take(firing("pod", pod))
				b.wait(3 * time.Minute)
			}
		}, firing("app", "blog"), "breaker"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				b := start(t, dir, withOtherRule(c.section), func(b *harness) {
					b.next.plan.Cleared, b.journalSize = true, 8<<10
					if c.change != nil {
						c.change(b)
					}
				})
				c.before(b)
				fillJournal(b)
				b.stop()
				for range 2 { // what is carried over is carried over again
					b = start(t, dir, withOtherRule(c.section), func(b *harness) { b.next.plan.Cleared, b.journalSize = true, 8<<10 })
					if got := b.take(c.alert); got != c.want {
						t.Errorf("got %s, want %s", got, c.want)
					}
					if s := b.Stats(); s.BadLines != 0 {
						t.Errorf("%d bad lines", s.BadLines)
					}
					fillJournal(b)
					b.stop()
				}
			})
		})
	}
}

// A rule needs a person also after a rotation, until the alert is resolved.
func TestRotationKeepsNeed(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		quiet := func(b *harness) {
			b.next.plan.Cleared, b.first.plan.Refused, b.journalSize = true, refused, 8<<10
		}
		b := start(t, dir, withOtherRule(nil), quiet)
		b.take(firing())
		b.wait(time.Second)
		for _, want := range []bool{true, true, false} {
			if !want {
				a := firing()
				a.Resolved = true
				b.take(a)
			}
			fillJournal(b)
			b.stop()
			b = start(t, dir, withOtherRule(nil), quiet)
			if got := b.Stats().NeedsHuman["leaked"]; got != want {
				t.Errorf("calls for a person: %t, want %t", got, want)
			}
		}
		b.stop()
	})
}

// An alert that starts no run is counted, and no line is written.
func TestDecisionsWithoutRunAreNotWritten(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(func(h *config.Healing) { h.Identity = config.Identity{Label: "instance", Value: "web-1"} }), nil)
		defer b.stop()
		b.take(firing("instance", "web-1"))
		b.wait(time.Minute)
		before := journalOf(t, dir)
		for i := range 40 {
			var list []action.Alert
			for k := range 120 {
				pod := fmt.Sprint(i, "-", k)
				list = append(list, firing("alertname", "Other", "instance", "web-1", "pod", pod), firing("instance", "web-2", "pod", pod), firing("instance", "web-1", "pod", pod))
			}
			list = append(list, firing("instance", "web-1"))
			b.take(list...)
		}
		if err := b.Pause(journal.Pause{Reason: "deploy", Until: time.Now().Add(time.Hour)}); err != nil {
			t.Error(err)
		}
		b.take(firing("instance", "web-1", "app", "blog"))
		if journalOf(t, dir) != before {
			t.Error("lines were written")
		}
		for d, want := range map[journal.Decision]uint64{"unmatched": 4800, "not_mine": 4800, "cooldown": 4800, "duplicate": 40, "paused": 1, "queued": 1} {
			if got := b.Stats().Alerts[d]; got != want {
				t.Errorf("%s is counted %d times, want %d", d, got, want)
			}
		}
	})
}

// Plans in dry-run are limited for each rule, and leave the other rules their places in the
// queue and on the page.
func TestDryRunIsBounded(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, withOtherRule(func(h *config.Healing) { h.Mode, h.QueueSize = config.HealDryRun, 10 }), nil)
		defer b.stop()
		got := make(map[string]int)
		var list []action.Alert
		for i := range 100 {
			list = append(list, firing("alertname", "Noise", "app", fmt.Sprint("app", i)))
		}
		for d := range strings.FieldsSeq(b.take(list...)) {
			got[d]++
		}
		if got["queued"] != 9 || b.take(firing()) != "queued" {
			t.Errorf("%v; one place is for the other rule", got)
		}
		b.wait(time.Minute)
		for i := range 300 {
			got[b.take(firing("alertname", "Noise", "app", fmt.Sprint("more", i)))]++
			b.wait(time.Second)
		}
		if got["queued"] != 60 || got["budget"] != 249 {
			t.Errorf("%v; want 60 plans", got)
		}
		if d := b.take(firing("app", "blog")); d != "queued" {
			t.Errorf("the other rule: %s", d)
		}
		b.wait(time.Hour)
		if d := b.take(firing("alertname", "Noise", "app", "later")); d != "queued" {
			t.Errorf("an hour later: %s", d)
		}
	})
}

// New runs of a rule replace only runs of the same rule in the list.
func TestShownRunsAreShared(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, withOtherRule(nil), func(b *harness) { b.next.plan.Cleared, b.journalSize = true, 8<<10 })
		defer b.stop()
		b.take(firing())
		b.wait(time.Minute)
		for i := range 300 {
			b.take(firing("alertname", "Noise", "app", fmt.Sprint("app", i)))
			b.wait(time.Second)
		}
		runs := b.Snapshot().Runs
		if n := len(runs); n != 200 || runs[n-1].Rule != "leaked" {
			t.Errorf("%d runs, the oldest of %s", n, runs[n-1].Rule)
		}
	})
}
