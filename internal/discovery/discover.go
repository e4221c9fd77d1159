package discovery

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
)

// discover updates the roots of the apps without a configuration: each process tree that
// listens and runs a Python server or script. It removes apps that have been down for long and
// adds new ones.
func (w *Watcher) discover(now time.Time) {
	roots := w.findRoots()
	w.roots = roots
	for _, a := range w.apps {
		a.roots = slices.DeleteFunc(a.roots, func(p *table.Process) bool { return !roots[p] })
	}
	var unplaced []*table.Process
	for p := range roots {
		if p.Member == nil || !slices.Contains(memberOf(p).roots, p) {
			unplaced = append(unplaced, p)
		}
	}
	w.replaceEnded(now) // before new apps may continue those that have ended
	w.admit(unplaced, now)
	w.replaceEnded(now)
	w.apps = slices.DeleteFunc(w.apps, func(a *app) bool {
		return len(a.roots) == 0 && !a.downSince.IsZero() && (now.Sub(a.downSince) > forgetAfter || !a.established && now.Sub(a.downSince) > forgetYoungAfter) && w.reserve(a, now)
	})
}

// findRoots returns the topmost processes of all trees that serve (see dropRoots); no new one whose parent is unread.
func (w *Watcher) findRoots() map[*table.Process]bool {
	for _, a := range w.apps {
		for _, p := range a.roots {
			w.table.RereadStat(p) // it may have ended, and not be waited for
		}
	}
	roots := make(map[*table.Process]bool)
	for _, p := range w.candidates() {
		if p.Program.Aux || p.Ended() || !w.mayServe(p) {
			continue
		}
		// What is an app already stays one while its parent waits to be read again.
		if top := w.topOf(p); w.roots[top] || !w.undecided(top) {
			roots[top] = true
		}
	}
	w.dropRoots(roots)
	return roots
}

// dropRoots removes from roots the processes that have ended, and those that only keep the
// sockets of others. If such a root was taken for an app before its servers had started, the
// app is removed too.
func (w *Watcher) dropRoots(roots map[*table.Process]bool) {
	for p := range roots {
		if p.Member == nil && !p.Rejected && w.table.RereadStat(p) && p.Ended() {
			delete(roots, p)
		}
	}
	for p := range roots {
		if !w.keepsSocketsOnly(p, roots) {
			continue
		}
		delete(roots, p)
		if a := memberOf(p); a != nil && a.matchIndex < 0 && a.root() == p {
			w.remove(a)
		}
	}
}
