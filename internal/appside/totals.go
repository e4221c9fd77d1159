package appside

import (
	"cmp"
	"slices"
)

// maxTotals is how many apps have totals.
const maxTotals = 4096

// Totals is what the workers of an app have counted since the Keeper was made.
type Totals struct {
	App         string
	Lost        uint64    // reports that could not be sent
	Collections [3]uint64 // of cyclic garbage, by generation
	Shed        [3]uint64 // requests, by priority: low, normal and high
}

// Totals returns the totals of the apps that have had a worker with a memory file, the first
// maxTotals, sorted by name. They do not fall. It reads no file: they are as of the last read.
func (k *Keeper) Totals() []Totals {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make([]Totals, 0, len(k.totals))
	for _, t := range k.totals {
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b Totals) int { return cmp.Compare(a.App, b.App) })
	return out
}

// sumOf returns what the memory files of one process have counted, without its app: the sum
// of the files; of the collections, which all of them count, the greatest number.
func sumOf(states []State) (out Totals) {
	for i := range states {
		c := &states[i].Counters
		out.Lost += c.Lost
		for p, n := range c.ShedBy {
			out.Shed[p] += n
		}
		for g, n := range c.Collections { // each file of a process has the same
			out.Collections[g] = max(out.Collections[g], n)
		}
	}
	return out
}

// noteTotals adds what a worker has counted since the last read.
func (k *Keeper) noteTotals(w worker, x *kept, states []State) {
	if len(states) == 0 {
		return
	}
	t := k.totals[x.app]
	if t == nil {
		if len(k.totals) >= maxTotals {
			k.counts.Invalid++
			return
		}
		t = &Totals{App: x.app}
		k.totals[x.app] = t
	}
	now, before := sumOf(states), &x.counted
	add := func(to, last *uint64, n uint64) {
		if n > *last { // it cannot fall
			if x.hasCounted || k.isNew(w) {
				*to += n - *last
			}
			*last = n
		}
	}
	add(&t.Lost, &before.Lost, now.Lost)
	for p := range now.Shed {
		add(&t.Shed[p], &before.Shed[p], now.Shed[p])
	}
	for g := range now.Collections {
		add(&t.Collections[g], &before.Collections[g], now.Collections[g])
	}
	x.hasCounted = true
}

// isNew reports whether a worker began after the Keeper was made, or at most startSlack
// before: what others had counted before is not new.
func (k *Keeper) isNew(w worker) bool { return w.began+int64(startSlack) >= k.since.UnixNano() }
