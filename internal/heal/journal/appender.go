package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// appender appends lines to the file of the journal in use, and begins the next one.
// It is used by one goroutine at a time: [journal] locks.
type appender struct {
	dir  *stateDir
	size int64 // of a file before the next is begun

	file   *os.File         // nil: closed
	out    io.Writer        // file
	length int64            // of the file, in whole lines
	torn   bool             // part of a line that failed may stand after them
	older  int64            // bytes of the file before
	open   map[string]Entry // the last line of each run that has not ended
	guards func() []Entry   // the guards, with which a file begins; nil: with the open runs
}

// newAppender opens the journal of a state directory, makes it if there is none, and cuts
// a torn last line off. size is the length in bytes at which it is rotated.
func newAppender(dir *stateDir, size int64) (*appender, error) {
	a := &appender{dir: dir, size: size, open: make(map[string]Entry)}
	f, err := dir.open(journalFile, os.O_RDWR|os.O_CREATE|os.O_APPEND, maxJournal)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("journal: %w", err), f.Close())
	}
	a.setFile(f, info.Size())
	if old, err := dir.root.Lstat(olderFile); err == nil {
		a.older = old.Size()
	}
	if err := a.cutTornLine(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return a, nil
}

// bytes returns the size of both files in bytes.
func (a *appender) bytes() int64 { return a.older + a.length }

// setFile makes f, of that length in bytes, the file that lines are appended to.
func (a *appender) setFile(f *os.File, length int64) {
	a.file, a.out, a.length, a.torn = f, f, length, false
}

// cutTornLine removes the last line of the file if it was not written completely.
func (a *appender) cutTornLine() error {
	for at := a.length; at > 0; {
		n := min(at, 4096)
		b := make([]byte, n)
		if _, err := a.file.ReadAt(b, at-n); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return a.truncate(at - n + int64(i) + 1)
		}
		at -= n
	}
	return a.truncate(0)
}

// truncate cuts the file off at a length.
func (a *appender) truncate(length int64) error {
	if length == a.length {
		return nil
	}
	if err := a.file.Truncate(length); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	a.length = length
	return nil
}

// checkHeld returns nil if the lock is held, and the file is the one that was opened, of
// the length that was written; the rest of a line that failed is cut off. ErrClosed: it is
// closed. ErrLost: it was replaced or changed by others.
func (a *appender) checkHeld() error {
	if a.file == nil {
		return ErrClosed
	}
	if err := a.dir.checkHeld(); err != nil {
		return err
	}
	if err := a.dir.checkSame(journalFile, a.file); err != nil {
		return err
	}
	info, err := a.file.Stat()
	switch {
	case err != nil:
		return err
	case info.Size() == a.length:
		return nil
	case info.Size() > a.length && a.torn:
		if err := a.file.Truncate(a.length); err != nil {
			return err
		}
		a.torn = false
		return nil
	}
	return fmt.Errorf("%w: %s was changed by another process", ErrLost, journalFile)
}

// write appends lines and syncs them. ErrLost: the directory or the file was replaced or
// changed by others, before or meanwhile. Another error: nothing was written, or a torn
// line that is cut off later, unless only the check after the write failed: then all are
// written.
func (a *appender) write(data []byte) error {
	if err := a.checkHeld(); err != nil {
		return err
	}
	if a.length+int64(len(data)) > a.size && a.length > 0 {
		a.beginFile()
	}
	if a.length > 2*a.size { // no next file could be begun
		return errors.New("journal: cannot create the next file")
	}
	_, err := a.out.Write(data)
	if err == nil {
		err = a.file.Sync()
	}
	if err != nil {
		a.torn = true
		if info, e := a.file.Stat(); e == nil && info.Size() > a.length {
			e = a.file.Truncate(a.length)
			a.torn = e != nil
			err = errors.Join(err, e)
		}
		return fmt.Errorf("journal: %w", err)
	}
	a.length += int64(len(data))
	return a.checkHeld()
}

// track records which runs the next file must begin with. It follows what is written, not
// the state in memory: a line with less than the one before it would let an action be
// done twice.
func (a *appender) track(e Entry) {
	switch {
	case e.Run == nil: // no transition
	case e.Run.Terminal():
		delete(a.open, e.Run.ID)
	default:
		a.open[e.Run.ID] = e
	}
}

// beginFile starts the next file with the guards and the runs that have not ended, so
// that neither is lost when the file before the last is removed. If that fails, the file
// in use continues to grow.
func (a *appender) beginFile() {
	open := slices.SortedFunc(maps.Values(a.open), func(x, y Entry) int { return x.Run.Created.Compare(y.Run.Created) })
	var entries []Entry
	if a.guards != nil {
		entries = a.guards()
		entries[len(entries)-1].Guards.Open = len(open)
	}
	data, err := encode(append(entries, open...))
	if err != nil {
		return
	}
	next, root := journalFile+suffixNew, a.dir.root
	f, err := a.dir.write(next, data)
	if err != nil {
		return
	}
	if root.Rename(journalFile, olderFile) != nil {
		_ = errors.Join(f.Close(), root.Remove(next))
		return
	}
	if root.Rename(next, journalFile) != nil {
		_ = errors.Join(f.Close(), root.Rename(olderFile, journalFile))
		return
	}
	_ = errors.Join(a.dir.self.Sync(), a.file.Close())
	a.older = a.length
	a.setFile(f, int64(len(data)))
}

// encode returns entries as lines. A run whose line would be longer than [LineSize] is
// written without its evidence and the victims of its plan, even if it is still too long.
func encode(entries []Entry) ([]byte, error) {
	var out bytes.Buffer
	for _, e := range entries {
		line, err := json.Marshal(e)
		if err == nil && len(line) > LineSize && e.Run != nil {
			short := *e.Run
			short.Facts = nil
			if short.Plan != nil { // the run is published, and its plan with it
				plan := *short.Plan
				plan.Victims = nil
				short.Plan = &plan
			}
			e.Run = &short
			line, err = json.Marshal(e)
		}
		if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		out.Write(line)
		out.WriteByte('\n')
	}
	return out.Bytes(), nil
}
