package discovery

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
)

// discover finds the apps of a host without a configuration: every tree of
// processes that listens and runs a known Python server.
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
	w.succeed(now) // before what is new may have the places of what has ended
	w.admit(unplaced, now)
	w.succeed(now)
	w.apps = slices.DeleteFunc(w.apps, func(a *app) bool {
		return len(a.roots) == 0 && !a.lost.IsZero() && (now.Sub(a.lost) > forget || !a.established && now.Sub(a.lost) > forgetYoung) && w.reserve(a, now)
	})
}

// findRoots returns the topmost processes of all trees that serve.
func (w *Watcher) findRoots() map[*table.Process]bool {
	for _, a := range w.apps {
		for _, p := range a.roots {
			w.table.RereadStat(p) // it may have ended, and not be waited for
		}
	}
	roots := make(map[*table.Process]bool)
	for _, p := range w.candidates() {
		if p.Program.Aux || p.Ended() || !w.serves(p) {
			continue
		}
		// What is an app already stays one while its parent waits to be read again.
		if top := w.top(p); w.roots[top] || !w.undecided(top) {
			roots[top] = true
		}
	}
	w.dropRoots(roots)
	return roots
}

// dropRoots leaves out what has ended, and what only keeps the sockets of others:
// if that was taken for an app before its servers had started, it is forgotten.
func (w *Watcher) dropRoots(roots map[*table.Process]bool) {
	for p := range roots {
		if p.Member == nil && !p.Over && w.table.RereadStat(p) && p.Ended() {
			delete(roots, p)
		}
	}
	for p := range roots {
		if !w.standsBy(p, roots) {
			continue
		}
		delete(roots, p)
		if a := memberOf(p); a != nil && a.conf < 0 && a.root() == p {
			w.remove(a)
		}
	}
}
