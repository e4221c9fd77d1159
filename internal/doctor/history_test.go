package doctor_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// What the state directory has of the history, and what is damaged.
func TestHistory(t *testing.T) {
	t.Parallel()
	write := func(t *testing.T, dir, name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		fill  func(t *testing.T, dir string)
		want  []finding
		facts int
	}{
		"empty":   {func(*testing.T, string) {}, nil, 1},
		"missing": {func(t *testing.T, dir string) { t.Helper(); _ = os.Remove(dir) }, []finding{{"", collectors.NotFound, false}}, 0},
		"open to others": {func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // what is refused
				t.Fatal(err)
			}
		}, []finding{{"", collectors.Permission, false}}, 0},
		"samples and words": {func(t *testing.T, dir string) {
			t.Helper()
			synctest.Test(t, func(t *testing.T) { // a second and a half of a clock that waits for the history
				ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
				defer cancel()
				h := history.New(history.Options{
					Settings: history.Settings{Keep: time.Hour, MaxBytes: 1 << 20}, StateDir: dir,
					Threads: func() []model.WorkerThreads {
						return []model.WorkerThreads{{App: "shop", Slot: "0", PID: 7, Threads: []model.Thread{{TID: 7, On: "sleep", Seconds: 3}}}}
					},
				})
				if err := h.Run(ctx); err != nil {
					t.Fatal(err)
				}
			})
			write(t, dir, "last-words.jsonl", `{"app": "shop", "ended": "2026-03-01T03:12:00Z"}`+"\n", 0o600)
		}, nil, 2},
		"damaged": {func(t *testing.T, dir string) {
			t.Helper()
			write(t, dir, "history-0000000001", "no segment", 0o600)
			write(t, dir, "history-0000000002", "of others", 0o666)
			write(t, dir, "incidents.jsonl", "{}\n", 0o600)
		}, []finding{{"", collectors.OK, false}, {"", collectors.OK, false}, {"", collectors.OK, false}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := subject(t)
			s.Flags.StateDir = private(t)
			c.fill(t, s.Flags.StateDir)
			section, _ := sectionOf(t, s, "history")
			status := "ok"
			if len(c.want) > 0 {
				status = "note"
			}
			expect(t, section, status, c.want...)
			if len(section.Facts) != c.facts {
				t.Errorf("facts %q", section.Facts)
			}
		})
	}
}
