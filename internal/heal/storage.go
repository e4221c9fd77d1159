package heal

import (
	"cmp"
	"errors"
	"log/slog"
	"sync"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/guard"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// storage is the state directory with its journal: opened once it is needed, and off
// where it cannot be used.
type storage struct {
	dir  string
	size int64 // of a file of the journal, in bytes
	log  *slog.Logger

	mu       sync.Mutex // never held while a file is read or written
	store    *journal.Store
	openErr  error          // why there is none
	lost     *journal.Store // it was replaced; kept locked until the end
	writeErr error          // of the last write
}

// open opens the state directory and returns it. nil: it cannot be used, is open already,
// or was lost.
func (s *storage) open() *journal.Store {
	s.mu.Lock()
	opened, before := s.store != nil || s.lost != nil, s.openErr
	s.mu.Unlock()
	if opened {
		return nil
	}
	store, err := journal.Open(s.dir, cmp.Or(s.size, journal.FileSize))
	if err == nil {
		return store
	}
	if before == nil || before.Error() != err.Error() {
		s.log.Error("Healing is off: state directory unusable", "dir", s.dir, "err", err)
	}
	s.fail(err)
	return nil
}

// fail records why the directory cannot be used, for the status.
func (s *storage) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.openErr = err
}

// use sets the directory that is written to.
func (s *storage) use(store *journal.Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store, s.openErr, s.writeErr = store, nil, nil
}

// close closes the directory. The caller must not call open afterwards, which would open it.
func (s *storage) close() error {
	s.mu.Lock()
	store := cmp.Or(s.store, s.lost)
	s.store, s.openErr = nil, journal.ErrClosed
	s.mu.Unlock()
	if store == nil {
		return nil
	}
	return store.Close()
}

// current returns the directory that is in use; nil if there is none, or it was lost.
func (s *storage) current() *journal.Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.store
}

// append writes entries to the journal as its Append does. Each error wraps ErrUnwritten, also without a directory.
func (s *storage) append(entries ...journal.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	store := s.current()
	if store == nil {
		return ErrUnwritten
	}
	err := store.Append(entries...)
	s.wrote(store, err)
	if err != nil {
		return errors.Join(ErrUnwritten, err)
	}
	return nil
}

// setPause writes a pause; nil removes it. ErrUnwritten: there is no directory.
func (s *storage) setPause(p *journal.Pause) error {
	store := s.current()
	if store == nil {
		return ErrUnwritten
	}
	return store.SetPause(p)
}

// wrote records how a write ended. If the directory was replaced, healing is off until a
// restart.
func (s *storage) wrote(store *journal.Store, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store != store || errors.Is(err, journal.ErrClosed) {
		return
	}
	before := s.writeErr
	s.writeErr = err
	switch {
	case errors.Is(err, journal.ErrLost):
		s.store, s.lost, s.openErr = nil, store, err
		s.log.Error("Healing is off until a restart: state directory replaced", "dir", s.dir, "err", err)
	case err != nil && before == nil:
		s.log.Error("Healing is off: journal not writable", "dir", s.dir, "err", err)
	case err == nil && before != nil:
		s.log.Info("Journal is writable again", "dir", s.dir)
	}
}

// check records whether the directory is still the one that was opened and, after a write
// that failed, whether another one succeeds.
func (s *storage) check() {
	s.mu.Lock()
	store, failed := s.store, s.writeErr != nil
	s.mu.Unlock()
	if store == nil {
		return
	}
	err := store.CheckHeld()
	if err == nil && failed {
		err = store.Probe()
	}
	if err != nil || failed {
		s.wrote(store, err)
	}
}

// mode returns the mode in which runs act now: that of the configuration, but off while
// the settings need a journal and none is open.
func (s *storage) mode(set *guard.Settings) string {
	if s.current() == nil && set.Used() {
		return config.HealOff
	}
	return set.Mode
}

// shownMode returns the mode in force: that of the configuration or, with why, off while the state directory is
// not open or the journal cannot be written. err is that of the directory or of the last write; nil also before
// the directory is first opened. Without rules and token it is always that of the configuration.
func (s *storage) shownMode(set *guard.Settings) (mode, why string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !set.Used():
		return set.Mode, "", nil
	case s.store == nil && s.openErr == nil:
		return config.HealOff, "the state directory cannot be used", nil
	case s.store == nil:
		return config.HealOff, "the state directory cannot be used: " + s.openErr.Error(), s.openErr
	case s.writeErr != nil:
		return config.HealOff, "the journal cannot be written: " + s.writeErr.Error(), s.writeErr
	}
	return set.Mode, "", nil
}

// bytes returns the size of the journal's files in bytes; 0 if none is in use.
func (s *storage) bytes() int64 {
	if store := s.current(); store != nil {
		return store.Bytes()
	}
	return 0
}
