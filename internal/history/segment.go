package history

import (
	"errors"
	"io"
	"time"
)

// segment is the samples of a few minutes, as they are in its file. The last segment is in
// memory, and so are those that are not stored; the others are in their files alone.
type segment struct {
	number   uint64 // of its file; later ones have higher ones
	data     []byte // is only appended to; nil: it is in its file alone
	size     int    // of its file, where data is nil
	from, to time.Time
	samples  int
	stored   bool // it is in its file as a whole
	unread   bool // it is counted in Counts.Unread
}

// add adds one to the samples of the segment, and sets its last time.
func (s *segment) add(at time.Time) {
	if s.samples == 0 {
		s.from, s.to = at, at
	}
	s.to = at
	s.samples++
}

// length returns the size of the segment in bytes, in memory or in its file.
func (s *segment) length() int {
	if s.data == nil {
		return s.size
	}
	return len(s.data)
}

// release drops the data of a segment from memory, which must be in its file as a whole.
func (s *segment) release() { s.size, s.data, s.stored = len(s.data), nil, true }

// parseSegment returns the sound beginning of a file as a segment, and a decoder that has
// read it. The error tells how that ends: nil if all is sound, [errTorn] or [errDamaged].
// The decoder is nil if the file does not begin with magic, else not, even if no sample is
// sound.
func parseSegment(number uint64, file []byte) (*segment, *decoder, error) {
	d := newDecoder()
	if err := d.reset(file); err != nil {
		return &segment{number: number}, nil, err
	}
	s, err := measure(number, file, d.next, &d.records)
	return s, d, err
}

// skimSegment returns the same as [parseSegment] without a decoder. Of each record it reads
// the checksum and the time only, so that it needs no memory.
func skimSegment(number uint64, file []byte) (*segment, error) {
	var r recordReader
	if err := r.reset(file); err != nil {
		return &segment{number: number}, err
	}
	last := int64(0)
	return measure(number, file, func() (at time.Time, err error) {
		last, err = r.skim(last)
		return time.UnixMilli(last), err
	}, &r)
}

// measure returns a segment with the samples that next returns, one at a call, from r, up
// to the first error; that is returned, too, but nil for io.EOF.
func measure(number uint64, file []byte, next func() (time.Time, error), r *recordReader) (*segment, error) {
	s := &segment{number: number}
	for {
		at, err := next()
		if err != nil {
			s.data = file[:r.read:r.read]
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return s, err
		}
		s.add(at)
	}
}

// overlaps reports whether the time from the segment's first to its last sample overlaps
// that from one time to another, all included; false without samples.
func (s *segment) overlaps(from, to time.Time) bool {
	return s.samples > 0 && !s.to.Before(from) && !s.from.After(to)
}

// each calls visit with each sample of a segment's data from one time to another, both
// included, and returns how many samples of any time the data has before the first damage,
// at which it ends.
func (d *decoder) each(data []byte, from, to time.Time, visit func(at time.Time, d *decoder)) (samples int) {
	if d.reset(data) != nil {
		return 0
	}
	for {
		at, err := d.next()
		if err != nil {
			return samples
		}
		samples++
		if !at.Before(from) && !at.After(to) {
			visit(at, d)
		}
	}
}
