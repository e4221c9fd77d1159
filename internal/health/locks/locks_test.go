package locks_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/health/locks"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// connection returns a connection of a worker of shop; slot "" is no worker.
func connection(id uint64, slot string) model.Connection {
	return model.Connection{ID: id, Owner: model.Owner{App: "shop", Slot: slot}}
}

// wait returns a lock wait on the server main; blocker 0 is a table lock.
func wait(waiter, blocker uint64, slot string, seconds float64) model.LockWait {
	return model.LockWait{
		Server: "main", Waiter: connection(waiter, slot), Blocker: connection(blocker, ""),
		State: "state of " + string(rune('0'+blocker)), Seconds: seconds,
	}
}

// waiting returns the ids of the connections that wait, sorted.
func waiting(b *locks.Blocker) []uint64 { return slices.Sorted(maps.Keys(b.Waiting)) }

func TestFind(t *testing.T) {
	for name, c := range map[string]struct {
		waits   []model.LockWait
		root    uint64 // 0: none
		waiting []uint64
		longest float64
		waiters []locks.Waiter
	}{
		"none":                  {nil, 0, nil, 0, nil},
		"a table lock":          {[]model.LockWait{wait(2, 0, "0", 9)}, 0, nil, 0, nil},
		"one":                   {[]model.LockWait{wait(2, 1, "0", 9)}, 1, []uint64{2}, 9, []locks.Waiter{{App: "shop", Slot: "0"}}},
		"a chain":               {[]model.LockWait{wait(3, 2, "1", 4), wait(2, 1, "0", 9)}, 1, []uint64{2, 3}, 9, []locks.Waiter{{App: "shop", Slot: "1"}, {App: "shop", Slot: "0"}}},
		"the larger of two":     {[]model.LockWait{wait(5, 4, "3", 99), wait(2, 1, "0", 1), wait(3, 1, "1", 2)}, 1, []uint64{2, 3}, 2, []locks.Waiter{{App: "shop", Slot: "0"}, {App: "shop", Slot: "1"}}},
		"the first of equals":   {[]model.LockWait{wait(5, 4, "3", 1), wait(2, 1, "0", 9)}, 4, []uint64{5}, 1, []locks.Waiter{{App: "shop", Slot: "3"}}},
		"one worker twice":      {[]model.LockWait{wait(2, 1, "0", 3), wait(3, 1, "0", 5)}, 1, []uint64{2, 3}, 5, []locks.Waiter{{App: "shop", Slot: "0"}}},
		"one connection twice":  {[]model.LockWait{wait(2, 1, "0", 3), wait(2, 1, "0", 5)}, 1, []uint64{2}, 5, []locks.Waiter{{App: "shop", Slot: "0"}}},
		"no worker":             {[]model.LockWait{wait(2, 1, "", 3)}, 1, []uint64{2}, 3, nil},
		"a circle":              {[]model.LockWait{wait(2, 1, "0", 3), wait(1, 2, "1", 5)}, 1, []uint64{2}, 3, []locks.Waiter{{App: "shop", Slot: "0"}}},
		"the first of blockers": {[]model.LockWait{wait(2, 1, "0", 3), wait(2, 4, "0", 3)}, 1, []uint64{2}, 3, []locks.Waiter{{App: "shop", Slot: "0"}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &model.State{LockWaits: append(c.waits, model.LockWait{Server: "other", Waiter: connection(8, "7"), Blocker: connection(9, ""), Seconds: 999})}
			b := locks.Find(s, "main")
			if c.root == 0 {
				if b != nil {
					t.Errorf("%+v", b)
				}
				return
			}
			if b == nil || b.ID != c.root || b.Server != "main" || b.Longest != c.longest || b.State != "state of "+string(rune('0'+b.ID)) {
				t.Fatalf("%+v", b)
			}
			if !slices.Equal(waiting(b), c.waiting) || !slices.Equal(b.Waiters, c.waiters) {
				t.Errorf("waiting %v, want %v; workers %v, want %v", waiting(b), c.waiting, b.Waiters, c.waiters)
			}
		})
	}
}

// FindTable has all waiters for table locks, and the suspect of the same server.
func TestFindTable(t *testing.T) {
	suspect := func(server string, id uint64) model.LockSuspect {
		return model.LockSuspect{Server: server, Connection: connection(id, "3"), Did: "slept", Seconds: 70}
	}
	s := &model.State{
		LockWaits: []model.LockWait{
			wait(2, 0, "0", 3), wait(3, 0, "1", 8), wait(5, 4, "2", 90),
			{Server: "other", Waiter: connection(6, "9"), Seconds: 99},
		},
		LockSuspects: []model.LockSuspect{suspect("third", 11), suspect("main", 7), suspect("main", 12)},
	}
	b := locks.FindTable(s, "main")
	if b == nil || b.ID != 7 || b.Slot != "3" || b.Server != "main" || b.State != "slept" || b.Idle != 70 || b.Longest != 8 || !slices.Equal(waiting(b), []uint64{2, 3}) {
		t.Errorf("%+v", b)
	}
	if b := locks.FindTable(s, "other"); b == nil || b.ID != 0 || b.State != "" || b.Idle != 0 || !slices.Equal(waiting(b), []uint64{6}) {
		t.Errorf("without a suspect: %+v", b)
	}
	if b := locks.FindTable(s, "third"); b != nil {
		t.Errorf("without a waiter: %+v", b)
	}
}

func TestHoldsUp(t *testing.T) {
	b := locks.Find(&model.State{LockWaits: []model.LockWait{wait(2, 1, "0", 3)}}, "main")
	for of, want := range map[locks.Waiter]bool{{App: "shop", Slot: "0"}: true, {App: "shop", Slot: "1"}: false, {App: "blog", Slot: "0"}: false} {
		if b.HoldsUp(of.App, of.Slot) != want {
			t.Errorf("%+v: %t", of, !want)
		}
	}
	if (*locks.Blocker)(nil).HoldsUp("shop", "0") {
		t.Error("without a blocker")
	}
}
