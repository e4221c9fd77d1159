package incidents

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history/files"
	"github.com/resp-exporter/resp-exporter/internal/history/records"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// maxRead is how many incidents and last words are read of files; the older ones are left
// out.
const maxRead = 5000

// readIncidents collects incidents from lines.
type readIncidents struct {
	order []string // ids, the oldest first
	of    map[string]*line
}

// take takes a line; false: it is damaged.
func (r *readIncidents) take(text []byte) bool {
	var x line
	if err := json.Unmarshal(text, &x); err != nil || x.ID == "" || len(x.ID) > 256 {
		return false
	}
	known := r.of[x.ID]
	if x.App == "" { // a seenLine
		if known != nil && x.Seen != nil {
			known.Seen = x.Seen
		}
		return x.Seen != nil
	}
	if known == nil {
		if len(r.order) >= maxRead {
			delete(r.of, r.order[0])
			r.order = r.order[1:]
		}
		r.order = append(r.order, x.ID)
	}
	r.of[x.ID] = &x
	return true
}

// readWords collects last words from lines.
type readWords struct{ list []model.LastWords }

// take takes a line; false: it is damaged.
func (r *readWords) take(text []byte) bool {
	var x records.LastWords
	if err := json.Unmarshal(text, &x); err != nil || x.App == "" || x.Ended.IsZero() {
		return false
	}
	if len(r.list) >= maxRead {
		r.list = r.list[1:]
	}
	r.list = append(r.list, x.Model())
	return true
}

// load reads once what an earlier exporter has left.
func (r *Recorder) load(now time.Time) {
	r.store.once.Do(func() {
		if r.store.incidents == nil {
			return
		}
		in, words := readIncidents{of: make(map[string]*line)}, readWords{}
		r.store.mu.Lock()
		bad, err := r.store.incidents.Load(now, in.take)
		badWords, errWords := r.store.words.Load(now, words.take)
		r.store.mu.Unlock()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.why = errors.Join(err, errWords); r.why != nil {
			r.log.Info("Incidents are kept in memory only", "dir", r.o.StateDir, "err", r.why)
		}
		r.counts.Damaged += uint64(bad + badWords) //nolint:gosec // a number of files
		for _, id := range in.order {
			r.restore(in.of[id], now)
		}
		for _, w := range words.list {
			r.keepWords(w)
		}
		r.tellAgain(bad > 0, badWords > 0)
	})
}

// restore takes over an incident of an earlier exporter. r.mu is held.
func (r *Recorder) restore(x *line, now time.Time) {
	m := x.Model()
	if !m.End.IsZero() {
		r.keep(m)
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
	if now.Sub(seen) > longestGap || len(r.apps) >= maxApps || r.apps[m.App] != nil {
		t.seen = seen
		t.incident.End = seen
		r.tell(t)
		r.keep(t.incident)
		return
	}
	r.apps[m.App] = t // the earlier exporter has counted it
	r.tell(t)
}

// tellAgain has all that is kept written to a new file, where the old one was set aside.
// r.mu is held.
func (r *Recorder) tellAgain(incidents, words bool) {
	if incidents {
		for i := range r.closed {
			r.tell(&tracked{incident: r.closed[i], seen: r.closed[i].End})
		}
	}
	if words {
		for i := range r.words {
			r.tellWords(&r.words[i])
		}
	}
}

// Read returns the incidents and the last words that a state directory has, the newest
// first, without writing there.
func Read(stateDir string) ([]model.Incident, []model.LastWords, error) {
	dir, err := files.OpenToRead(stateDir)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = dir.Close() }()
	in, words, _ := readAll(dir)
	var out []model.Incident
	for _, id := range slices.Backward(in.order) {
		out = append(out, in.of[id].Model())
	}
	slices.Reverse(words.list)
	return out, words.list, nil
}

// readAll reads all files, and returns what is wrong with them by their names.
func readAll(dir *files.Dir) (in readIncidents, words readWords, bad map[string]error) {
	in = readIncidents{of: make(map[string]*line)}
	bad = files.ReadLines(dir, incidentsName, incidentBytes, in.take)
	maps.Copy(bad, files.ReadLines(dir, wordsName, wordBytes, words.take))
	return in, words, bad
}
