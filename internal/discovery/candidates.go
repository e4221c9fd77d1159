package discovery

import (
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
)

// candidates returns the processes that could belong to an app, as of the table's last
// change, the oldest first: a master comes before its workers when an allowance does not
// permit to read all. The slice is used again after the next change.
func (w *Watcher) candidates() []*table.Process {
	if w.candidateGen == w.table.Generation && w.candidateList != nil {
		return w.candidateList
	}
	w.candidateList, w.candidateGen = w.candidateList[:0], w.table.Generation
	for _, p := range w.table.Processes {
		if w.candidate(p) {
			w.candidateList = append(w.candidateList, p)
		}
	}
	slices.SortFunc(w.candidateList, table.Oldest)
	return w.candidateList
}

// candidate reports whether a process could belong to an app: a Python server or
// script or, with a configuration, what a match picks. A match of a listener or a
// pid file only has no candidates, see findConfigured.
func (w *Watcher) candidate(p *table.Process) bool {
	if len(w.matchers) == 0 {
		return p.IsPython()
	}
	return p.Match&^w.alone != 0
}

// matchBits returns the configured matches that hold for a process, as far as they depend
// on it alone, one bit each; of a program that changes its user only those in w.alone.
func (w *Watcher) matchBits(p *table.Process) uint64 {
	var bits uint64
	var groups []string
	var read bool
	user := func() uint32 { return w.table.Owner(p).UID }
	for i := range w.matchers {
		if w.matchers[i].MatchesProcess(p, func() []string {
			if !read {
				groups, read = w.fs.Cgroups(p.PID), true
			}
			return groups
		}, user) {
			bits |= 1 << i
		}
	}
	if bits&^w.alone != 0 && w.table.Owner(p).Changed { // any user starts a setuid program with any command line
		return bits & w.alone
	}
	return bits
}
