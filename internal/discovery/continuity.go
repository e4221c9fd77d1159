package discovery

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
)

// replicaSettle is how long two replicas of one template must have run side by side to
// count as two: in a rolling update the new one starts while the old one still runs.
const replicaSettle = 10 * time.Minute

// idOf returns the identity by which the app of a root process is known again: base name,
// owner, unit, host and bind.
func (w *Watcher) idOf(p *table.Process) appname.ID {
	return appname.ID{Base: w.namer.BaseName(p), Owner: p.Owner.Account, Unit: appname.StableUnit(p.Unit), Host: w.namer.HostTemplate(p), Bind: w.bindOf(p)}
}

// resume adds a root to the app of its identity that has ended, which continues with its name,
// slots and counters. It returns false if there is no such app.
func (w *Watcher) resume(p *table.Process, id appname.ID) bool {
	if w.continueApp(p, id, func(a *app) bool { return a.id == id && (a.hadRoot(p) || w.isAbove(p, a.last)) }) {
		return true // it was out of sight, or only a worker of it was seen: it is its own successor
	}
	return w.continueApp(p, id, func(a *app) bool { return a.id == id })
}

// isAbove reports whether p runs and root is the topmost process of its app. It is false if p
// is nil.
func (w *Watcher) isAbove(root, p *table.Process) bool {
	return p != nil && w.table.Processes[p.PID] == p && !p.Ended() && w.topOf(p) == root
}

// joinRunning adds a root to the running app of its base name, owner and unit with which it shares a
// listening socket, as workers do whose master has ended. False: there is none, or it is configured.
func (w *Watcher) joinRunning(p *table.Process, id appname.ID) bool {
	for _, a := range w.apps {
		if len(a.roots) > 0 && a.matchIndex < 0 && a.id.Base == id.Base && a.mayContinueAs(p) && w.shareListener(p, a.root()) {
			a.roots = append(a.roots, p)
			return true
		}
	}
	return false
}

// resumeElsewhere adds a root to an app that has ended and differs only by where it listened.
// It returns false if there is no such app, or a name is reserved for the root.
func (w *Watcher) resumeElsewhere(p *table.Process, id appname.ID) bool {
	for _, r := range w.reserved {
		if r.ID == id {
			return false
		}
	}
	return w.continueApp(p, id, func(a *app) bool { return a.id.WithoutBind() == id.WithoutBind() })
}

// continueApp adds a root to the first of the ended apps that fit, in the order of their names,
// and sets its id. It returns false if none fits; an app of the configuration never does.
func (w *Watcher) continueApp(p *table.Process, id appname.ID, fits func(*app) bool) bool {
	var best *app
	for _, a := range w.apps {
		if len(a.roots) == 0 && a.matchIndex < 0 && a.mayContinueAs(p) && fits(a) && (best == nil || appname.CompareNames(a.name, best.name) < 0) {
			best = a
		}
	}
	if best == nil {
		return false
	}
	w.namesChanged = w.namesChanged || best.id != id
	best.roots, best.id = []*table.Process{p}, id
	return true
}

// newName returns a free name for an app of this identity: one that it has borne or, if none, the base
// name or a qualified one; else the first free ordinal of one, up to 2*MaxApps; "" if there is none.
func (w *Watcher) newName(p *table.Process, id appname.ID, now time.Time) string {
	borne, others := w.namesOfBase(id)
	free := func(name string) bool {
		return w.byName(name) == nil && w.reserved.IsFree(name, appname.Reservation{ID: id, Owner: p.Owner.Account, Unit: p.Owner.Unit, Since: now})
	}
	stem := id.Base
	var tries []string
	switch {
	case len(borne) > 0:
		slices.SortFunc(borne, appname.CompareNames)
		tries, stem = borne, appname.WithoutOrdinal(borne[0])
	default:
		tries = append([]string{id.Base}, appname.Qualified(id, others)...)
	}
	for _, name := range tries {
		if free(name) {
			return name
		}
	}
	for n := 2; n <= 2*MaxApps; n++ {
		if name := appname.Ordinal(stem, n); free(name) {
			return name
		}
	}
	return ""
}

// namesOfBase returns the names that apps of this identity bear or have borne, in no
// order, and the identities of the owner's other apps of its base name.
func (w *Watcher) namesOfBase(id appname.ID) (borne []string, others []appname.ID) {
	note := func(name string, o appname.ID) {
		switch {
		case o == id:
			borne = append(borne, name)
		case o.Base == id.Base && o.Owner == id.Owner:
			others = append(others, o)
		}
	}
	for _, a := range w.apps {
		note(a.name, a.id)
	}
	for name, r := range w.reserved {
		note(name, r.ID)
	}
	return borne, others
}

// replaceEnded removes the ended apps that another one has replaced. A replica of the same
// template that was started to replace one continues under its name; another app at its address
// does not.
func (w *Watcher) replaceEnded(now time.Time) {
	for _, a := range slices.Clone(w.apps) {
		if len(a.roots) > 0 || a.matchIndex >= 0 || a.last == nil {
			continue
		}
		if i := slices.IndexFunc(w.apps, func(b *app) bool { return a.startedBefore(b) && a.isReplacedBy(b, now) }); i >= 0 {
			b := w.apps[i]
			a.roots, b.roots = b.roots, nil
			a.adopt(b.members)
			w.remove(b)
		} else if slices.ContainsFunc(w.apps, func(b *app) bool { return a.startedBefore(b) && a.sameAddress(b) }) {
			w.reserve(a, now)
			w.remove(a)
		}
	}
}

// isReplacedBy reports whether b, of the same id, was found after a ended or < 10 min before.
func (a *app) isReplacedBy(b *app, now time.Time) bool {
	lost := a.downSince
	if lost.IsZero() {
		lost = now
	}
	return b.id == a.id && lost.Sub(b.since) < replicaSettle
}

// sameAddress reports whether b listens where a, which has ended, did; false if that is not
// known.
func (a *app) sameAddress(b *app) bool {
	return a.id.Bind != "" && b.id.Bind == a.id.Bind && a.last.NetNS == b.root().NetNS
}

// startedBefore reports whether a, which has ended, was started before b: b runs, is not configured, and
// has the base name, owner and unit of a. The times at which the two were first seen are not
// compared, because a scan may have missed one of them.
func (a *app) startedBefore(b *app) bool {
	return b != a && b.matchIndex < 0 && len(b.roots) > 0 && b.id.Base == a.id.Base && a.mayContinueAs(b.root()) && b.root().Start > a.last.Start
}
