package history

import (
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history/files"
)

// view returns a copy of the segments, which later samples do not change.
func (h *History) view() []segment {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]segment, len(h.memory.segments))
	for i, s := range h.memory.segments {
		out[i] = *s
		out[i].data = slices.Clip(s.data)
	}
	return out
}

// directory returns the directory with the segments that are in files alone; nil: there
// was none yet.
func (h *History) directory() *files.Dir {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reading
}

// each calls visit with each sample from one time to another, both included, and begin
// before those of each segment, whose rows have numbers of their own. It reads one file at
// a time. What cannot be read is left out, and counted.
func (h *History) each(from, to time.Time, begin func(), visit func(at time.Time, d *decoder)) {
	d := newDecoder()
	var file []byte
	for _, s := range h.view() {
		if !s.overlaps(from, to) {
			continue
		}
		begin()
		if s.data != nil {
			d.each(s.data, from, to, visit)
			continue
		}
		var err error
		limit := s.size
		if h.o.StateDir == "" { // of Read: the exporter may have appended to it since
			limit = maxFile
		}
		file, err = h.directory().ReadTo(file[:0], fileName(s.number), int64(limit))
		if d.each(file[:min(len(file), s.size)], from, to, visit) < s.samples {
			h.missed(s.number, err)
		}
	}
}

// missed counts, once a segment, that its file could not be read, or not as a whole, which
// a nil error says. A segment whose file is gone is dropped.
func (h *History) missed(number uint64, err error) {
	if errors.Is(err, fs.ErrClosed) { // another directory took its place at this moment
		return
	}
	if err == nil {
		err = errDamaged
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.IndexFunc(h.memory.segments, func(s *segment) bool { return s.number == number })
	if i < 0 { // it was dropped meanwhile, and its file removed
		return
	}
	if h.memory.unread(h.memory.segments[i]) {
		h.log.Warn("A file of the history cannot be read", "file", fileName(number), "err", err)
	}
	if errors.Is(err, fs.ErrNotExist) {
		h.memory.segments = slices.Delete(h.memory.segments, i, i+1)
	}
}
