package incidents

import (
	"errors"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history/files"
	"github.com/resp-exporter/resp-exporter/internal/history/records"
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

// newStore returns the files in a state directory; without a directory nothing is stored.
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

// close closes both files.
func (s *store) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range []*files.Lines{s.incidents, s.words} {
		if l != nil {
			l.Close()
		}
	}
}

// write writes the queued lines. After a fault it tries the files again even if no line
// is queued.
func (r *Recorder) write(now time.Time) {
	r.mu.Lock()
	list := r.state.pending
	if len(list) == 0 && r.why == nil {
		r.mu.Unlock()
		return
	}
	r.state.pending = nil
	first := r.state.openLines()
	r.mu.Unlock()
	var incidents, words []byte
	for _, p := range list {
		if p.words {
			words = append(words, p.text...)
		} else {
			incidents = append(incidents, p.text...)
		}
	}
	r.store.mu.Lock()
	incidentsErr := appendLines(r.store.incidents, now, incidents, func() []byte { return first })
	wordsErr := appendLines(r.store.words, now, words, func() []byte { return nil })
	why := r.store.check(now)
	r.store.mu.Unlock()
	r.wrote(why, slices.DeleteFunc(list, func(p pending) bool {
		if p.words {
			return wordsErr == nil
		}
		return incidentsErr == nil
	}))
}

// appendLines appends lines to a file, and does nothing without lines. first returns what a
// file begins with that follows a full one. After an error the same lines must be appended
// again.
func appendLines(l *files.Lines, now time.Time, lines []byte, first func() []byte) error {
	if len(lines) == 0 {
		return nil
	}
	return l.Append(now, lines, first)
}

// check returns the error by which lines of one of the files cannot be written; nil if
// they can, or there is no state directory.
func (s *store) check(now time.Time) error {
	if s.incidents == nil {
		return nil
	}
	return files.Join(s.incidents.Check(now), s.words.Check(now))
}

// setWhy sets the error by which incidents are kept in memory only, and logs a new one;
// nil: they are written.
func (r *Recorder) setWhy(err error) {
	if err != nil && (r.why == nil || r.why.Error() != err.Error()) {
		level := r.log.Warn
		if errors.Is(err, fs.ErrNotExist) {
			level = r.log.Info // nobody made one
		}
		level("Incidents are kept in memory only, and are lost when the exporter stops", "dir", r.o.StateDir, "err", err, "remedy", files.Remedy(r.o.StateDir, err))
	}
	r.why = err
}

// wrote records the error of a write, nil if there was none, and queues the lines again
// that were not written. A line that is written twice does no harm.
func (r *Recorder) wrote(why error, failed []pending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.setWhy(why); len(failed) == 0 {
		return
	}
	later := r.state.pending
	r.state.pending = nil
	for _, p := range append(failed, later...) {
		if p.id != "" {
			r.state.pending = slices.DeleteFunc(r.state.pending, func(x pending) bool { return x.id == p.id })
		}
		if len(r.state.pending) < maxPending {
			r.state.pending = append(r.state.pending, p)
		} else {
			r.state.counts.Lines++
		}
	}
}
