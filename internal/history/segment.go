package history

import (
	"errors"
	"io"
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
