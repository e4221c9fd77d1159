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

// findConfigured sets the root processes of each configured app by its match.
func (w *Watcher) findConfigured(now time.Time) {
	w.rejectedBy = nil
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
		w.assignRoots(a, tops, now)
	}
}

// matching returns the processes for which the whole of a match holds; why none can be found is
// in a.matchErr. bit is the bit of the match in Process.Match.
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
	case m.OnlyListener():
		return w.findByListener(a, m, now)
	default:
		among = w.candidates()
	}
	var out []*table.Process
	for _, p := range among {
		if p.Match&bit != 0 && w.listensAt(p, m.Listen) {
			out = append(out, p)
		}
	}
	return out
}

// assignRoots sets the app's roots to those of the matching processes that belong to one user.
// The others become its strangers, whatever their command lines say.
func (w *Watcher) assignRoots(a *app, tops []*table.Process, now time.Time) {
	a.roots, a.strangers = a.roots[:0], nil
	owner, ok := w.ownerOf(a, tops, now)
	for _, p := range tops {
		o := w.table.OwnerWithUnit(p)
		switch {
		case ok && o.Account == owner:
			a.roots = append(a.roots, p)
			a.tier, a.unit = o.Tier, o.Unit
		case len(a.strangers) < maxLeftOut && w.mayServe(p) && !slices.Contains(a.strangers, o.UID):
			a.strangers = append(a.strangers, o.UID)
		}
	}
	slices.Sort(a.strangers)
	if len(a.roots) > 0 && a.owner != owner {
		if a.established {
			before := a.owner
			a.formerOwner = &before
		}
		a.owner, a.since, a.established = owner, now, false
	}
}

// ownerOf returns the account whose processes are the app: the one before, unless that is a user's and
// a server of root or of a system user is there; else that of the first process of tops, where one that
// may serve comes before the others, and then the one of the lowest tier. false: none may be the app
// now, see isReservedFrom.
func (w *Watcher) ownerOf(a *app, tops []*table.Process, now time.Time) (procfs.Account, bool) {
	var known, best *table.Process
	var bestServes bool
	for _, p := range tops {
		o, serves := w.table.OwnerWithUnit(p), w.mayServe(p)
		switch {
		case !a.since.IsZero() && o.Account == a.owner:
			known = p
		case a.isReservedFrom(p, serves, now):
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

// isReservedFrom reports whether an app is kept from a process of another user. That is so for an
// established app that has not been down for more than an hour, unless the process serves and
// belongs to the system or to the user before.
func (a *app) isReservedFrom(p *table.Process, serves bool, now time.Time) bool {
	if !a.established || !a.downSince.IsZero() && now.Sub(a.downSince) > forgetAfter {
		return false
	}
	back := a.formerOwner != nil && *a.formerOwner == p.Owner.Account
	return !serves || p.Owner.Tier == table.TierUser && !back
}

// listensAt reports whether a process listens where a match says; true if the match says
// nothing. Where descriptors may not be read, its command line counts.
func (w *Watcher) listensAt(p *table.Process, want string) bool {
	if want == "" {
		return true
	}
	w.table.ReadOnce(p)
	if p.FDs().Err != nil {
		return slices.ContainsFunc(cmdline.BindLabels(p.Argv), func(l string) bool { return cmdline.ListensOn(want, l) })
	}
	return slices.ContainsFunc(w.listenersOf(p), func(l sockdiag.Listener) bool { return cmdline.ListensOn(want, sockdiag.Label(l)) })
}

// findByListener returns the processes that hold the listener that a match consists of, without
// those that changed their user. While a holder lives nothing is searched. A search without a result
// is repeated after half a minute, or when a listener at that address has appeared.
func (w *Watcher) findByListener(a *app, m *match.Matcher, now time.Time) []*table.Process {
	var alive []*table.Process
	for _, p := range a.roots {
		if w.table.Processes[p.PID] == p && w.listensAt(p, m.Listen) {
			alive = append(alive, p)
		}
	}
	if len(alive) > 0 || now.Sub(a.searchedAt) < 30*time.Second && !w.hasNewListener(m.Listen) {
		return alive
	}
	a.searchedAt = now
	for _, p := range w.table.Processes {
		if p.Stat.Kernel || !w.table.ReadDescriptors(p) {
			continue
		}
		switch {
		case w.listensAt(p, m.Listen) && !w.table.Owner(p).Changed:
			alive = append(alive, p)
		case p.Member == nil && !w.candidate(p):
			w.table.DropDescriptors(p)
		}
	}
	return alive
}

// hasNewListener reports whether one of the new listening sockets is at the address that a
// match wants.
func (w *Watcher) hasNewListener(want string) bool {
	return slices.ContainsFunc(w.namespaces.NewListeners(), func(l sockdiag.Listener) bool { return cmdline.ListensOn(want, sockdiag.Label(l)) })
}
