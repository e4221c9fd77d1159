package sockets

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

// A socket that has no name yet is waited for in a slot and, in turn, in views: each
// gets its own seconds once the socket has a name, up to a bound.
func TestPending(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	var names Names
	n := names.Name(1000, "shop", 1, now)
	var slot ledger.Seconds
	views := make([]ledger.Seconds, maxPending)
	for i := range 2 * len(views) {
		n.Credit(1, &slot)
		n.Credit(1, &views[i%len(views)])
	}
	names.Set(n, conns.OnMySQL, "10.0.0.9:3306 (mysql)", now)
	n.Credit(1, &slot)
	if slot[ledger.MySQL] != float64(2*len(views)+1) || slot[ledger.Other] != 0 {
		t.Errorf("the slot has %+v", slot)
	}
	for i, v := range views {
		on := ledger.MySQL
		if i == len(views)-1 { // beyond
			on = ledger.Other
		}
		if v[on] != 2 || v.Sum() != 2 {
			t.Errorf("view %d has %+v", i, v)
		}
	}
}

// Sockets that live too short to be named count as what the app waits for
// otherwise.
func TestShortSockets(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	var names Names
	var slot ledger.Slot
	a, b, c := names.Name(1000, "shop", 1, now), names.Name(1000, "shop", 2, now), names.Name(1000, "blog", 3, now)
	for _, n := range []*Socket{a, b, c} {
		n.Credit(2, &slot.Seconds)
	}
	names.Set(a, conns.OnRedis, "redis:cache", now)
	later := now.Add(time.Second)
	names.Set(b, conns.OnOther, "", later) // closed
	if slot.Seconds[ledger.Redis] != 4 {
		t.Errorf("%+v", slot.Seconds)
	}
	names.Set(c, conns.OnOther, "", later) // nothing is known of its app
	if slot.Seconds[ledger.Other] != 2 {
		t.Errorf("%+v", slot.Seconds)
	}
	d := names.Name(1000, "shop", 4, later)
	for i := range maxTries {
		if d.Named {
			t.Errorf("given up after %d tries", i)
		}
		names.Set(d, conns.OnOther, "", later) // it is still waited for
	}
	if !d.Named || d.On != ledger.Other {
		t.Errorf("%+v", d)
	}
	names.Sweep(later.Add(2 * unusedFor))
	if len(names.byInode)+len(names.of) != 0 || len(names.fresh) != 0 || len(names.last) != 0 {
		t.Errorf("%d sockets, %d fresh, %d last", len(names.byInode), len(names.fresh), len(names.last))
	}
	// A user has half of the names at most, the next one half of what is left.
	for owner, want := range []int{maxNames / 2, maxNames / 4, maxNames / 8} {
		before := names.dropped
		for i := range uint64(maxNames) {
			names.Name(procfs.Account(owner), "shop", uint64(owner)*maxNames+i, later)
		}
		if names.of[procfs.Account(owner)] != want || names.dropped-before != uint64(maxNames-want) {
			t.Errorf("user %d has %d names, %d dropped", owner, names.of[procfs.Account(owner)], names.dropped-before)
		}
	}
}
