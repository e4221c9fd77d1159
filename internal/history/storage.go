package history

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history/files"
)

const (
	filePrefix = "history-"
	fileDigits = 10
	maxFile    = 64 << 20 // bytes of a file that is read
	// maxLoaded is how many files are read.
	maxLoaded = 256
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

func fileName(number uint64) string { return fmt.Sprintf("%s%0*d", filePrefix, fileDigits, number) }

// fileNumber returns the number of a file by its name.
func fileNumber(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, filePrefix)
	if !ok || len(digits) != fileDigits {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

// loaded is what the files of a state directory hold.
type loaded struct {
	segments []*segment // the oldest first
	last     *decoder   // of the last one, if it can be continued
	numbers  []uint64   // of all files
	bad      []uint64   // of those that are damaged, or may not be read
	errs     []error    // why
}

// loadFiles reads the files of a state directory, the latest ones up to a size.
func loadFiles(dir *files.Dir, most int) (*loaded, error) {
	names, err := dir.Names()
	if err != nil {
		return nil, err
	}
	out := &loaded{}
	for _, name := range names {
		if n, ok := fileNumber(name); ok {
			out.numbers = append(out.numbers, n)
		}
	}
	size := 0
	for i, n := range slices.Backward(out.numbers) {
		if len(out.numbers)-i > maxLoaded || size >= most {
			break
		}
		content, err := dir.Read(fileName(n), maxFile)
		if err != nil {
			out.bad, out.errs = append(out.bad, n), append(out.errs, err)
			continue
		}
		s, d, err := parseSegment(n, content)
		s.stored = err == nil
		if errors.Is(err, errDamaged) {
			out.bad, out.errs = append(out.bad, n), append(out.errs, fmt.Errorf("%s: %w", fileName(n), err))
		} else if i == len(out.numbers)-1 {
			out.last = d
		}
		if s.samples > 0 {
			size += len(s.data)
			out.segments = append(out.segments, s)
		}
	}
	slices.Reverse(out.segments)
	return out, nil
}

// open opens the state directory, and reads at the first time what an earlier exporter
// has left there; false: there is none, or it cannot be used.
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
		err = h.load(now)
	}
	if err != nil {
		h.fault(now, err)
		return false
	}
	return true
}

// load reads the files of the state directory.
func (h *History) load(now time.Time) error {
	st := &h.store
	h.mu.Lock()
	most := h.settings.MaxBytes
	h.mu.Unlock()
	if st.loaded {
		most = 0 // the names alone
	}
	l, err := loadFiles(st.dir, most)
	if err != nil {
		return err
	}
	st.names = l.numbers
	if st.loaded {
		return nil
	}
	st.loaded = true
	for i, n := range l.bad {
		h.log.Warn("A file of the history is damaged and is set aside", "file", fileName(n), "err", l.errs[i])
		if err := st.dir.SetAside(fileName(n), "history"); err != nil {
			h.log.Warn("It cannot be set aside", "file", fileName(n), "err", err)
			st.names = slices.DeleteFunc(st.names, func(x uint64) bool { return x == n })
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts.Damaged += uint64(len(l.bad))
	h.adopt(l)
	h.evictLoaded(now)
	return nil
}

// adopt puts the segments of files before those in memory. h.mu is held.
func (h *History) adopt(l *loaded) {
	first := uint64(1)
	if n := len(l.numbers); n > 0 {
		first = l.numbers[n-1] + 1
	}
	if len(h.segments) == 0 && l.last != nil && len(l.segments) > 0 && l.segments[len(l.segments)-1].number == first-1 {
		h.enc = l.last.encoder()
	}
	for i, s := range h.segments {
		s.number = first + uint64(i) //nolint:gosec // an index
	}
	h.next = first + uint64(len(h.segments))
	h.segments = append(l.segments, h.segments...)
}

// evictLoaded drops what is too old or too much, also the last segment. h.mu is held.
func (h *History) evictLoaded(now time.Time) {
	if n := len(h.segments); n > 0 {
		if last := h.segments[n-1]; h.settings.Keep <= 0 || last.to.Before(now.Add(-h.settings.Keep)) || last.from.After(now.Add(future)) {
			h.segments, h.enc = h.segments[:n-1], nil
		}
	}
	if len(h.segments) > 0 {
		h.evict(now)
	}
}

// save writes what is not in the state directory yet, and removes the files of segments
// that were dropped.
func (h *History) save(now time.Time) {
	if !h.open(now) {
		if h.o.StateDir != "" {
			h.mu.Lock()
			h.counts.Unsaved++
			h.mu.Unlock()
		}
		return
	}
	err := h.store.save(h.view(), now)
	if err != nil {
		h.fault(now, err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.stored {
		h.log.Debug("The history is stored", "dir", h.store.path)
	}
	h.stored, h.why = true, nil
	for i, s := range h.segments {
		s.stored = s.stored || i < len(h.segments)-1
	}
}

// save writes the segments that are not stored. After an error it is closed.
func (st *storage) save(segments []segment, now time.Time) error {
	if now.Sub(st.looked) >= heldPeriod {
		st.looked = now
		if err := st.dir.Held(); err != nil {
			return err
		}
	}
	for i := range segments {
		s := &segments[i]
		switch {
		case s.stored:
		case st.file != nil && st.number == s.number:
			n, err := st.file.Write(s.data[st.written:])
			if st.written += n; err != nil {
				return err
			}
		default:
			if err := st.begin(s); err != nil {
				return err
			}
		}
	}
	return st.sweep(segments)
}

// begin writes the file of a segment as a whole.
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

// sweep removes the files of which there is no segment any more.
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

// fault closes the state directory for a while. The samples stay in memory, and are
// written later.
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
		level("The history is kept in memory only", "dir", h.store.path, "err", err)
	}
	h.stored, h.why = false, err
	h.counts.Unsaved++
	for _, s := range h.segments { // what is there by then is not known
		s.stored = false
	}
}

// close closes what is open.
func (st *storage) close() {
	if st.file != nil {
		_ = st.file.Close()
	}
	if st.dir != nil {
		_ = st.dir.Close()
	}
	st.file, st.dir, st.names = nil, nil, nil
}
