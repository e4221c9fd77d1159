package actions

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// The files of the state directory.
const (
	journalFile = "journal.jsonl"
	olderFile   = "journal.1.jsonl"
	pauseFile   = "pause.json"
	lockFile    = "lock"
)

// Errors of [OpenStore].
var (
	ErrLocked = errors.New("another exporter uses the state directory")
	errClosed = errors.New("the state directory is closed")
)

// Pause is an order of a person to begin nothing new.
type Pause struct {
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
}

// on tells whether the pause holds at a moment.
func (p *Pause) on(now time.Time) bool { return p != nil && now.Before(p.Until) }

// Store is the state directory: the journal and the pause, held by one exporter.
type Store struct {
	*journal

	dir  string
	lock *os.File
}

// OpenStore takes the directory, which it makes if its parent is there. It
// fails when another exporter holds it, or when it cannot be written.
func OpenStore(dir string) (*Store, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { //nolint:gosec // a descriptor fits an int
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrLocked
		}
		return nil, fmt.Errorf("lock the state directory: %w", err)
	}
	j, err := openJournal(dir)
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	return &Store{journal: j, dir: dir, lock: lock}, nil
}

// Close gives the directory back.
func (s *Store) Close() error { return errors.Join(s.close(), s.lock.Close()) }

// Pause reads the pause; nil: there is none. One that cannot be read counts as
// one without an end known, for an hour: a person wanted it.
func (s *Store) Pause(now time.Time) *Pause {
	data, err := os.ReadFile(filepath.Join(s.dir, pauseFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var p Pause
	if err != nil || json.Unmarshal(data, &p) != nil || p.Until.IsZero() {
		return &Pause{Reason: "pause.json cannot be read", By: "the exporter", Since: now, Until: now.Add(time.Hour)}
	}
	return &p
}

// SetPause writes the pause, or removes it, so that it survives a crash.
func (s *Store) SetPause(p *Pause) error {
	file := filepath.Join(s.dir, pauseFile)
	if p == nil {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return syncDir(s.dir)
	}
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	next := file + ".new"
	if err := writeSynced(next, append(data, '\n')); err != nil {
		return err
	}
	if err := os.Rename(next, file); err != nil {
		return err
	}
	return syncDir(s.dir)
}

// writeSynced writes a whole file, and it is on the disk when that returns.
func writeSynced(file string, data []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes a rename in a directory last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
