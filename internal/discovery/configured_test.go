package discovery

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// settleAt runs one scan at that second and returns the app's user and the numbers of
// its roots and of processes of other users.
func settleAt(w *Watcher, a *app, second int, tops ...*table.Process) (owner procfs.Account, roots, strangers int) {
	w.scanNumber++
	now := time.Unix(int64(second), 0)
	w.assignRoots(a, tops, now)
	switch {
	case len(a.roots) > 0:
		a.downSince = time.Time{}
		if a.since.IsZero() {
			a.since = now
		}
		a.established = a.established || now.Sub(a.since) >= establishedAfter
	case a.downSince.IsZero():
		a.downSince = now
		fallthrough
	default:
		if !a.established {
			a.since = time.Time{}
		}
	}
	return a.owner, len(a.roots), len(a.strangers)
}

// The roots of a configured app have one user, for any command lines.
func TestConfiguredAppHasOneUser(t *testing.T) {
	w := host(t)
	real, second := server(w, 9000, 12345, "shop"), server(w, 9001, 12345, "shop")
	fake, roots := server(w, 8000, 65534, "shop"), server(w, 9500, 0, "shop")
	tail := server(w, 7000, 0, "shop")
	tail.FDs().Sockets = nil // root looks at the app's log
	for name, c := range map[string]struct {
		steps []*table.Process // present first, for two minutes
		then  []*table.Process
		owner procfs.Account
		roots int
		left  int
	}{
		"the one that was there":           {steps: []*table.Process{real, second}, then: []*table.Process{fake, real, second}, owner: 12345, roots: 2, left: 1},
		"none takes the place of one down": {steps: []*table.Process{real}, then: []*table.Process{fake}, owner: 12345, roots: 0, left: 1},
		"root's may":                       {steps: []*table.Process{real}, then: []*table.Process{fake, roots}, owner: 0, roots: 1, left: 1},
		"root's who does not listen":       {steps: []*table.Process{real}, then: []*table.Process{tail, real}, owner: 12345, roots: 1},
		"root's over an early stranger":    {steps: []*table.Process{fake}, then: []*table.Process{fake, roots}, owner: 0, roots: 1, left: 1},
		"who listens over who does not":    {then: []*table.Process{tail, real}, owner: 12345, roots: 1},
		"the oldest of equals":             {then: []*table.Process{fake, real}, owner: 65534, roots: 1, left: 1},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp("shop", 0)
			if len(c.steps) > 0 {
				settleAt(w, a, 0, c.steps...)
				settleAt(w, a, 120, c.steps...)
			}
			if owner, n, left := settleAt(w, a, 130, c.then...); owner != c.owner || n != c.roots || left != c.left {
				t.Errorf("user %d, %d roots, %d strangers; want %d, %d, %d", owner, n, left, c.owner, c.roots, c.left)
			}
		})
	}
}

// The place of a user is kept for an hour; the previous user gets it back at once.
func TestConfiguredAppChangesItsUser(t *testing.T) {
	w := host(t)
	real, fake, roots := server(w, 9000, 12345, "shop"), server(w, 8000, 65534, "shop"), server(w, 9500, 0, "shop")
	a := newApp("shop", 0)
	settleAt(w, a, 0, real)
	settleAt(w, a, 100, real)
	settleAt(w, a, 110, real, roots) // started as root, for a while
	if owner, _, _ := settleAt(w, a, 300, real, roots); owner != 0 {
		t.Fatalf("user %d", owner)
	}
	if owner, n, _ := settleAt(w, a, 310, real, fake); owner != 12345 || n != 1 {
		t.Errorf("afterwards user %d, %d roots", owner, n)
	}
	settleAt(w, a, 400, real)
	if _, n, _ := settleAt(w, a, 410, fake); n != 0 {
		t.Error("a stranger is the app at once")
	}
	if owner, n, _ := settleAt(w, a, 410+3700, fake); owner != 65534 || n != 1 {
		t.Errorf("after an hour user %d, %d roots", owner, n)
	}
}
