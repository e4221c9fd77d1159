// Package diagnosis finds who waits for whom: from the threads that wait to the one that
// waits for nothing that is watched. It is pure: no I/O.
package diagnosis

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// What must be seen before a chain is built, in seconds. A busy app that is healthy
// waits for less.
const (
	// minWait is how long a thread must have waited to be a victim, and how long a
	// wait inside a store must have lasted to be followed.
	minWait = 1
	// minUnheld is how many seconds the longest victim must have waited if no holder is
	// known: a slow statement, a slow address.
	minUnheld = 5
	// minBlocking is the same for commands of Redis that wait for data by design.
	minBlocking = 30
)

// maxLinks bounds the links of a chain. The first ones and the root are kept.
const maxLinks = 16

// Chains returns who waits for whom in a state that was read at now: one chain per root or
// deadlock, the one with most victims first; none if nobody waits long enough. A victim is
// in one chain only. A chain has at most maxLinks links, its root included. With a zero
// now the start times of requests are not used.
func Chains(s *model.State, now time.Time) []model.Chain {
	if !anybodyWaits(s) {
		return nil
	}
	g := newGraph(s, now)
	groups := make(map[node]*group)
	for _, p := range g.paths() {
		k := groups[p.end]
		if k == nil {
			k = &group{end: p.end}
			groups[p.end] = k
		}
		k.add(p)
	}
	out := make([]model.Chain, 0, len(groups))
	for _, k := range slices.SortedFunc(maps.Values(groups), byEnd) {
		if k.longest < k.least() {
			continue
		}
		if c := g.chain(k); len(c.Links) > 0 {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b model.Chain) int {
		return cmp.Or(cmp.Compare(len(b.Victims), len(a.Victims)), cmp.Compare(b.Seconds, a.Seconds))
	})
	return out
}

// anybodyWaits reports whether a thread has been in one state with a request for long
// enough to be a victim.
func anybodyWaits(s *model.State) bool {
	for i := range s.Workers {
		for j := range s.Workers[i].Workers {
			for k := range s.Workers[i].Workers[j].Threads {
				if t := &s.Workers[i].Workers[j].Threads[k]; t.Seconds >= minWait && t.On != "idle" && !t.Task {
					return true
				}
			}
		}
	}
	return false
}

// group is the victims of one root or deadlock.
type group struct {
	end     node
	paths   []path
	longest float64 // seconds that one of them has waited
	held    bool    // the holder of what one of them waits for is known
	blocks  bool    // they wait for data by design
}

// byEnd orders groups by their end, as [slices.SortFunc] expects it.
func byEnd(a, b *group) int { return a.end.compare(b.end) }

// add adds a path to the group.
func (k *group) add(p path) {
	k.paths = append(k.paths, p)
	k.longest = max(k.longest, p.seconds)
	k.held = k.held || p.held
	k.blocks = k.blocks || p.steps[0].kind == kindBlocking
}

// least returns how many seconds the longest victim must have waited for the group to be
// a chain: less if the holder is known, most for waits that may be by design.
func (k *group) least() float64 {
	switch {
	case k.held:
		return minWait
	case k.blocks:
		return minBlocking
	}
	return minUnheld
}
