package appname_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// at returns a time that many hours after the first one.
func at(hours float64) time.Time {
	return time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC).Add(time.Duration(hours * float64(time.Hour)))
}

// A reserved name is free for its own identity only, and after 24 hours also for one
// that differs only by its address.
func TestIsFree(t *testing.T) {
	id := appname.ID{Base: "shop", Owner: 33, Unit: "shop", Bind: ":8000"}
	moved := id
	moved.Bind = ":8001"
	other := id
	other.Host = "pod"
	reserved := appname.Reservation{ID: id, Owner: 33, Unit: "shop", Since: at(0)}
	for name, c := range map[string]struct {
		reserved, want appname.Reservation
		free           bool
	}{
		"the same":                      {reserved, appname.Reservation{ID: id, Owner: 33, Unit: "shop", Since: at(1)}, true},
		"another user's":                {reserved, appname.Reservation{ID: id, Owner: 34, Unit: "shop", Since: at(100)}, false},
		"another unit's":                {reserved, appname.Reservation{ID: id, Owner: 33, Unit: "till", Since: at(100)}, false},
		"of no unit, for one in a unit": {appname.Reservation{ID: id, Owner: 33, Since: at(0)}, appname.Reservation{ID: id, Owner: 33, Unit: "shop", Since: at(1)}, true},
		"another port, soon":            {reserved, appname.Reservation{ID: moved, Owner: 33, Unit: "shop", Since: at(23)}, false},
		"another port, in 24 hours":     {reserved, appname.Reservation{ID: moved, Owner: 33, Unit: "shop", Since: at(24)}, false},
		"another port, later":           {reserved, appname.Reservation{ID: moved, Owner: 33, Unit: "shop", Since: at(24.1)}, true},
		"another host, later":           {reserved, appname.Reservation{ID: other, Owner: 33, Unit: "shop", Since: at(100)}, false},
	} {
		all := appname.Reservations{"shop": c.reserved}
		if got := all.IsFree("shop", c.want); got != c.free {
			t.Errorf("%s: free %v", name, got)
		}
		if !all.IsFree("till", c.want) {
			t.Errorf("%s: a name that nobody reserved is not free", name)
		}
	}
}

// One account's names do not push out those of another, and root has more.
func TestReserveWithinBounds(t *testing.T) {
	all := make(appname.Reservations)
	reserve := func(name string, owner, hour int) {
		all.Reserve(name, appname.Reservation{Owner: procfs.Account(owner), Since: at(float64(hour))})
	}
	reserve("other", 34, 0)
	for i := range 64 {
		reserve("n"+strconv.Itoa(i), 33, 100-i) // n63 is the oldest
	}
	if len(all) != 65 {
		t.Fatalf("%d names of 65", len(all))
	}
	reserve("new", 33, 200)
	if _, oldest := all["n63"]; oldest || len(all) != 65 {
		t.Errorf("%d names, the oldest is kept: %v", len(all), oldest)
	}
	for _, name := range []string{"other", "new", "n0", "n62"} {
		if _, ok := all[name]; !ok {
			t.Errorf("%s was dropped", name)
		}
	}
	for i := range appname.MaxReserved {
		reserve("root"+strconv.Itoa(i), 0, i)
	}
	if len(all) != appname.MaxReserved {
		t.Errorf("%d names in all", len(all))
	}
	reserve("late", 35, 300) // takes the place of the account's that has most names, but root's
	if _, ok := all["late"]; !ok || len(all) != appname.MaxReserved || all["root1023"].Since != at(1023) {
		t.Errorf("%d names, the late one is reserved: %v", len(all), ok)
	}
	if _, ok := all["n62"]; ok {
		t.Error("the oldest name of the account with most names is kept")
	}
}

// Many accounts that fill all places keep no other account from reserving names, and a name
// that is reserved again takes no other one's place.
func TestReserveBesideManyAccounts(t *testing.T) {
	all := make(appname.Reservations)
	reserve := func(name string, owner, hour int) {
		all.Reserve(name, appname.Reservation{Owner: procfs.Account(owner), Since: at(float64(hour))})
	}
	for owner := range 16 {
		for i := range 64 {
			reserve(strconv.Itoa(owner)+"-"+strconv.Itoa(i), 1000+owner, 1)
		}
	}
	reserve("3-5", 1003, 2)
	if len(all) != 1024 || all["3-5"].Since != at(2) {
		t.Fatalf("%d names, %+v", len(all), all["3-5"])
	}
	for i := range 10 {
		reserve("root"+strconv.Itoa(i), 0, 3)
		reserve("www"+strconv.Itoa(i), 33, 3)
	}
	for i := range 10 {
		if all["root"+strconv.Itoa(i)].Since != at(3) || all["www"+strconv.Itoa(i)].Owner != 33 {
			t.Errorf("name %d was not reserved", i)
		}
	}
	if len(all) != appname.MaxReserved {
		t.Errorf("%d names", len(all))
	}
}

func TestCompareIDs(t *testing.T) {
	sorted := []appname.ID{
		{Base: "a", Owner: 2}, {Base: "b", Unit: "x"}, {Base: "b", Owner: 1}, {Base: "b", Owner: 1, Bind: ":1"},
		{Base: "b", Owner: 1, Host: "h"}, {Base: "b", Owner: 1, Unit: "u"}, {Base: "b", Owner: 2},
	}
	for i := range sorted {
		for j := range sorted {
			got := appname.CompareIDs(&sorted[i], &sorted[j])
			if (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%+v and %+v: %d", sorted[i], sorted[j], got)
			}
		}
	}
}

func TestCompareNames(t *testing.T) {
	names := []string{"shop~10", "till", "shop~2", "shop"}
	slices.SortFunc(names, appname.CompareNames)
	if !slices.Equal(names, []string{"shop", "till", "shop~2", "shop~10"}) {
		t.Errorf("%q", names)
	}
}

func TestOrdinals(t *testing.T) {
	if got := appname.Ordinal("shop", 2); got != "shop~2" {
		t.Errorf("%q", got)
	}
	for name, want := range map[string]string{"shop~2": "shop", "shop": "shop", "shop~x": "shop~x", "~3": "", "shop@u~12": "shop@u"} {
		if got := appname.WithoutOrdinal(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestWithoutBind(t *testing.T) {
	id := appname.ID{Base: "b", Owner: 1, Unit: "u", Host: "h", Bind: ":1"}
	if got := id.WithoutBind(); got != (appname.ID{Base: "b", Owner: 1, Unit: "u", Host: "h"}) || id.Bind != ":1" {
		t.Errorf("%+v of %+v", got, id)
	}
}
