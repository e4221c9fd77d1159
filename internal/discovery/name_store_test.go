package discovery

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
)

// memoryStore is a NameStore in memory.
type memoryStore struct {
	list []appname.Record
	err  error
	n    int // calls of Save
}

func (n *memoryStore) Load() ([]appname.Record, error) { return n.list, n.err }

func (n *memoryStore) Save(list []appname.Record) error {
	n.n++
	if n.err == nil {
		n.list = slices.Clone(list)
	}
	return n.err
}

// Names are saved after a change, and loaded after a restart.
func TestNamesAreSaved(t *testing.T) {
	t.Parallel()
	w, store := host(t), new(memoryStore)
	w.store = store
	server(w, 8000, 33, "shop")
	discoverAt(w, 1)
	discoverAt(w, 100)
	w.namesChanged = true
	w.saveNames(t.Context())
	w.saveNames(t.Context()) // nothing has changed
	if store.n != 1 || len(store.list) != 1 || store.list[0].Name != "shop" || store.list[0].Owner != 33 {
		t.Errorf("saved %d times: %+v", store.n, store.list)
	}
	again := host(t)
	again.store = store
	again.loadNames()
	server(again, 7000, 34, "shop") // another user's
	server(again, 8000, 33, "shop")
	discoverAt(again, 200)
	for _, a := range again.apps {
		if a.name == "shop" && a.owner != 33 {
			t.Errorf("another user's app has the name: %+v", a)
		}
	}
	if again.byName("shop") == nil {
		t.Errorf("no app has it: %s", listed(again))
	}
}

// Discovery continues if names cannot be saved or loaded, and the store stops with its
// context.
func TestNamesAreNotSaved(t *testing.T) {
	t.Parallel()
	w, store := host(t), &memoryStore{err: errors.New("read-only file system")}
	w.store, w.namesChanged = store, true
	w.loadNames()
	w.saveNames(t.Context())
	if !w.saveFailed || store.n != 1 {
		t.Errorf("failed: %v after %d calls", w.saveFailed, store.n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	<-w.token // a scan is under way
	w.namesChanged = true
	w.saveNames(ctx)
	if store.n != 1 || !w.namesChanged {
		t.Errorf("saved without the lock: %d calls", store.n)
	}
	w.unlock()
	w.saveNamesEvery(ctx) // once more at the end
	if store.n != 2 {
		t.Errorf("%d calls at the end", store.n)
	}
}
