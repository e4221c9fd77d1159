package discovery

import (
	"os"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
)

func (w *Watcher) byName(name string) *app {
	for _, a := range w.apps {
		if a.name == name {
			return a
		}
	}
	return nil
}

func (w *Watcher) remove(a *app) {
	w.apps = slices.DeleteFunc(w.apps, func(b *app) bool { return a == b })
	for _, m := range a.members {
		if m.Member == a {
			m.Member = nil
		}
	}
	w.namesChanged = true
}

// adopt makes the members of another app those of a.
func (a *app) adopt(members []*table.Process) {
	a.members = members
	for _, m := range members {
		m.Member = a
	}
}

// hadLast reports whether p is the root that an app last had.
func (a *app) hadLast(p *table.Process) bool {
	return a.last != nil && a.last.PID == p.PID && a.last.Start == p.Start
}

// heir reports whether a root may go on as an app that has ended: with its
// name, its slots and its counters. Another user's may not, and of the services
// that share a user no other one.
func (a *app) heir(p *table.Process) bool {
	return a.owner == p.Owner.Account && (a.unit == "" || a.unit == p.Owner.Unit)
}

func pageSize() uint64 { return uint64(os.Getpagesize()) }

// reserve keeps the name of an app that is forgotten, if it has run for a while.
// It returns true.
func (w *Watcher) reserve(a *app, now time.Time) bool {
	if a.established {
		w.reserved.Reserve(a.name, appname.Reservation{ID: a.id, Owner: a.owner, Unit: a.unit, Since: now})
	}
	return true
}
