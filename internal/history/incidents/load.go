package incidents

import (
	"encoding/json"
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

// take adds one line of the file of incidents: an incident, in place of the one with its
// id or, if there are maxRead, of the oldest; or when an open one was last seen, which is
// dropped for an unknown one. It returns false if the line is damaged: no JSON, no id or
// one of more than 256 bytes, neither app nor time.
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

// take adds one line of the file of last words, in place of the oldest one if there are
// maxRead. It returns false if the line is damaged: no JSON, no app or no time of the end.
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

// load reads, at its first call, what an earlier exporter has left in the state directory.
// Damaged files are set aside and counted.
func (r *Recorder) load(now time.Time) {
	r.store.once.Do(func() {
		if r.store.incidents == nil {
			return
		}
		in, words := readIncidents{of: make(map[string]*line)}, readWords{}
		r.store.mu.Lock()
		bad, _ := r.store.incidents.Load(now, in.take)
		badWords, _ := r.store.words.Load(now, words.take)
		why := r.store.check(now)
		r.store.mu.Unlock()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.setWhy(why)
		r.state.counts.Damaged += uint64(bad + badWords) //nolint:gosec // a number of files
		for _, id := range in.order {
			r.state.restore(in.of[id], now)
		}
		for _, w := range words.list {
			r.state.keepWords(w)
		}
		r.state.tellAgain(bad > 0, badWords > 0)
	})
}

// Read returns the incidents and last words in a state directory, at most maxRead of each,
// the newest first, or an error if the directory cannot be read. It writes nothing there,
// and skips damaged lines and files.
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

// readAll reads the incidents and last words of a state directory, of each the latest
// maxRead. bad has what is wrong with a file, by its name.
func readAll(dir *files.Dir) (in readIncidents, words readWords, bad map[string]error) {
	in = readIncidents{of: make(map[string]*line)}
	bad = files.ReadLines(dir, incidentsName, incidentBytes, in.take)
	maps.Copy(bad, files.ReadLines(dir, wordsName, wordBytes, words.take))
	return in, words, bad
}
