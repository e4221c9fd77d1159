package history

import (
	"slices"
	"time"
)

// memory holds the samples that are kept. It has no lock: [History] locks.
type memory struct {
	settings Settings
	segments []*segment // the oldest first; the last one is appended to
	enc      *encoder   // of that one
	next     uint64     // number of the next segment
	counts   Counts
}

// openSegment returns the segment to which a sample at a time is appended: the last one or,
// if that is full, too old or cannot be continued, or the clock was set back by more than 2
// s, a new one.
func (m *memory) openSegment(at time.Time) *segment {
	if n := len(m.segments); n > 0 && m.enc != nil {
		s := m.segments[n-1]
		if len(s.data) < m.segmentBytes()-recordRoom && at.Sub(s.from) < m.settings.Keep/segmentsOfTime && !at.Before(s.to.Add(-setBack)) && !m.enc.full() {
			return s
		}
		s.data = slices.Clip(slices.Clone(s.data))
	}
	s := &segment{number: m.next, data: append(make([]byte, 0, recordRoom), magic...)}
	m.next++
	m.segments, m.enc = append(m.segments, s), newEncoder()
	return s
}

// segmentBytes returns the maximum size of a segment, in bytes; never less than 8 KiB.
func (m *memory) segmentBytes() int { return max(m.settings.MaxBytes/segmentsOfSize, 2*recordRoom) }

// evict drops the segments that are too old, and the oldest ones beyond the maximum size,
// whose samples it counts. It leaves room for one segment more: a damaged file that was
// set aside.
func (m *memory) evict(now time.Time) {
	outdated := func(s *segment) bool {
		return s.samples == 0 || s.to.Before(now.Add(-m.settings.Keep)) || s.from.After(now.Add(future))
	}
	m.segments = slices.DeleteFunc(m.segments, func(s *segment) bool { return s != m.segments[len(m.segments)-1] && outdated(s) })
	for m.bytes() > m.settings.MaxBytes-m.segmentBytes() && len(m.segments) > 1 {
		m.counts.Evicted += uint64(m.segments[0].samples) //nolint:gosec // a number of samples
		m.segments = slices.Delete(m.segments, 0, 1)
	}
}

// release drops from memory the segments that were stored: written is how they were then,
// without the last one, which is appended to.
func (m *memory) release(written []segment) {
	for i := range written {
		w := &written[i]
		k := slices.IndexFunc(m.segments, func(s *segment) bool { return s.number == w.number })
		if w.data != nil && k >= 0 && len(m.segments[k].data) == len(w.data) {
			m.segments[k].release()
		}
	}
}

// unread counts, once a segment, that its file could not be read. It returns true at the
// first time.
func (m *memory) unread(s *segment) bool {
	if s.unread {
		return false
	}
	s.unread = true
	m.counts.Unread++
	return true
}

// forget drops and counts segments whose files are gone.
func (m *memory) forget(gone []uint64) {
	m.segments = slices.DeleteFunc(m.segments, func(s *segment) bool {
		if s.data != nil || !slices.Contains(gone, s.number) {
			return false
		}
		m.unread(s)
		return true
	})
}

// bytes returns the size of all segments, in bytes; the last one counts as full.
func (m *memory) bytes() (n int) {
	for i, s := range m.segments {
		if i < len(m.segments)-1 {
			n += s.length()
		} else {
			n += max(cap(s.data), m.segmentBytes()) // it will be as large
		}
	}
	return n
}

// adopt puts the segments that were read from files before those in memory, which get
// higher numbers.
func (m *memory) adopt(l *loaded) {
	first := uint64(1)
	if n := len(l.numbers); n > 0 {
		first = l.numbers[n-1] + 1
	}
	if len(m.segments) == 0 && l.last != nil && len(l.segments) > 0 && l.segments[len(l.segments)-1].number == first-1 {
		m.enc = l.last.encoder()
	}
	for i, s := range m.segments {
		s.number = first + uint64(i) //nolint:gosec // an index
	}
	m.next = first + uint64(len(m.segments))
	m.segments = append(l.segments, m.segments...)
}

// evictLoaded drops what is too old or too large of the segments that were read from
// files: unlike evict, also the last one.
func (m *memory) evictLoaded(now time.Time) {
	if n := len(m.segments); n > 0 {
		if last := m.segments[n-1]; m.settings.Keep <= 0 || last.to.Before(now.Add(-m.settings.Keep)) || last.from.After(now.Add(future)) {
			m.segments, m.enc = m.segments[:n-1], nil
		}
	}
	if len(m.segments) > 0 {
		m.evict(now)
	}
}
