package history

import (
	"errors"
	"io"
	"slices"
	"time"
)

// segment is the samples of a few minutes: what is in a file, and in memory as it is
// there.
type segment struct {
	number   uint64 // of its file; later ones have higher ones
	data     []byte // is only appended to
	from, to time.Time
	samples  int
	stored   bool // it is in its file as a whole
}

// add adds what one sample has.
func (s *segment) add(at time.Time) {
	if s.samples == 0 {
		s.from, s.to = at, at
	}
	s.to = at
	s.samples++
}

// parseSegment returns what a file holds, as far as it is sound, and what comes after
// that: nil, [errTorn] or [errDamaged]. The decoder has read what is sound.
func parseSegment(number uint64, file []byte) (*segment, *decoder, error) {
	s := &segment{number: number}
	d, err := newDecoder(file)
	if err != nil {
		return s, nil, err
	}
	for {
		at, err := d.next()
		if err != nil {
			s.data = file[:d.read:d.read]
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return s, d, err
		}
		s.add(at)
	}
}

// each calls visit with each sample of the segment from one time to another.
func (s *segment) each(from, to time.Time, visit func(at time.Time, d *decoder)) {
	if s.samples == 0 || s.to.Before(from) || s.from.After(to) {
		return
	}
	d, err := newDecoder(s.data)
	if err != nil {
		return
	}
	for {
		at, err := d.next()
		if err != nil {
			return
		}
		if !at.Before(from) && !at.After(to) {
			visit(at, d)
		}
	}
}

// segmentBytes returns how many bytes a segment has at most. h.mu is held.
func (h *History) segmentBytes() int { return max(h.settings.MaxBytes/segmentsOfSize, 2*recordRoom) }

// evict drops the segments that are too old, and the oldest ones beyond the size: room for
// one more stays, as a damaged file may be kept beside them. h.mu is held.
func (h *History) evict(now time.Time) {
	outdated := func(s *segment) bool {
		return s.samples == 0 || s.to.Before(now.Add(-h.settings.Keep)) || s.from.After(now.Add(future))
	}
	h.segments = slices.DeleteFunc(h.segments, func(s *segment) bool { return s != h.segments[len(h.segments)-1] && outdated(s) })
	for h.bytes() > h.settings.MaxBytes-h.segmentBytes() && len(h.segments) > 1 {
		h.counts.Evicted += uint64(h.segments[0].samples) //nolint:gosec // a number of samples
		h.segments = slices.Delete(h.segments, 0, 1)
	}
}

// bytes returns the size of all segments. h.mu is held.
func (h *History) bytes() (n int) {
	for i, s := range h.segments {
		if i < len(h.segments)-1 {
			n += len(s.data)
		} else {
			n += max(cap(s.data), h.segmentBytes()) // it will be as large
		}
	}
	return n
}

// view returns the segments as they are now.
func (h *History) view() []segment {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]segment, len(h.segments))
	for i, s := range h.segments {
		out[i] = *s
		out[i].data = slices.Clip(s.data)
	}
	return out
}
