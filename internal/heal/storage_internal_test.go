package heal

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// openStorage returns a storage whose directory is open.
func openStorage(t *testing.T) (s *storage, store *journal.Store) {
	t.Helper()
	s = &storage{dir: filepath.Join(t.TempDir(), "state"), log: slog.New(slog.DiscardHandler)}
	if store = s.open(); store == nil {
		t.Fatal(s.openErr)
	}
	t.Cleanup(func() { _ = store.Close() })
	s.use(store)
	return s, store
}

// After close the directory is not in use, is not opened again, and another exporter
// may lock it.
func TestStorageClose(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]bool{"in use": false, "replaced": true} {
		s, store := openStorage(t)
		if lose {
			s.wrote(store, journal.ErrLost)
			if s.current() != nil || !errors.Is(s.openErr, journal.ErrLost) {
				t.Fatalf("%s: %v", name, s.openErr)
			}
		}
		if _, err := journal.Open(s.dir, journal.FileSize); !errors.Is(err, journal.ErrLocked) {
			t.Fatalf("%s, before: %v", name, err)
		}
		if err := s.close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if s.current() != nil || !errors.Is(s.openErr, journal.ErrClosed) {
			t.Errorf("%s: in use is %t, %v", name, s.current() != nil, s.openErr)
		}
		if err := s.append(journal.Entry{Decision: journal.DecisionQueued}); !errors.Is(err, ErrUnwritten) {
			t.Errorf("%s: append: %v", name, err)
		}
		next, err := journal.Open(s.dir, journal.FileSize)
		if err != nil {
			t.Fatalf("%s: still locked: %v", name, err)
		}
		if err := next.Close(); err != nil {
			t.Error(err)
		}
	}
	var none storage
	if err := none.close(); err != nil || !errors.Is(none.openErr, journal.ErrClosed) {
		t.Errorf("never opened: %v, %v", err, none.openErr)
	}
	s, store := openStorage(t)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err == nil {
		t.Error("the error of a directory that is closed already is lost")
	}
}

// check notices that the directory was replaced, keeps the error of a failed write
// until a write succeeds, and leaves a healthy storage as it is.
func TestStorageCheck(t *testing.T) {
	t.Parallel()
	var none storage
	if none.check(); none.store != nil || none.openErr != nil || none.writeErr != nil {
		t.Errorf("never opened: %+v", &none)
	}

	s, store := openStorage(t)
	written := func() int64 {
		t.Helper()
		info, err := os.Stat(filepath.Join(s.dir, "journal.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	if s.check(); s.current() != store || s.writeErr != nil || written() != 0 {
		t.Errorf("healthy: %v, %d bytes written", s.writeErr, written())
	}

	failed := errors.New("disk full")
	s.wrote(store, failed)
	if s.check(); s.current() != store || s.writeErr != nil || written() != 1 {
		t.Errorf("writable again: %v, %d bytes written", s.writeErr, written())
	}

	s.wrote(store, failed)
	if err := os.Chmod(s.dir, 0o777); err != nil { //nolint:gosec // others may write to it: refused
		t.Fatal(err)
	}
	if s.check(); s.current() != store || s.writeErr == nil || errors.Is(s.writeErr, failed) || errors.Is(s.writeErr, journal.ErrLost) {
		t.Errorf("others may write to it: %v", s.writeErr)
	}
	if err := os.Chmod(s.dir, 0o700); err != nil { //nolint:gosec // a directory
		t.Fatal(err)
	}

	if s.check(); s.writeErr != nil {
		t.Fatalf("writable again: %v", s.writeErr)
	}
	if err := os.Rename(s.dir, s.dir+".old"); err != nil {
		t.Fatal(err)
	}
	if s.check(); s.current() != nil || s.lost != store || !errors.Is(s.openErr, journal.ErrLost) {
		t.Errorf("moved away: in use is %t, %v", s.current() != nil, s.openErr)
	}
}

// fleetLeases records the leases that are released.
type fleetLeases struct {
	Leases

	err      error
	released []Lease
	late     error // of the context of Release
	deadline bool
}

// Release implements [Leases].
func (f *fleetLeases) Release(ctx context.Context, l Lease) error {
	f.released, f.late = append(f.released, l), ctx.Err()
	_, f.deadline = ctx.Deadline()
	return f.err
}

// A lease is released in this process and among the exporters, also while the exporter
// ends; another run's stays.
func TestReleaseLease(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]*fleetLeases{"no fleet": nil, "a fleet": {}, "a fleet that fails": {err: errors.New("down")}} {
		s := newState(Options{Logger: slog.New(slog.DiscardHandler)})
		if f != nil {
			s.current.Store(&current{Settings: s.settings(), leases: f})
		}
		for key, run := range map[string]string{"mine": "r-1", "theirs": "r-2"} {
			if !s.runs.claim(key, run) {
				t.Fatal("not claimed")
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s.release(ctx, Lease{Action: "a", Key: "mine", Run: "r-1"})
		if s.release(ctx, Lease{Action: "a", Key: "theirs", Run: "r-1"}); s.runs.claim("theirs", "r-3") {
			t.Errorf("%s: another run's target is free", name)
		}
		if !s.runs.claim("mine", "r-3") {
			t.Errorf("%s: the target is not free", name)
		}
		if f == nil {
			continue
		}
		if len(f.released) != 2 || f.released[0] != (Lease{Action: "a", Key: "mine", Run: "r-1"}) || f.late != nil || !f.deadline {
			t.Errorf("%s: released %v, context %v, with a deadline: %t", name, f.released, f.late, f.deadline)
		}
	}
}
