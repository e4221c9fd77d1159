package history

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history/files"
)

const (
	// retryAfter is how long after a fault the state directory is tried again, and
	// heldPeriod how often it is looked whether it is still the same one.
	retryAfter, heldPeriod = time.Minute, 10 * time.Second
)

// storage writes segments to the state directory.
type storage struct {
	path    string
	dir     *files.Dir // nil: it is not open
	file    *os.File   // of the segment that is appended to; nil: none
	number  uint64     // of it
	written int        // bytes of it
	retry   time.Time  // when to try again after a fault
	looked  time.Time  // when the directory was last looked at
	names   []uint64   // the files that are there, in their order
	loaded  bool       // they were read
}

// open opens the state directory if it is closed and, at the first time, loads what an
// earlier exporter has left. false: there is none, or it cannot be used now.
func (h *History) open(now time.Time) bool {
	st := &h.store
	if st.dir != nil {
		return true
	}
	if st.path == "" || now.Before(st.retry) {
		return false
	}
	dir, err := files.Open(st.path, "history")
	if err == nil {
		st.dir, st.looked = dir, now
		err = h.opened(now)
	}
	if err != nil {
		h.fault(now, err)
		return false
	}
	return true
}

// opened loads or resumes the history in the directory that was opened. Queries read by a
// descriptor of their own, which stays open after a fault, until there is another one.
func (h *History) opened(now time.Time) error {
	reading, err := h.store.dir.Reader()
	if err != nil {
		return err
	}
	if h.store.loaded {
		err = h.resume(reading)
	} else {
		err = h.load(reading, now)
	}
	if err != nil {
		return errors.Join(err, reading.Close())
	}
	return nil
}

// load reads the latest segments in the state directory and sets damaged files aside. One
// that cannot be set aside is logged, and is no error.
func (h *History) load(reading *files.Dir, now time.Time) error {
	st := &h.store
	h.mu.Lock()
	most := h.memory.settings.MaxBytes
	h.mu.Unlock()
	l, err := loadFiles(st.dir, most)
	if err != nil {
		return err
	}
	st.names, st.loaded = l.numbers, true
	for i, n := range l.bad {
		h.log.Warn("Damaged history file found, renaming it", "file", fileName(n), "err", l.errs[i])
		if err := st.dir.SetAside(fileName(n), "history"); err != nil {
			h.log.Warn("Damaged history file not renamed", "file", fileName(n), "err", err)
			st.names = slices.DeleteFunc(st.names, func(x uint64) bool { return x == n })
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reading = reading
	h.memory.counts.Damaged += uint64(len(l.bad))
	h.memory.adopt(l)
	h.memory.evictLoaded(now)
	return nil
}

// resume continues with the directory after a fault, or with another one that took its
// place: the segments are dropped that are not in memory and whose files are not there, or
// have another size.
func (h *History) resume(reading *files.Dir) error {
	st := &h.store
	l, err := loadFiles(st.dir, 0) // the names alone
	if err != nil {
		return err
	}
	st.names = l.numbers
	var gone []uint64
	for _, s := range h.view() {
		if s.data != nil {
			continue
		}
		switch n, err := st.dir.Size(fileName(s.number)); {
		case errors.Is(err, fs.ErrNotExist):
			gone = append(gone, s.number)
		case err != nil:
			return err
		case n != int64(s.size): // somebody may be writing it: it is left alone
			gone = append(gone, s.number)
			st.names = slices.DeleteFunc(st.names, func(x uint64) bool { return x == s.number })
		}
	}
	if len(gone) > 0 {
		h.log.Warn("Files of the history are gone", "dir", st.path, "files", len(gone))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = h.reading.Close() // a query that reads a file has that open
	h.reading = reading
	h.memory.forget(gone)
	return nil
}

// save writes to the state directory what is not there yet, and removes the files of
// dropped segments. If it cannot, it counts that, and a later call writes it.
func (h *History) save(now time.Time) {
	if !h.open(now) {
		if h.o.StateDir != "" {
			h.mu.Lock()
			h.memory.counts.Unsaved++
			h.mu.Unlock()
		}
		return
	}
	segments := h.view()
	if err := h.store.save(segments, now); err != nil {
		h.fault(now, err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.stored {
		h.log.Debug("The history is stored", "dir", h.store.path)
	}
	h.stored, h.why = true, nil
	h.memory.release(segments[:max(len(segments)-1, 0)])
}

// save writes the segments that are not stored, and removes the files of those that are
// gone. After an error the caller must close st.
func (st *storage) save(segments []segment, now time.Time) error {
	if now.Sub(st.looked) >= heldPeriod {
		st.looked = now
		if err := st.dir.Held(); err != nil {
			return err
		}
	}
	for i := range segments {
		if segments[i].stored {
			continue
		}
		if err := st.write(&segments[i], i == len(segments)-1); err != nil {
			return err
		}
	}
	return st.sweep(segments)
}

// write writes what the file of a segment does not have yet. Of one that is not the last it
// also makes sure that the file is still there, because it will be dropped from memory.
func (st *storage) write(s *segment, last bool) error {
	if st.file == nil || st.number != s.number {
		return st.begin(s)
	}
	n, err := st.file.Write(s.data[st.written:])
	st.written += n
	if err != nil || last || st.has(s.number, len(s.data)) {
		return err
	}
	return st.begin(s)
}

// has reports whether the directory has the file of a segment, in its size; false also if
// that cannot be read.
func (st *storage) has(number uint64, size int) bool {
	n, err := st.dir.Size(fileName(number))
	return err == nil && n == int64(size)
}

// begin writes the file of a segment as a whole, and keeps it open for later samples.
func (st *storage) begin(s *segment) error {
	if st.file != nil {
		_ = st.file.Close()
		st.file = nil
	}
	f, err := st.dir.Replace(fileName(s.number), s.data)
	if err != nil {
		return err
	}
	st.file, st.number, st.written = f, s.number, len(s.data)
	if !slices.Contains(st.names, s.number) {
		st.names = append(st.names, s.number)
	}
	return nil
}

// sweep removes the files of segments that were dropped. It ends with the error of the
// first one that it cannot remove; the next call tries again.
func (st *storage) sweep(segments []segment) error {
	var err error
	st.names = slices.DeleteFunc(st.names, func(n uint64) bool {
		if err != nil || slices.ContainsFunc(segments, func(s segment) bool { return s.number == n }) {
			return false
		}
		err = st.dir.Remove(fileName(n))
		return err == nil
	})
	return err
}

// fault closes the state directory for a while and logs a new error. The samples that are
// in memory stay there, and are written later.
func (h *History) fault(now time.Time, err error) {
	h.store.close()
	h.store.retry = now.Add(retryAfter)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.why == nil || h.why.Error() != err.Error() {
		level := h.log.Warn
		if errors.Is(err, fs.ErrNotExist) {
			level = h.log.Info // nobody made one
		}
		level("The history is kept in memory only, and is lost when the exporter stops", "dir", h.store.path, "err", err, "remedy", files.Remedy(h.store.path, err))
	}
	h.stored, h.why = false, err
	h.memory.counts.Unsaved++
	for _, s := range h.memory.segments { // what is there by then is not known
		s.stored = s.data == nil
	}
}

// close closes the file and the directory.
func (st *storage) close() {
	if st.file != nil {
		_ = st.file.Close()
	}
	if st.dir != nil {
		_ = st.dir.Close()
	}
	st.file, st.dir, st.names = nil, nil, nil
}
