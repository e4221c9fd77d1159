package discovery

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/match"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// findConfigured finds the processes of the configured apps.
func (w *Watcher) findConfigured(now time.Time) {
	w.without = nil
	for i := range w.matchers {
		m := &w.matchers[i]
		a := w.byName(m.Name)
		if a == nil {
			continue
		}
		found := w.matching(a, m, 1<<i, now)
		in := make(map[*table.Process]bool, len(found))
		for _, p := range found {
			in[p] = true
		}
		var tops []*table.Process
		for _, p := range found {
			if !in[w.table.Processes[p.Stat.PPID]] {
				tops = append(tops, p)
			}
		}
		slices.SortFunc(tops, table.Oldest)
		w.settle(a, tops, now)
	}
}

// matching returns the processes for which all of a match holds; bit is the
// match's in process.match.
func (w *Watcher) matching(a *app, m *match.Matcher, bit uint64, now time.Time) []*table.Process {
	var among []*table.Process
	a.matchErr = nil
	switch {
	case m.PIDFile != nil:
		p, err := m.PIDFile.Current(w.table, now)
		if err != nil {
			a.matchErr = err
		} else if p != nil {
			among = []*table.Process{p}
		}
	case m.Alone():
		return w.holders(a, m, now)
	default:
		among = w.candidates()
	}
	var out []*table.Process
	for _, p := range among {
		if p.Match&bit != 0 && w.listens(p, m.Listen) {
			out = append(out, p)
		}
	}
	return out
}

// settle makes those processes that match the app's roots which belong to one
// user; the others are strangers until proven otherwise, whatever their command
// lines say.
func (w *Watcher) settle(a *app, tops []*table.Process, now time.Time) {
	a.roots, a.strangers = a.roots[:0], nil
	owner, ok := w.ownerAmong(a, tops, now)
	for _, p := range tops {
		o := w.table.OwnerWithUnit(p)
		switch {
		case ok && o.Account == owner:
			a.roots = append(a.roots, p)
			a.tier, a.unit = o.Tier, o.Unit
		case len(a.strangers) < maxLeftOut && w.serves(p) && !slices.Contains(a.strangers, o.UID):
			a.strangers = append(a.strangers, o.UID)
		}
	}
	slices.Sort(a.strangers)
	if len(a.roots) > 0 && a.owner != owner {
		if a.established {
			before := a.owner
			a.former = &before
		}
		a.owner, a.since, a.established = owner, now, false
	}
}

// ownerAmong returns the user whose processes are the app: the one that it had,
// else of those that listen one that root vouches for, else the one whose
// process is the oldest. A server of root or of a system user or service comes
// before any other user's that was there earlier. While an established app is
// down, only such a server, or one of the user before, may take its place before
// an hour has passed.
func (w *Watcher) ownerAmong(a *app, tops []*table.Process, now time.Time) (procfs.Account, bool) {
	var known, best *table.Process
	var bestServes bool
	for _, p := range tops {
		o, serves := w.table.OwnerWithUnit(p), w.serves(p)
		switch {
		case !a.since.IsZero() && o.Account == a.owner:
			known = p
		case a.keptFrom(p, serves, now):
		case best == nil, serves && !bestServes, serves == bestServes && o.Tier < best.Owner.Tier:
			best, bestServes = p, serves
		}
	}
	vouched := best != nil && bestServes && best.Owner.Tier < table.TierUser
	switch {
	case known != nil && (known.Owner.Tier < table.TierUser || !vouched):
		return a.owner, true
	case best != nil:
		return best.Owner.Account, true
	}
	return 0, false
}

// keptFrom reports whether the place of an established app that is down is kept
// from a process of another user.
func (a *app) keptFrom(p *table.Process, serves bool, now time.Time) bool {
	if !a.established || !a.lost.IsZero() && now.Sub(a.lost) > forget {
		return false
	}
	back := a.former != nil && *a.former == p.Owner.Account
	return !serves || p.Owner.Tier == table.TierUser && !back
}

// listens reports whether a process listens where the match says; a match that
// says nothing is content.
func (w *Watcher) listens(p *table.Process, want string) bool {
	if want == "" {
		return true
	}
	w.table.ReadOnce(p)
	if p.FDs().Err != nil {
		return slices.ContainsFunc(cmdline.BindLabels(p.Argv), func(l string) bool { return cmdline.ListensOn(want, l) })
	}
	return slices.ContainsFunc(w.holds(p), func(l sockdiag.Listener) bool { return cmdline.ListensOn(want, sockdiag.Label(l)) })
}

// holders searches all processes for those that hold a listener that is all a
// match names. While its holder lives there is nothing to search for, and a
// search that finds nobody is not repeated for half a minute, unless a listener
// at that address has appeared.
func (w *Watcher) holders(a *app, m *match.Matcher, now time.Time) []*table.Process {
	var alive []*table.Process
	for _, p := range a.roots {
		if w.table.Processes[p.PID] == p && w.listens(p, m.Listen) {
			alive = append(alive, p)
		}
	}
	if len(alive) > 0 || now.Sub(a.searched) < 30*time.Second && !w.appeared(m.Listen) {
		return alive
	}
	a.searched = now
	for _, p := range w.table.Processes {
		if p.Stat.Kernel || !w.table.ReadDescriptors(p) {
			continue
		}
		switch {
		case w.listens(p, m.Listen) && !w.table.Owner(p).Changed:
			alive = append(alive, p)
		case p.Member == nil && !w.candidate(p):
			w.table.DropDescriptors(p)
		}
	}
	return alive
}

// appeared reports whether a listener at that address is new.
func (w *Watcher) appeared(want string) bool {
	return slices.ContainsFunc(w.sockets.NewListeners(), func(l sockdiag.Listener) bool { return cmdline.ListensOn(want, sockdiag.Label(l)) })
}
