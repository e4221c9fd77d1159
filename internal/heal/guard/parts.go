package guard

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

const (
	partSize = journal.LineSize / 4 // bytes that a part is begun for; JSON may escape what is in it
	keepLast = 7 * 24 * time.Hour   // a longer cooldown may come with a reload
)

// entries returns the lines with which a file of the journal begins: all that is
// remembered, without acts, cooldowns and duplicates that are over. Failures are kept
// whatever their age.
func (m *Memory) entries(set *Settings, now time.Time) []journal.Entry {
	p := parts{current: &journal.GuardState{}}
	m.addActs(&p, set, now)
	for k, list := range m.failures {
		if len(list) > 0 {
			p.reserve(len(k), len(list))
			put(&p.current.Failures, k, slices.Clone(list))
		}
	}
	for k, list := range m.inRow {
		p.reserve(len(k), len(list))
		put(&p.current.InRow, k, list)
	}
	for rule, alerts := range m.calls {
		for fingerprint := range alerts {
			p.reserve(len(rule)+len(fingerprint), 1)
			put(&p.current.Calls, rule, append(p.current.Calls[rule], fingerprint))
		}
	}
	for k, h := range m.holds {
		p.reserve(len(k)+holdSize(h), 3)
		put(&p.current.Holds, k, h)
	}
	for k, until := range m.dedup {
		if until.After(now) {
			p.reserve(len(k), 1)
			put(&p.current.Known, k, until)
		}
	}
	return p.entries(now)
}

// holdSize returns about how many bytes of text a temporary setting has.
func holdSize(h action.Hold) int {
	n := 300 + len(h.Action) + len(h.Target) + len(h.Rule) + len(h.Run) + len(h.Fingerprint)
	for k, v := range h.Info {
		n += len(k) + len(v) + 8
	}
	return n
}

// addActs adds to the parts what was done to which target, without cooldowns that are
// long over.
func (m *Memory) addActs(p *parts, set *Settings, now time.Time) {
	for k, t := range m.last {
		if now.Sub(t) < keepLast || m.cooldownUntil(set, k).After(now) {
			p.reserve(len(k), 1)
			put(&p.current.Last, k, t)
		}
	}
	for k, list := range m.acts {
		if now.Sub(list[len(list)-1]) <= actsFor {
			p.reserve(len(k), len(list))
			put(&p.current.Acts, k, list)
		}
	}
	keep := max(set.Budgets.Per, 24*time.Hour)
	for _, t := range m.applied {
		if now.Sub(t) < keep {
			p.reserve(0, 1)
			p.current.Applied = append(p.current.Applied, t)
		}
	}
}

// put sets a key of a map, which it makes where there is none.
func put[V any](m *map[string]V, k string, v V) {
	if *m == nil {
		*m = make(map[string]V)
	}
	(*m)[k] = v
}

// parts splits the state of guards so that each part fits into a line.
type parts struct {
	current *journal.GuardState
	size    int // of it, in bytes
	full    []*journal.GuardState
}

// reserve begins the next part if the present one has no room for a key and so many
// times.
func (p *parts) reserve(key, times int) {
	need := key + 16 + 40*times
	if p.size+need > partSize && p.size > 0 {
		p.full = append(p.full, p.current)
		p.current, p.size = &journal.GuardState{}, 0
	}
	p.size += need
}

// entries returns a journal line for each part, numbered.
func (p *parts) entries(now time.Time) []journal.Entry {
	all := append(p.full, p.current)
	out := make([]journal.Entry, len(all))
	for i, g := range all {
		g.Part, g.Parts = i+1, len(all)
		out[i] = journal.Entry{At: now, Decision: journal.DecisionCarried, Guards: g}
	}
	return out
}
