package journal

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// longestPause bounds the time that a pause in the file may still last.
const longestPause = 30 * 24 * time.Hour

// Pause is the order of a person that nothing new begins.
type Pause struct {
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
}

// Active reports whether the pause is in force at a moment; nil never is.
func (p *Pause) Active(now time.Time) bool { return p != nil && now.Before(p.Until) }

// Store is the state directory: the journal and the pause, held by one exporter.
type Store struct {
	*journal

	dir *stateDir
}

// Open opens and locks the directory at path, which it makes if its parent is there.
// [ErrLocked]: another exporter holds it. It is an error too if another user can shape
// the directory or a file in it. size is after how many bytes a file of the journal is
// followed by the next; see [FileSize].
func Open(path string, size int64) (*Store, error) {
	dir, err := openState(path)
	if err != nil {
		return nil, err
	}
	j, err := openJournal(dir, size)
	if err != nil {
		return nil, errors.Join(err, dir.close())
	}
	return &Store{journal: j, dir: dir}, nil
}

// Close closes the files and unlocks the directory.
func (s *Store) Close() error { return errors.Join(s.close(), s.dir.close()) }

// Pause returns the stored pause, which may be over, and lasts 30 days from now at most;
// nil if there is none. One that cannot be read, or has no end, is returned as a pause of
// an hour from now: a person wanted one.
func (s *Store) Pause(now time.Time) *Pause {
	p, err := s.readPause()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil || p.Until.IsZero():
		return &Pause{Reason: "pause.json cannot be read", By: "the exporter", Since: now, Until: now.Add(time.Hour)}
	}
	p.Reason, p.By = text.Clip(p.Reason, action.MaxText), text.Clip(p.By, action.MaxValue)
	if p.Since.After(now) {
		p.Since = now
	}
	if p.Until.Sub(now) > longestPause {
		p.Until = now.Add(longestPause)
	}
	return &p
}

// readPause returns the pause that was saved. The error wraps [fs.ErrNotExist] if there is
// none.
func (s *Store) readPause() (p Pause, err error) {
	f, err := s.dir.open(pauseFile, os.O_RDONLY, maxPause)
	if err != nil {
		return p, err
	}
	defer func() { _ = f.Close() }()
	data, err := safefile.ReadAll(f, maxPause)
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(data, &p)
}

// SetPause stores a pause so that it survives a crash; nil removes the stored one.
// [ErrLost]: the directory was replaced, and nothing is written.
func (s *Store) SetPause(p *Pause) error {
	if err := s.dir.checkHeld(); err != nil {
		return err
	}
	if p == nil {
		if err := s.dir.root.Remove(pauseFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return s.dir.self.Sync()
	}
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	f, err := s.dir.write(pauseFile+suffixNew, append(data, '\n'))
	if err != nil {
		return err
	}
	if err := errors.Join(f.Close(), s.dir.root.Rename(pauseFile+suffixNew, pauseFile)); err != nil {
		return err
	}
	return s.dir.self.Sync()
}
