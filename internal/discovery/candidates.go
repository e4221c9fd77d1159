package discovery

import (
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
)

// candidates are the processes that could belong to an app, as of the table's
// last change, the oldest first: a master comes before its workers when an
// allowance does not permit to read all.
func (w *Watcher) candidates() []*table.Process {
	if w.candsGen == w.table.Generation && w.cands != nil {
		return w.cands
	}
	w.cands, w.candsGen = w.cands[:0], w.table.Generation
	for _, p := range w.table.Processes {
		if w.candidate(p) {
			w.cands = append(w.cands, p)
		}
	}
	slices.SortFunc(w.cands, table.Oldest)
	return w.cands
}

// candidate reports whether a process could be an app's root. With a
// configuration that is what it matches; a match that names nothing but a
// listener or a pid file is looked for another way, see findConfigured.
func (w *Watcher) candidate(p *table.Process) bool {
	if len(w.matchers) == 0 {
		return p.IsPython()
	}
	return p.Match&^w.alone != 0
}

// matchBits judges the configured matches for one process.
func (w *Watcher) matchBits(p *table.Process) uint64 {
	var bits uint64
	var groups []string
	var read bool
	user := func() uint32 { return w.table.Owner(p).UID }
	for i := range w.matchers {
		if w.matchers[i].Fixed(p, func() []string {
			if !read {
				groups, read = w.r.Cgroups(p.PID), true
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
