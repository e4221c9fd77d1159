package heal

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

const (
	partSize = journal.LineSize / 4 // bytes that a part is begun for; JSON may escape what is in it
	keepLast = 7 * 24 * time.Hour   // a longer cooldown may come with a reload
)

// carried returns the lines with which a file of the journal begins: all that the
// guards still go by. It must not be called with r.mu held.
func (r *Runner) carried() []journal.Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	c := carrier{now: now, part: &journal.GuardState{}}
	r.carryActs(&c)
	for k, list := range r.failures {
		if len(list) > 0 {
			c.room(len(k), len(list))
			set(&c.part.Failures, k, list)
		}
	}
	for k, fingerprint := range r.human {
		c.room(len(k)+len(fingerprint), 1)
		set(&c.part.Human, k, fingerprint)
	}
	for k, until := range r.dedup {
		if until.After(now) {
			c.room(len(k), 1)
			set(&c.part.Known, k, until)
		}
	}
	return c.entries()
}

// carryActs adds what was done to which target. r.mu is held.
func (r *Runner) carryActs(c *carrier) {
	now := c.now
	for k, t := range r.last {
		if now.Sub(t) < keepLast || r.cooling(k).After(now) {
			c.room(len(k), 1)
			set(&c.part.Last, k, t)
		}
	}
	for k, list := range r.acts {
		if now.Sub(list[len(list)-1]) <= actsFor {
			c.room(len(k), len(list))
			set(&c.part.Acts, k, list)
		}
	}
	keep := max(r.set.Budgets.Per, 24*time.Hour)
	for _, t := range r.applied {
		if now.Sub(t) < keep {
			c.room(0, 1)
			c.part.Applied = append(c.part.Applied, t)
		}
	}
}

func set[V any](m *map[string]V, k string, v V) {
	if *m == nil {
		*m = make(map[string]V)
	}
	(*m)[k] = v
}

// carrier splits guards into parts that fit into a line each.
type carrier struct {
	now   time.Time
	part  *journal.GuardState
	size  int
	parts []*journal.GuardState
}

// room begins the next part where this one has no room for a key and times.
func (c *carrier) room(key, times int) {
	need := key + 16 + 40*times
	if c.size+need > partSize && c.size > 0 {
		c.parts = append(c.parts, c.part)
		c.part, c.size = &journal.GuardState{}, 0
	}
	c.size += need
}

func (c *carrier) entries() []journal.Entry {
	parts := append(c.parts, c.part)
	out := make([]journal.Entry, len(parts))
	for i, g := range parts {
		g.Part, g.Parts = i+1, len(parts)
		out[i] = journal.Entry{At: c.now, Decision: journal.DecisionCarried, Guards: g}
	}
	return out
}
