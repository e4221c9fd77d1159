package sessions

import (
	"slices"
	"strings"
	"time"
)

// KeySet selects the keys of a server to count: those that begin with a prefix.
type KeySet struct {
	Prefix   string        // taken as it is: nothing in it has a meaning
	Lifetime time.Duration // how long such a key should live at most; 0: not set
}

// Counts is what a full scan counted of a [KeySet], by SCAN, TTL and
// MEMORY USAGE. It is an estimate: a key that comes or goes meanwhile may be
// counted or not, and one may be counted twice while the server resizes its
// table. What the server refuses is nil.
type Counts struct {
	Keys         float64
	NoExpiry     *float64 // keys that never expire
	OverLifetime *float64 // keys that expire later than Lifetime from now; nil also without one
	Bytes        *float64 // of all: their number times the mean of a sample
}

// Of the keys of a set the first few are weighed, then one in so many.
const (
	weighFirst = 20
	weighEach  = 100
)

// counter counts the keys of a set during a scan. Its size does not depend on
// the number of keys.
type counter struct {
	keys, noExpiry, late int
	seen                 int // keys that were there for SCAN, whether they still were for TTL or not
	weighed              int
	bytes                float64
}

// wants reports whether to read the size of the next key: of the first 20, then of every
// hundredth.
func (c *counter) wants() bool { return c.seen < weighFirst || c.seen%weighEach == 0 }

// record counts one key by what was read of it. A key that is gone or moved is not
// counted.
func (c *counter) record(a keyInfo, lifetime time.Duration) {
	if a.ttl == ttlGone || a.ttl == ttlMoved {
		return
	}
	c.keys++
	switch {
	case a.ttl == ttlNone:
		c.noExpiry++
	case lifetime > 0 && a.ttl > int64(lifetime/time.Second):
		c.late++
	}
	if a.bytes >= 0 {
		c.weighed++
		c.bytes += float64(a.bytes)
	}
}

// tally returns the counts, without those whose queries the server refused: expiry and
// memory are false then. OverLifetime is nil without a lifetime, Bytes also if there are
// keys but none was weighed.
func (c *counter) tally(lifetime time.Duration, expiry, memory bool) Counts {
	t := Counts{Keys: float64(c.keys)}
	if expiry {
		t.NoExpiry = new(float64(c.noExpiry))
	}
	if expiry && lifetime > 0 {
		t.OverLifetime = new(float64(c.late))
	}
	switch {
	case !memory:
	case c.keys == 0:
		t.Bytes = new(0.0)
	case c.weighed > 0:
		t.Bytes = new(c.bytes / float64(c.weighed) * float64(c.keys))
	}
	return t
}

// groupByFirstByte returns the sets in groups, one scan each: those whose prefixes begin
// with the same byte, sorted by prefix, each once, and none with an empty prefix. SCAN
// visits every key whatever the pattern, so that each further scan costs the server as
// much again; a pattern that matches everything would transfer the names of keys that are
// no sessions.
func groupByFirstByte(sets []KeySet) [][]KeySet {
	sets = slices.DeleteFunc(slices.Clone(sets), func(s KeySet) bool { return s.Prefix == "" })
	slices.SortFunc(sets, func(a, b KeySet) int {
		if a.Prefix != b.Prefix {
			return strings.Compare(a.Prefix, b.Prefix)
		}
		return int(a.Lifetime - b.Lifetime)
	})
	sets = slices.Compact(sets)
	var out [][]KeySet
	for i, s := range sets {
		if i == 0 || s.Prefix[0] != sets[i-1].Prefix[0] {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], s)
	}
	return out
}

// commonPrefix returns the longest prefix of all prefixes of a group.
func commonPrefix(sets []KeySet) string {
	p := sets[0].Prefix
	for _, s := range sets[1:] {
		for !strings.HasPrefix(s.Prefix, p) {
			p = p[:len(p)-1]
		}
	}
	return p
}
