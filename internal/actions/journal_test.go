package actions_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/actions"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

func openStore(t *testing.T, dir string) *actions.Store {
	t.Helper()
	s, err := actions.OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func entry(id string, d actions.Decision) actions.Entry {
	return actions.Entry{At: time.Unix(1, 0).UTC(), Decision: d, Run: &actions.Run{ID: id, State: d}}
}

func replay(t *testing.T, s *actions.Store) (ids []string, bad int) {
	t.Helper()
	bad, err := s.Replay(func(e actions.Entry) { ids = append(ids, e.Run.ID+" "+string(e.Decision)) })
	if err != nil {
		t.Fatal(err)
	}
	return ids, bad
}

// A line that was not written to its end is cut off, and what follows is whole.
func TestTornLine(t *testing.T) {
	for _, torn := range []string{`{"at":"2026`, `{"at":"2026-01-02T03:04:05Z","decision":"queued"}`, strings.Repeat("x", 9000)} {
		dir := t.TempDir()
		s := openStore(t, dir)
		if err := s.Append(entry("a", "queued")); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "journal.jsonl")
		before, _ := os.ReadFile(file)
		if err := os.WriteFile(file, append(bytes.Clone(before), torn...), 0o600); err != nil {
			t.Fatal(err)
		}
		s = openStore(t, dir)
		if err := s.Append(entry("b", "queued")); err != nil {
			t.Fatal(err)
		}
		if ids, bad := replay(t, s); fmt.Sprint(ids) != "[a queued b queued]" || bad != 0 {
			t.Errorf("after %.20q: %v, %d bad", torn, ids, bad)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
}

// The journal takes the room of two files, and a run that has not ended is in it
// however long ago it began.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	s.SetSize(4096)
	if err := s.Append(entry("open", "running")); err != nil {
		t.Fatal(err)
	}
	for i := range 400 {
		if err := s.Append(entry(fmt.Sprint(i), "cleared")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Append(entry("open", "verifying")); err != nil {
		t.Fatal(err)
	}
	for i := range 400 {
		if err := s.Append(entry(fmt.Sprint(i), "cleared")); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "journal*"))
	if err != nil || len(files) != 2 {
		t.Errorf("files %v, %v", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() > 4096+1024 {
			t.Errorf("%s has %d bytes, %v", f, info.Size(), err)
		}
	}
	last := ""
	ids, _ := replay(t, s)
	for _, id := range ids {
		if strings.HasPrefix(id, "open ") {
			last = id
		}
	}
	if last != "open verifying" {
		t.Errorf("the open run is %q", last)
	}
}

// Nothing is done while the journal cannot be written: neither is an alert taken,
// nor does a run that was taken before act. It waits, and is done once.
func TestUnwritableJournal(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(nil), func(b *bench) { b.first.hold = make(chan struct{}) })
		defer b.stop()
		b.take(firing())
		synctest.Wait() // it waits in Plan
		free := b.FillDisk()
		close(b.first.hold)
		b.wait(time.Minute)
		if _, applied := b.first.count(); applied != 0 {
			t.Error("it was done without a line in the journal")
		}
		if got := b.take(firing("app", "blog")); !strings.HasPrefix(got, "unwritten (") {
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

// The queue is full: nothing of the alert is remembered, and sent again it is taken.
func TestQueueFull(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(func(h *config.Healing) { h.QueueSize = 2 }), func(b *bench) {
			b.first.hold = make(chan struct{})
			b.first.plan.Cleared = true
		})
		defer b.stop()
		b.take(firing("app", "a"))
		synctest.Wait() // it is in Plan and no longer in the queue
		if got := b.take(firing("app", "b"), firing("app", "c"), firing("app", "d")); got != "queued queued queue_full (the queue is full)" {
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

// FuzzReadJournal: whatever the file holds, reading ends, gives only entries with
// a decision, and what it gives can be written and read again.
func FuzzReadJournal(f *testing.F) {
	f.Add([]byte(`{"at":"2026-01-02T03:04:05Z","decision":"queued","run":{"id":"r-1","state":"queued"}}` + "\n"))
	f.Add([]byte("\n\n{}\n" + strings.Repeat("x", 300<<10) + "\n{\"decision\":\"x\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := 0
		bad, err := actions.ReadJournal(bytes.NewReader(data), func(e actions.Entry) {
			n++
			if e.Decision == "" {
				t.Error("an entry without a decision")
			}
			if _, err := json.Marshal(e); err != nil {
				t.Error(err)
			}
		})
		if err != nil || n+bad > bytes.Count(data, []byte("\n"))+1 {
			t.Errorf("%d entries and %d bad lines of %d, %v", n, bad, bytes.Count(data, []byte("\n")), err)
		}
	})
}

// BenchmarkTake is a notification of one alert with a full queue, as a storm sends
// them: it must cost neither a write nor memory that stays.
func BenchmarkTake(b *testing.B) {
	hold := make(chan struct{})
	r := actions.New(actions.Options{StateDir: b.TempDir(), Build: func(config.HealingStep) (action.Action, error) {
		f := newFake()
		f.hold = hold
		return f, nil
	}})
	apply, err := r.Prepare(section(func(h *config.Healing) { h.QueueSize = 1 }))
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
	take := func(app string) actions.Decision {
		ds, _ := r.Take(b.Context(), []action.Alert{firing("app", app)})
		return ds[0]
	}
	for n := 0; take(fmt.Sprint("before", n)) != actions.DecisionQueueFull || r.Snapshot().Why != ""; n++ {
		time.Sleep(time.Millisecond) // until one is planned and one waits
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if d := take(fmt.Sprint("app", n)); d != actions.DecisionQueueFull {
			b.Fatal(d)
		}
	}
}
