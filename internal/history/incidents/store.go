package incidents

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history/files"
	"github.com/resp-exporter/resp-exporter/internal/history/records"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	incidentsName = "incidents"
	wordsName     = "last-words"
	// incidentBytes and wordBytes are the sizes of the files in the state directory.
	incidentBytes, wordBytes = 4 << 20, 1 << 20
	// tellPeriod is how often it is written that an incident is still open, with its
	// numbers; tellEarly the same in its first earlyTime.
	tellPeriod, tellEarly, earlyTime = time.Minute, 10 * time.Second, 5 * time.Minute
	// writePeriod is how often lines are written, maxPending how many may wait.
	writePeriod = time.Second
	maxPending  = 1024
)

// seenLine says that an incident was open at a time.
type seenLine struct {
	ID   string    `json:"id"`
	Seen time.Time `json:"seen"`
}

// line is one line of incidents.jsonl: an incident as it is now, or a [seenLine].
type line struct {
	records.Incident

	Seen *time.Time `json:"seen,omitempty"`
}

// pending is a line that is to be written.
type pending struct {
	words bool // to the file of last words
	id    string
	at    time.Time
	text  []byte
}

// store is the files.
type store struct {
	once      sync.Once
	mu        sync.Mutex // guards what follows; held while files are written
	incidents *files.Lines
	words     *files.Lines
}

func newStore(dir string) store {
	if dir == "" {
		return store{}
	}
	open := func(kind string) func() (*files.Dir, error) {
		return func() (*files.Dir, error) { return files.Open(dir, kind) }
	}
	return store{
		incidents: files.NewLines(open(incidentsName), incidentsName, incidentBytes),
		words:     files.NewLines(open(wordsName), wordsName, wordBytes),
	}
}

func (s *store) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range []*files.Lines{s.incidents, s.words} {
		if l != nil {
			l.Close()
		}
	}
}

// change has a line of an incident written, with what changes until then.
func (r *Recorder) change(t *tracked) {
	if t.open {
		r.tell(t)
	}
}

// tell has a line of an incident written. r.mu is held.
func (r *Recorder) tell(t *tracked) {
	x := records.OfIncident(&t.incident)
	t.told, t.dirty = t.seen, false
	r.queue(pending{id: x.ID, at: t.seen}, line{Incident: x, Seen: &t.seen})
}

// tellLater has it written that an incident is still open, and its numbers and its chain if
// they are worse by now; not at each look. r.mu is held.
func (r *Recorder) tellLater(t *tracked, now time.Time) {
	wait := tellPeriod
	if now.Sub(t.incident.Start) < earlyTime {
		wait = tellEarly
	}
	switch {
	case !t.open || now.Sub(t.told) < wait:
		return
	case t.dirty:
		r.tell(t)
		return
	}
	t.told = now
	r.queue(pending{id: t.incident.ID + " seen", at: now}, seenLine{t.incident.ID, now.UTC()})
}

// tellWords has last words written. r.mu is held.
func (r *Recorder) tellWords(w *model.LastWords) {
	r.queue(pending{words: true, at: w.Ended}, records.OfLastWords(w))
}

// queue adds a line, in place of an earlier one of the same incident. r.mu is held.
func (r *Recorder) queue(p pending, v any) {
	if r.store.incidents == nil {
		return
	}
	text, err := json.Marshal(v)
	if err != nil || len(text) >= files.MaxLine {
		r.counts.Lines++
		return
	}
	p.text = append(text, '\n')
	if p.id != "" {
		r.pending = slices.DeleteFunc(r.pending, func(x pending) bool { return x.id == p.id })
	}
	if len(r.pending) >= maxPending {
		r.pending = slices.Delete(r.pending, 0, 1)
		r.counts.Lines++
	}
	r.pending = append(r.pending, p)
}

// write writes the lines that wait.
func (r *Recorder) write(now time.Time) {
	r.mu.Lock()
	list := r.pending
	r.pending = nil
	first := r.openLines()
	r.mu.Unlock()
	if len(list) == 0 {
		return
	}
	var incidents, words []byte
	for _, p := range list {
		if p.words {
			words = append(words, p.text...)
		} else {
			incidents = append(incidents, p.text...)
		}
	}
	r.store.mu.Lock()
	err := errors.Join(
		appendLines(r.store.incidents, now, incidents, func() []byte { return first }),
		appendLines(r.store.words, now, words, func() []byte { return nil }))
	r.store.mu.Unlock()
	r.wrote(err, list)
}

func appendLines(l *files.Lines, now time.Time, lines []byte, first func() []byte) error {
	if len(lines) == 0 {
		return nil
	}
	return l.Append(now, lines, first)
}

// wrote takes how a write ended. Lines that were not written are written later; one that
// is there twice does no harm.
func (r *Recorder) wrote(err error, list []pending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil && (r.why == nil || r.why.Error() != err.Error()) {
		r.log.Info("Incidents are kept in memory only", "dir", r.o.StateDir, "err", err)
	}
	if r.why = err; err == nil {
		return
	}
	later := r.pending
	r.pending = nil
	for _, p := range append(list, later...) {
		if p.id != "" {
			r.pending = slices.DeleteFunc(r.pending, func(x pending) bool { return x.id == p.id })
		}
		if len(r.pending) < maxPending {
			r.pending = append(r.pending, p)
		} else {
			r.counts.Lines++
		}
	}
}

// openLines returns the lines of the incidents that are open, with which a file begins.
// r.mu is held.
func (r *Recorder) openLines() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for _, t := range r.apps {
		if t.open {
			_ = e.Encode(line{Incident: records.OfIncident(&t.incident), Seen: &t.seen}) // a buffer
		}
	}
	return b.Bytes()
}
