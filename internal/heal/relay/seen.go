package relay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

const (
	// seenFor is how long what was taken is recognized: longer than it is resent.
	seenFor   = keepFor + 10*time.Minute
	maxSeen   = 20_000
	maxName   = 200 // bytes of what is remembered
	takenFile = "relay-taken.jsonl"
	// maxNames is how many names a line has: it stays shorter than [journal.LineSize].
	maxNames = 1000
	// maxTakenFile is more than twice what maxSeen names take.
	maxTakenFile = 16 << 20
)

// decidedOn returns the name under which it is kept when an alert was last decided on.
func decidedOn(a action.Alert) string { return "decided " + incidentOf(a) }

// seen has what was taken: items, and when alerts were decided on or resolved. It is on the
// disk too, for a start within the time in which it is resent. Only the reader uses it.
type seen struct {
	at    map[string]time.Time
	fresh map[string]bool // of these: not on the disk yet
	left  int             // names that were left out since the last look

	of    *journal.Store // of which lines is
	lines *journal.Lines
}

// takenLine is a line of the file.
type takenLine struct {
	At    time.Time `json:"at"`
	Names []string  `json:"names"`
}

// newSeen returns an empty memory.
func newSeen() *seen { return &seen{at: make(map[string]time.Time), fresh: make(map[string]bool)} }

// has reports whether a name was added, and neither left out nor pruned.
func (s *seen) has(name string) bool { _, ok := s.at[name]; return ok }

// since reports whether a name has the time t or a later one; false if it was not added.
func (s *seen) since(name string, t time.Time) bool {
	at, ok := s.at[name]
	return ok && !at.Before(t)
}

// add adds a name, or sets its time. When there are too many, it is left out: then the
// runner's own de-duplication has to do.
func (s *seen) add(name string, now time.Time) {
	if !s.has(name) && len(s.at) >= maxSeen || len(name) > maxName {
		s.left++
		return
	}
	s.at[name], s.fresh[name] = now, true
}

// overflow returns how many names were left out since the last call.
func (s *seen) overflow() int {
	n := s.left
	s.left = 0
	return n
}

// prune removes what is over. Names that were not written are kept no longer than others.
func (s *seen) prune(now time.Time) {
	maps.DeleteFunc(s.at, func(_ string, at time.Time) bool { return now.Sub(at) > seenFor })
	maps.DeleteFunc(s.fresh, func(name string, _ bool) bool { return !s.has(name) })
}

// open reads what a start before has taken, once the state directory is there. nil, and
// nothing is done, if store is the one whose file is open, or is nil and none was open;
// [journal.ErrClosed]: it is nil, and the file that was open is closed.
func (s *seen) open(store *journal.Store, now time.Time) error {
	if store == s.of {
		return nil
	}
	if s.lines != nil {
		_ = s.lines.Close()
	}
	s.of, s.lines = nil, nil
	if store == nil {
		return journal.ErrClosed
	}
	lines, err := store.OpenLines(takenFile, maxTakenFile, func(text []byte) { s.read(text, now) })
	if err != nil {
		return err
	}
	s.of, s.lines = store, lines
	return s.rewrite(now)
}

// read adds the names of a line. One that is broken has none.
func (s *seen) read(text []byte, now time.Time) {
	var l takenLine
	if json.Unmarshal(text, &l) != nil || now.Sub(l.At) > seenFor {
		return
	}
	if limit := now.Add(maxAge); l.At.After(limit) {
		l.At = limit
	}
	for _, name := range l.Names {
		switch {
		case len(name) > maxName, s.since(name, l.At):
		case !s.has(name) && len(s.at) >= maxSeen:
			s.left++
		default:
			s.at[name] = l.At
		}
	}
}

// write appends the names that are not in the file yet. With an error, such as
// [journal.ErrClosed] without a file, they stay so.
func (s *seen) write(now time.Time) error {
	if len(s.fresh) == 0 {
		return nil
	}
	if s.lines == nil {
		return journal.ErrClosed
	}
	if s.lines.Size() > maxTakenFile/2 {
		return s.rewrite(now)
	}
	return s.put(s.lines.Append, maps.Keys(s.fresh))
}

// rewrite writes the file anew, without what is over.
func (s *seen) rewrite(now time.Time) error {
	s.prune(now)
	return s.put(s.lines.Replace, maps.Keys(s.at))
}

// put writes names and their times, at most maxNames of one time in a line.
func (s *seen) put(write func([]byte) error, names iter.Seq[string]) error {
	byTime := make(map[int64][]string) // Unix ms
	for name := range names {
		at := s.at[name].UnixMilli()
		byTime[at] = append(byTime[at], name)
	}
	var out bytes.Buffer
	for at, list := range byTime {
		for chunk := range slices.Chunk(list, maxNames) {
			if err := appendTaken(&out, takenLine{At: time.UnixMilli(at), Names: chunk}); err != nil {
				return err
			}
		}
	}
	if err := write(out.Bytes()); err != nil {
		return err
	}
	clear(s.fresh)
	return nil
}

// appendTaken appends a line as JSON.
func appendTaken(out *bytes.Buffer, l takenLine) error {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("%s: %w", takenFile, err)
	}
	out.Write(b)
	out.WriteByte('\n')
	return nil
}

// close closes the file; nil if none is open, or it was closed before.
func (s *seen) close() error {
	if s.lines == nil {
		return nil
	}
	err := s.lines.Close()
	s.of, s.lines = nil, nil
	if errors.Is(err, journal.ErrClosed) {
		return nil
	}
	return err
}
