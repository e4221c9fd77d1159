package discovery

import (
	"log/slog"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
)

// A heartbeat file belongs to the oldest child that holds it.
func TestOwnsHeartbeat(t *testing.T) {
	t.Parallel()
	beat := func(fd int, name string) *table.Descriptors {
		return &table.Descriptors{Known: true, Sockets: map[uint64][]int{}, Heartbeat: fd, HeartbeatName: name}
	}
	for name, c := range map[string]struct {
		kid, other *table.Descriptors
		otherPID   int // 20 is the child's
		want       bool
	}{
		"alone":                        {beat(6, "a"), nil, 0, true},
		"descriptor 0":                 {beat(0, "a"), nil, 0, true},
		"no file":                      {beat(-1, ""), nil, 0, false},
		"no file, nor has the other":   {beat(-1, ""), beat(-1, ""), 30, false},
		"an older one holds it":        {beat(6, "a"), beat(6, "a"), 10, false},
		"an older one as descriptor 0": {beat(6, "a"), beat(0, "a"), 10, false},
		"a younger one holds it":       {beat(6, "a"), beat(6, "a"), 30, true},
		"an older one has its own":     {beat(6, "a"), beat(6, "b"), 10, true},
		"an older one has several":     {beat(6, "a"), beat(-1, "a"), 10, true},
	} {
		w := host(t)
		root, kid := server(w, 5, 33, "shop"), server(w, 20, 33, "shop")
		kid.Descriptors = c.kid
		childOf(w, root, kid)
		if c.other != nil {
			other := server(w, c.otherPID, 33, "shop")
			other.Descriptors = c.other
			childOf(w, root, other)
		}
		if got := w.ownsHeartbeat(root, kid); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A snapshot is used again for less than freshFor.
func TestRecentSnapshot(t *testing.T) {
	t.Parallel()
	w, s := host(t), &Snapshot{}
	w.taken = at(1000)
	for age, want := range map[time.Duration]*Snapshot{0: s, 20*time.Millisecond - 1: s, 20 * time.Millisecond: nil, time.Hour: nil} {
		w.now = func() time.Time { return at(1000).Add(age) }
		if w.last = s; w.recent() != want {
			t.Errorf("after %s: used is %v", age, want == nil)
		}
		if w.last = nil; w.recent() != nil {
			t.Errorf("after %s: there is none", age)
		}
	}
}

// The holder of a socket that was opened after the last read of the descriptors is
// found by another read, at most once a second.
func TestHolderOfSocket(t *testing.T) {
	t.Parallel()
	root, now := t.TempDir(), at(1000)
	w, err := New(Options{ProcRoot: root, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	add := func(pid int, name string) *table.Process {
		p := server(w, pid, 33, name)
		a := newApp(name, -1)
		a.members, p.Member = []*table.Process{p}, a
		w.apps = append(w.apps, a)
		return p
	}
	add(10, "shop")
	add(20, "blog")
	want := func(what string, inode uint64, holder string, readAt int64) {
		t.Helper()
		if got := w.holderOf(inode); got != holder || w.fdsReadAt != at(readAt) {
			t.Errorf("%s: %q, descriptors read at %v; want %q, %v", what, got, w.fdsReadAt, holder, at(readAt))
		}
	}
	w.fdsReadAt = at(900)
	want("known", 20, "blog", 900)

	fakeProcess(t, root, 10, 10, 701)
	fakeProcess(t, root, 20, 20)
	want("opened since", 701, "shop", 1000)
	want("the other app's is still known", 20, "blog", 1000)

	fakeProcess(t, root, 30)
	p := add(30, "late")
	p.Descriptors.Sockets = map[uint64][]int{}
	fakeProcess(t, root, 30, 702)
	now = at(1001)
	want("a second later", 702, "", 1000)
	now = at(1001).Add(1)
	if got := w.holderOf(702); got != "late" || w.fdsReadAt != now {
		t.Errorf("after more than a second: %q, read at %v", got, w.fdsReadAt)
	}
	now = at(1010)
	want("no process has it", 999, "", 1010)
}
