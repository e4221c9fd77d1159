package heal_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal/journaltest"
)

// While the journal cannot be written, alerts are rejected and accepted runs wait. A run
// that waited is applied once.
func TestUnwritableJournal(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(nil), func(b *harness) { b.first.hold = make(chan struct{}) })
		defer b.stop()
		b.take(firing())
		synctest.Wait() // it waits in Plan
		free := b.lockJournal()
		close(b.first.hold)
		b.wait(time.Minute)
		if _, applied := b.first.count(); applied != 0 {
			t.Error("it was done without a line in the journal")
		}
		if got := b.take(firing("app", "blog")); got != "unwritten ErrUnwritten" {
			t.Errorf("an alert without a journal: %s", got)
		}
		if got := b.take(firing("alertname", "Other")); got != "unmatched" {
			t.Errorf("an alert that needs none: %s", got)
		}
		free()
		b.wait(time.Minute)
		if _, applied := b.first.count(); applied != 1 || b.last().State != "verified" {
			t.Errorf("done %d times, %s", applied, b.last().State)
		}
		if got := b.take(firing("app", "blog")); got != "queued" {
			t.Errorf("when it is sent again: %s", got)
		}
	})
}

// An alert that is rejected because the queue is full is not stored, and is accepted when
// it is sent again.
func TestQueueFull(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(func(h *config.Healing) { h.QueueSize = 2 }), func(b *harness) {
			b.first.hold = make(chan struct{})
			b.first.plan.Cleared = true
		})
		defer b.stop()
		b.take(firing("app", "a"))
		synctest.Wait() // it is in Plan and no longer in the queue
		if got := b.take(firing("app", "b"), firing("app", "c"), firing("app", "d")); got != "queued queued queue_full ErrFull" {
			t.Error(got)
		}
		if strings.Contains(journalOf(t, dir), `"app":"d"`) {
			t.Error("the refused one is in the journal")
		}
		close(b.first.hold)
		b.wait(time.Second)
		if got := b.take(firing("app", "b"), firing("app", "c"), firing("app", "d")); got != "duplicate duplicate queued" {
			t.Error(got)
		}
	})
}

// BenchmarkTake sends notifications of one alert with a full queue: they must cause no
// write and use no memory that stays.
func BenchmarkTake(b *testing.B) {
	hold := make(chan struct{})
	r := heal.New(heal.Options{StateDir: b.TempDir()})
	build := func(config.HealingStep) (action.Action, error) {
		f := newFakeAction()
		f.hold = hold
		return f, nil
	}
	apply, err := r.Prepare(section(func(h *config.Healing) { h.QueueSize = 1 }), build)
	if err != nil {
		b.Fatal(err)
	}
	apply()
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	defer func() {
		cancel()
		close(hold)
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}()
	take := func(app string) journal.Decision {
		ds, _ := r.Take(b.Context(), []action.Alert{firing("app", app)})
		return ds[0]
	}
	for n := 0; take(fmt.Sprint("before", n)) != journal.DecisionQueueFull || r.Snapshot().Why != ""; n++ {
		time.Sleep(time.Millisecond) // until one is planned and one waits
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if d := take(fmt.Sprint("app", n)); d != journal.DecisionQueueFull {
			b.Fatal(d)
		}
	}
}

// A published run has its whole plan, also if it does not fit into a line of the journal,
// and an approval covers the victims that were shown.
func TestPublishedRunKeepsVictims(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(func(h *config.Healing) { h.Rules[0].Steps[0].Approve = true }), func(b *harness) {
			b.first.plan.Victims, b.first.plan.Total = nil, 100
			for i := range 100 {
				info := make(map[string]string)
				for k := range 12 {
					info[fmt.Sprint("key", k)] = strings.Repeat("<", 100) // six bytes each in JSON
				}
				b.first.plan.Victims = append(b.first.plan.Victims, action.Victim{Kind: "query", ID: fmt.Sprint(i), Info: info})
			}
		})
		defer b.stop()
		b.take(firing())
		b.wait(time.Second)
		before := b.last()
		if before.State != journal.DecisionAwaiting || len(before.Plan.Victims) != 100 {
			t.Fatalf("%s with %d victims", before.State, len(before.Plan.Victims))
		}
		if strings.Contains(journalOf(t, dir), `"victims"`) {
			t.Error("the line of the journal is as long as the plan")
		}
		run, err := b.Approve(t.Context(), before.ID, before.Plan.ID)
		if err != nil || len(run.Approved.Victims) != 100 {
			t.Fatalf("approved %+v, %v", run.Approved, err)
		}
		b.wait(time.Minute)
		if after := b.last(); after.State != journal.DecisionVerified || len(after.Plan.Victims) != 100 || len(before.Plan.Victims) != 100 {
			t.Errorf("%s with %d victims, before with %d", after.State, len(after.Plan.Victims), len(before.Plan.Victims))
		}
	})
}

// With a broken line in its journal an exporter starts, counts the line, and heals.
func TestBrokenJournal(t *testing.T) {
	for name, text := range journaltest.BrokenLines() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			try(t, os.WriteFile(filepath.Join(dir, "journal.jsonl"), []byte(text), 0o600))
			synctest.Test(t, func(t *testing.T) {
				b := start(t, dir, section(nil), nil)
				defer b.stop()
				if got, s := b.take(firing("pod", "new")), b.Stats(); got != "queued" || s.BadLines != 1 {
					t.Errorf("%s, %d bad", got, s.BadLines)
				}
			})
		})
	}
}

// A cooldown from a line with a time in the future ends, after any number of restarts.
func TestFutureEnds(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		at := time.Now().Add(900 * time.Hour)
		try(t, os.WriteFile(filepath.Join(dir, "journal.jsonl"), journaltest.Lines(journaltest.RunLine("r-1", "verified", at, at)), 0o600))
		for _, want := range []string{"cooldown", "cooldown", "queued"} {
			b := start(t, dir, section(nil), nil)
			if got := b.take(firing("pod", want)); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			b.wait(2*time.Minute + 40*time.Second)
			b.stop()
		}
	})
}
