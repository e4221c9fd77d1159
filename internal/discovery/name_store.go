package discovery

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// NameRecord is the name of one identity, as it is saved. It has nothing that
// changes with a start of the app.
type NameRecord struct {
	Name  string    `json:"name"`
	Base  string    `json:"base"`
	Owner uint32    `json:"owner"` // user id
	Unit  string    `json:"unit,omitempty"`
	Host  string    `json:"host,omitempty"`
	Bind  string    `json:"bind,omitempty"`
	In    string    `json:"service,omitempty"` // service of the system's manager
	Since time.Time `json:"since"`             // when it was last seen to run
}

// NameStore saves the names of identities over restarts of the exporter.
type NameStore interface {
	Load() ([]NameRecord, error)
	Save([]NameRecord) error
}

// MaxNames is how many records are saved.
const MaxNames = appname.MaxReserved + MaxApps

// nameRecords returns the names of established apps and the reserved ones, by
// name.
func (w *Watcher) nameRecords(now time.Time) []NameRecord {
	var out []NameRecord
	for _, a := range w.apps {
		if a.matchIndex < 0 && a.established {
			out = append(out, record(a.name, appname.Reservation{ID: a.id, Owner: a.owner, Unit: a.unit, Since: now}))
		}
	}
	for name, r := range w.reserved {
		if r.ID.Base != "" {
			out = append(out, record(name, r))
		}
	}
	slices.SortFunc(out, func(x, y NameRecord) int { return cmp.Compare(x.Name, y.Name) })
	return out
}

// record returns the record of a reserved name.
func record(name string, r appname.Reservation) NameRecord {
	return NameRecord{Name: name, Base: r.ID.Base, Owner: uint32(r.Owner), Unit: r.ID.Unit, Host: r.ID.Host, Bind: r.ID.Bind, In: r.Unit, Since: r.Since}
}

// restoreNames reserves the names of saved records. A record that cannot be one
// of nameRecords is left out.
func (w *Watcher) restoreNames(list []NameRecord, now time.Time) {
	for _, r := range list {
		if len(w.reserved) >= appname.MaxReserved {
			return
		}
		if !r.sound() {
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

// loadNames restores the saved names, as far as they can be read.
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

// sound reports whether a record has the form of one that was written.
func (r NameRecord) sound() bool {
	if r.Name == "" || r.Base == "" || text.Name(appname.WithoutOrdinal(r.Name)) != appname.WithoutOrdinal(r.Name) || text.Name(r.Base) != r.Base || len(r.Name) > appname.MaxName {
		return false
	}
	for _, s := range []string{r.Unit, r.Host, r.Bind, r.In} {
		if text.Label(s, 256) != s && s != "" {
			return false
		}
	}
	return true
}

const (
	// saveInterval is the time between two attempts to save the names.
	saveInterval = 10 * time.Second
	// saveTimeout is how long the lock is waited for to save them.
	saveTimeout = 2 * time.Second
)

// saveNamesEvery saves the names when they have changed, until ctx ends and then
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

// saveNames saves the names if they have changed.
func (w *Watcher) saveNames(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	if w.lock(ctx) != nil {
		return
	}
	changed := w.namesChanged
	w.namesChanged = false
	var list []NameRecord
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
