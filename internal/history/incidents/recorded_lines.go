package incidents

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history/files"
	"github.com/resp-exporter/resp-exporter/internal/history/records"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// change queues the line of an incident that has changed, unless it is not open yet.
func (s *recorded) change(t *tracked) {
	if t.open {
		s.tell(t)
	}
}

// tell queues the line of an incident as it is now.
func (s *recorded) tell(t *tracked) {
	x := records.OfIncident(&t.incident)
	t.told, t.dirty = t.seen, false
	s.queue(pending{id: x.ID, at: t.seen}, line{Incident: x, Seen: &t.seen})
}

// tellLater queues a line about an open incident if one is due, once per [tellPeriod]:
// the whole incident if its numbers or chain became worse, else that it was still seen.
func (s *recorded) tellLater(t *tracked, now time.Time) {
	wait := tellPeriod
	if now.Sub(t.incident.Start) < earlyTime {
		wait = tellEarly
	}
	switch {
	case !t.open || now.Sub(t.told) < wait:
		return
	case t.dirty:
		s.tell(t)
		return
	}
	t.told = now
	s.queue(pending{id: t.incident.ID + " seen", at: now}, seenLine{t.incident.ID, now.UTC()})
}

// tellWords queues the line of the last words of a worker.
func (s *recorded) tellWords(w *model.LastWords) {
	s.queue(pending{words: true, at: w.Ended}, records.OfLastWords(w))
}

// queue adds a line to those that wait to be written, in place of an earlier one with the
// same id. If there are too many, the oldest is dropped and counted.
func (s *recorded) queue(p pending, v any) {
	if !s.stores {
		return
	}
	text, err := json.Marshal(v)
	if err != nil || len(text) >= files.MaxLine {
		s.counts.Lines++
		return
	}
	p.text = append(text, '\n')
	if p.id != "" {
		s.pending = slices.DeleteFunc(s.pending, func(x pending) bool { return x.id == p.id })
	}
	if len(s.pending) >= maxPending {
		s.pending = slices.Delete(s.pending, 0, 1)
		s.counts.Lines++
	}
	s.pending = append(s.pending, p)
}

// openLines returns the lines of the open incidents, in no order, with which a new file
// begins.
func (s *recorded) openLines() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for _, t := range s.apps {
		if t.open {
			_ = e.Encode(line{Incident: records.OfIncident(&t.incident), Seen: &t.seen}) // a buffer
		}
	}
	return b.Bytes()
}

// restore adds an incident of an earlier exporter. One that was open stays open if it was
// seen lately, else it ends when it was last seen.
func (s *recorded) restore(x *line, now time.Time) {
	m := x.Model()
	if !m.End.IsZero() {
		s.keep(m)
		return
	}
	seen := m.Start
	if x.Seen != nil {
		seen = latest(*x.Seen, m.Start)
	}
	m.Interrupted = true
	if m.Ends == nil {
		m.Ends = make(map[string]int)
	}
	t := &tracked{incident: m, open: true, looks: looksOfHarm, seen: now}
	if now.Sub(seen) > longestGap || len(s.apps) >= maxApps || s.apps[m.App] != nil {
		t.seen = seen
		t.incident.End = seen
		s.tell(t)
		s.keep(t.incident)
		return
	}
	s.apps[m.App] = t // the earlier exporter has counted it
	s.tell(t)
}

// tellAgain queues all kept incidents, or last words, again: their file was set aside.
func (s *recorded) tellAgain(incidents, words bool) {
	if incidents {
		for i := range s.closed {
			s.tell(&tracked{incident: s.closed[i], seen: s.closed[i].End})
		}
	}
	if words {
		for i := range s.words {
			s.tellWords(&s.words[i])
		}
	}
}

// keep adds an incident that has ended to those that are kept, in place of the oldest if
// there are [maxKept].
func (s *recorded) keep(x model.Incident) {
	if len(s.closed) == maxKept {
		s.closed = slices.Delete(s.closed, 0, 1)
	}
	s.closed = append(s.closed, x)
}

// keepWords adds last words to those that are kept, in place of the oldest if there are
// [maxKept].
func (s *recorded) keepWords(w model.LastWords) {
	if len(s.words) == maxKept {
		s.words = slices.Delete(s.words, 0, 1)
	}
	s.words = append(s.words, w)
}
