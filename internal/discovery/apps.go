package discovery

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
)

// byName returns the app of that name; nil if there is none.
func (w *Watcher) byName(name string) *app {
	for _, a := range w.apps {
		if a.name == name {
			return a
		}
	}
	return nil
}

// remove removes an app, whose processes then belong to none.
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

// hadRoot reports whether p is the process that was an app's root last.
func (a *app) hadRoot(p *table.Process) bool {
	return a.last != nil && a.last.PID == p.PID && a.last.Start == p.Start
}

// mayContinueAs reports whether a root may continue an app that has ended, with
// its name, slots and counters: another user's may not, and of the services that
// share a user no other one.
func (a *app) mayContinueAs(p *table.Process) bool {
	return a.owner == p.Owner.Account && (a.unit == "" || a.unit == p.Owner.Unit)
}

// reserve reserves the name of an app that is dropped, if the name was established. It
// always returns true.
func (w *Watcher) reserve(a *app, now time.Time) bool {
	if a.established {
		w.reserved.Reserve(a.name, appname.Reservation{ID: a.id, Owner: a.owner, Unit: a.unit, Since: now})
	}
	return true
}

// lock acquires the watcher's lock, or returns an error when ctx ends first.
func (w *Watcher) lock(ctx context.Context) error {
	select {
	case <-w.token:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the current scan of processes: %w", ctx.Err())
	}
}

// unlock returns the watcher's lock.
func (w *Watcher) unlock() { w.token <- struct{}{} }
