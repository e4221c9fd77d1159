package discovery

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// NameStore saves the names of identities over restarts of the exporter.
type NameStore interface {
	Load() ([]appname.Record, error)
	Save([]appname.Record) error
}

// MaxNames is how many records are saved.
const MaxNames = appname.MaxReserved + MaxApps

// nameRecords returns a record of each name that an established app without a match has, or that
// is reserved with an identity, in the order of the names.
func (w *Watcher) nameRecords(now time.Time) []appname.Record {
	var out []appname.Record
	for _, a := range w.apps {
		if a.matchIndex < 0 && a.established {
			out = append(out, appname.RecordOf(a.name, appname.Reservation{ID: a.id, Owner: a.owner, Unit: a.unit, Since: now}))
		}
	}
	for name, r := range w.reserved {
		if r.ID.Base != "" {
			out = append(out, appname.RecordOf(name, r))
		}
	}
	slices.SortFunc(out, func(x, y appname.Record) int { return cmp.Compare(x.Name, y.Name) })
	return out
}

// restoreNames reserves the names of saved records. It skips a record that nameRecords
// cannot have written.
func (w *Watcher) restoreNames(list []appname.Record, now time.Time) {
	for _, r := range list {
		if len(w.reserved) >= appname.MaxReserved {
			return
		}
		if !r.Sound() {
			continue
		}
		since := r.Since
		if since.After(now) {
			since = now
		}
		id := appname.ID{Base: r.Base, Owner: procfs.Account(r.Owner), Unit: r.Unit, Host: r.Host, Bind: r.Bind}
		w.reserved[r.Name] = appname.Reservation{ID: id, Owner: procfs.Account(r.Owner), Unit: r.In, Since: since}
	}
}

// loadNames reserves the names in the store. If they cannot be read, it logs that and uses what
// was read.
func (w *Watcher) loadNames() {
	if w.store == nil {
		return
	}
	list, err := w.store.Load()
	if err != nil {
		w.log.Warn("Saved app names not usable, ignored", "err", err)
	}
	w.restoreNames(list[:min(len(list), MaxNames)], w.now())
}

const (
	// saveInterval is the time between two attempts to save the names.
	saveInterval = 10 * time.Second
	// saveTimeout is how long the lock is waited for to save them.
	saveTimeout = 2 * time.Second
)

// saveNamesEvery saves the names at intervals if they have changed, until ctx ends and then
// once more.
func (w *Watcher) saveNamesEvery(ctx context.Context) {
	if w.store == nil {
		return
	}
	tick := time.NewTicker(saveInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			w.saveNames(context.WithoutCancel(ctx))
			return
		case <-tick.C:
			w.saveNames(ctx)
		}
	}
}

// saveNames saves the names if they have changed. If that fails it is logged, and tried again
// at the next call.
func (w *Watcher) saveNames(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	if w.lock(ctx) != nil {
		return
	}
	changed := w.namesChanged
	w.namesChanged = false
	var list []appname.Record
	if changed {
		list = w.nameRecords(w.now())
	}
	w.unlock()
	if !changed {
		return
	}
	if err := w.store.Save(list); err != nil && !w.saveFailed {
		w.saveFailed = true
		w.log.Info("App names cannot be saved, they may change after a restart", "err", err)
	}
}
