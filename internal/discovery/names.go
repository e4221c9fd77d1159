package discovery

import (
	"cmp"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
)

const (
	// replicaSettle is how long two replicas of one template must have run side
	// by side until they count as two: in a rolling update the new one starts
	// while the old one still runs.
	replicaSettle = 10 * time.Minute
)

// idOf returns the identity of the app that a process is the root of.
func (w *Watcher) idOf(p *table.Process) appname.ID {
	return appname.ID{Base: w.namer.BaseName(p), Owner: p.Owner.Account, Unit: appname.LastingUnit(p.Unit), Host: w.namer.HostTemplate(p), Bind: w.where(p)}
}

// resume adds a root to the app of its identity, if that has ended: with its
// name, its slots and its counters.
func (w *Watcher) resume(p *table.Process, id appname.ID) bool {
	if w.goOn(p, id, func(a *app) bool { return a.id == id && a.hadLast(p) }) {
		return true // it was out of sight, and it is its own successor
	}
	return w.goOn(p, id, func(a *app) bool { return a.id == id })
}

// join adds a root to the running app of its name with which it has a listening
// socket in common: they are workers whose master is gone.
func (w *Watcher) join(p *table.Process, id appname.ID) bool {
	for _, a := range w.apps {
		if len(a.roots) > 0 && a.conf < 0 && a.id.Base == id.Base && a.heir(p) && w.share(p, a.root()) {
			a.roots = append(a.roots, p)
			return true
		}
	}
	return false
}

// move adds a root to an app that has ended and differs only by where it
// listened, unless a name is kept for the root.
func (w *Watcher) move(p *table.Process, id appname.ID) bool {
	for _, r := range w.reserved {
		if r.ID == id {
			return false
		}
	}
	return w.goOn(p, id, func(a *app) bool { return a.id.But() == id.But() })
}

// goOn adds a root to the first of the ended apps that fit, in the order of
// their names.
func (w *Watcher) goOn(p *table.Process, id appname.ID, fits func(*app) bool) bool {
	var best *app
	for _, a := range w.apps {
		if len(a.roots) == 0 && a.conf < 0 && a.heir(p) && fits(a) && (best == nil || compareNames(a.name, best.name) < 0) {
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

// compareNames orders names by length first, so that "shop" comes before
// "shop~2" and that before "shop~10".
func compareNames(x, y string) int {
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
}

// newName returns a free name for an app of this identity; "" if there is none.
// One that the identity has borne comes first, then the plain name.
func (w *Watcher) newName(p *table.Process, id appname.ID, now time.Time) string {
	borne, others := w.relatives(id)
	free := func(name string) bool {
		return w.byName(name) == nil && w.reserved.MayBear(name, appname.Reservation{ID: id, Owner: p.Owner.Account, Unit: p.Owner.Unit, Since: now})
	}
	stem := id.Base
	var tries []string
	switch {
	case len(borne) > 0:
		slices.SortFunc(borne, compareNames)
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

// relatives returns the names that apps of this identity bear or have borne, and
// the identities of the owner's other apps of its base name.
func (w *Watcher) relatives(id appname.ID) (borne []string, others []appname.ID) {
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

// succeed ends the report of those ended apps that another one has replaced. A
// replica of the same template that was started to replace it goes on under its
// name. Another app of its base name that now listens where it did has a name of
// its own, and the ended one is forgotten.
func (w *Watcher) succeed(now time.Time) {
	for _, a := range slices.Clone(w.apps) {
		if len(a.roots) > 0 || a.conf >= 0 || a.last == nil {
			continue
		}
		if i := slices.IndexFunc(w.apps, func(b *app) bool { return a.before(b) && a.sameAs(b, now) }); i >= 0 {
			b := w.apps[i]
			a.roots, b.roots = b.roots, nil
			a.adopt(b.members)
			w.remove(b)
		} else if slices.ContainsFunc(w.apps, func(b *app) bool { return a.before(b) && a.sameAddress(b) }) {
			w.reserve(a, now)
			w.remove(a)
		}
	}
}

// sameAs reports whether b is the replica that was started to replace a.
func (a *app) sameAs(b *app, now time.Time) bool {
	lost := a.lost
	if lost.IsZero() {
		lost = now
	}
	return b.id == a.id && lost.Sub(b.since) < replicaSettle
}

// sameAddress reports whether b listens where a did.
func (a *app) sameAddress(b *app) bool {
	return a.id.Bind != "" && b.id.Bind == a.id.Bind && a.last.NetNS == b.root().NetNS
}

// before reports whether b runs, has the base name and the user of a, which has
// ended, and was started after it. When they were seen says nothing: an app may
// have been out of sight for a look.
func (a *app) before(b *app) bool {
	return b != a && b.conf < 0 && len(b.roots) > 0 && b.id.Base == a.id.Base && a.heir(b.root()) && b.root().Start > a.last.Start
}
