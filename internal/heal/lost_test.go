package heal_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal/journaltest"
)

// An exporter whose directory was removed stops acting, in each state of a run, and only
// the exporter with the new directory acts.
func TestLostWhileActing(t *testing.T) {
	for name, replace := range journaltest.Replacements() {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			synctest.Test(t, func(t *testing.T) {
				b := start(t, dir, section(nil), func(b *harness) {
					b.first.apply = func(context.Context) { time.Sleep(30 * time.Second) }
					b.first.outcome = []action.Outcome{action.Unchanged}
				})
				defer b.stop()
				b.take(firing(), firing("app", "blog"))
				b.wait(time.Second) // one acts, the other waits
				try(t, replace(dir))
				b.wait(6 * time.Second)
				if s, m := b.Snapshot(), b.Stats(); s.Mode != config.HealOff || s.Why == "" || !errors.Is(s.Err, journal.ErrLost) || m.Mode != config.HealOff {
					t.Errorf("mode %q, %q: %s", s.Mode, m.Mode, s.Why)
				}
				if got := b.take(firing("app", "third")); got != "unwritten ErrUnwritten" {
					t.Errorf("an alert: %s", got)
				}
				b.wait(10 * time.Minute)
				_, first := b.first.count()
				_, next := b.next.count()
				if first != 1 || next != 0 {
					t.Errorf("done %d and %d times, want 1 and 0", first, next)
				}
				if err := b.Pause(journal.Pause{Reason: "x", Until: time.Now().Add(time.Hour)}); err == nil {
					t.Error("a pause was written somewhere")
				}
				try(t, os.RemoveAll(dir))
				b.wait(time.Minute)
				if _, err := os.Stat(dir); err == nil {
					t.Error("the directory was made anew")
				}
			})
		})
	}
}

// try fails the test if one of the calls failed.
func try(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
