package history

import (
	"cmp"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	// MaxBuckets is how many buckets a [Strip] has.
	MaxBuckets = 3600
	// MaxRows is how many rows a [Top] has.
	MaxRows = 500
	// MaxListed is how many requests a [Moment] has.
	MaxListed = 2000
	// nearest is how far from the time that is wanted a sample may be.
	nearest = 10 * time.Second
	// maxGroups is how many different rows are told apart in one answer.
	maxGroups = 20_000
)

// span returns from and to; a zero time becomes that of the first or the last sample, and
// stays zero if nothing is kept.
func (h *History) span(from, to time.Time) (time.Time, time.Time) {
	if from.IsZero() || to.IsZero() {
		k := h.Kept()
		if from.IsZero() {
			from = k.From
		}
		if to.IsZero() {
			to = k.To
		}
	}
	return from, to
}

// Strip returns how many requests of an app there were by what they did, from one time to
// another, both included, in at most buckets steps (1 to [MaxBuckets]) of whole seconds.
// "": of all apps. Zero times: all that is kept. It has no buckets if nothing is kept, or
// to is before from.
func (h *History) Strip(app string, from, to time.Time, buckets int) Strip {
	from, to = h.span(from, to)
	out := Strip{App: app, From: from, To: to, Step: time.Second}
	if from.IsZero() || to.Before(from) {
		return out
	}
	buckets = min(max(buckets, 1), MaxBuckets)
	seconds := int64(to.Sub(from)/time.Second) + 1
	out.Step = time.Duration((seconds+int64(buckets)-1)/int64(buckets)) * time.Second
	n := int(to.Sub(from)/out.Step) + 1
	out.Buckets = make([]Bucket, n)
	for i := range out.Buckets {
		out.Buckets[i].At = from.Add(time.Duration(i) * out.Step)
	}
	c := stripCounts{app: app, kinds: make(map[string]int), buckets: make([][]int, n)}
	h.each(from, to, func() { c.rows = c.rows[:0] }, func(at time.Time, d *decoder) {
		i := int(at.Sub(from) / out.Step)
		out.Buckets[i].Samples++
		c.add(i, d)
	})
	c.fill(&out)
	return out
}

// stripCounts counts requests by bucket and kind.
type stripCounts struct {
	app     string
	kinds   map[string]int // number of each kind
	rows    []int          // kind of each row of the segment; -1: it is of another app
	buckets [][]int        // by kind
}

// add counts the requests of one sample in a bucket, by kind.
func (c *stripCounts) add(bucket int, d *decoder) {
	for i := len(c.rows); i < len(d.rows); i++ {
		kind := -1
		if r := &d.rows[i]; c.app == "" || r.App == c.app {
			if _, ok := c.kinds[r.On]; !ok {
				c.kinds[r.On] = len(c.kinds)
			}
			kind = c.kinds[r.On]
		}
		c.rows = append(c.rows, kind)
	}
	counts := c.buckets[bucket]
	for _, e := range d.entries {
		kind := c.rows[e.row]
		if kind < 0 {
			continue
		}
		for len(counts) <= kind {
			counts = append(counts, 0)
		}
		counts[kind]++
	}
	c.buckets[bucket] = counts
}

// sums returns how many requests of each kind all buckets have together.
func (c *stripCounts) sums() map[string]int {
	sums := make(map[string]int)
	for on, k := range c.kinds {
		for _, counts := range c.buckets {
			if k < len(counts) {
				sums[on] += counts[k]
			}
		}
	}
	return sums
}

// fill sets the kinds of a strip, the most frequent first, and the mean number of
// requests of each kind in each bucket.
func (c *stripCounts) fill(s *Strip) {
	sums := c.sums()
	for on, n := range sums {
		if n > 0 {
			s.On = append(s.On, on)
		}
	}
	slices.SortFunc(s.On, func(a, b string) int { return cmp.Or(cmp.Compare(sums[b], sums[a]), cmp.Compare(a, b)) })
	for i, counts := range c.buckets {
		if len(counts) == 0 {
			continue
		}
		b := &s.Buckets[i]
		b.Requests = make([]float64, len(s.On))
		for k, on := range s.On {
			if kind := c.kinds[on]; kind < len(counts) {
				b.Requests[k] = float64(counts[kind]) / float64(b.Samples)
			}
		}
	}
}

// group is what tells rows of a [Top] apart.
type group struct {
	app, view, on, peer, kind string
	line                      model.Frame
}

// grouped is one row of a [Top] while it is counted.
type grouped struct {
	Row

	slots map[string]bool
}

// Top returns what the requests of an app spent their time on, from one time to another,
// both included: at most limit and [MaxRows] rows, and how many are left out. Rows beyond
// 20,000 are not counted at all. "": of all apps. Zero times: all that is kept.
func (h *History) Top(app string, from, to time.Time, limit int) Top {
	from, to = h.span(from, to)
	out := Top{App: app, From: from, To: to}
	groups := make(map[group]*grouped)
	var of []*grouped // by row of the segment; nil: of another app, or beyond the limit
	var seen []bool
	h.each(from, to, func() { of, seen = of[:0], seen[:0] }, func(_ time.Time, d *decoder) {
		out.Samples++
		for i := len(of); i < len(d.rows); i++ {
			of, seen = append(of, groupOf(groups, &d.rows[i], app)), append(seen, false)
		}
		for _, e := range d.entries {
			out.Seconds += of[e.row].count(e, d, seen)
		}
	})
	for _, g := range groups {
		if g.Seconds == 0 { // its samples are outside of the time
			continue
		}
		g.Workers = len(g.slots)
		g.Share = g.Seconds / out.Seconds
		out.Rows = append(out.Rows, g.Row)
	}
	slices.SortFunc(out.Rows, compareRows)
	keep := min(len(out.Rows), max(limit, 0), MaxRows)
	out.Left = len(out.Rows) - keep
	out.Rows = slices.Clip(out.Rows[:keep])
	return out
}

// groupOf returns the row to which a request belongs, which it makes if there is none;
// nil if the request is of another app, or there are too many rows.
func groupOf(groups map[group]*grouped, r *Request, app string) *grouped {
	if app != "" && r.App != app {
		return nil
	}
	k := group{r.App, r.View, r.On, r.Peer, r.Kind, r.Line}
	g := groups[k]
	if g == nil {
		if len(groups) >= maxGroups {
			return nil
		}
		g = &grouped{Row: Row{App: r.App, View: r.View, Line: r.Line, On: r.On, Peer: r.Peer, Kind: r.Kind}, slots: make(map[string]bool)}
		groups[k] = g
	}
	return g
}

// count counts a request in its row and returns the seconds that it adds: 1, as there is
// a sample each second; 0 for a nil row.
func (g *grouped) count(e entry, d *decoder, seen []bool) float64 {
	if g == nil {
		return 0
	}
	if !seen[e.row] {
		seen[e.row] = true
		g.see(&d.rows[e.row])
	}
	g.Seconds++
	g.Longest = max(g.Longest, e.seconds)
	return 1
}

// see adds to a row what requests of the row may differ in: their worker, statement and
// blocker.
func (g *grouped) see(r *Request) {
	g.slots[r.Slot] = true
	if r.Digest != "" {
		g.Digest = r.Digest
	}
	if r.Blocker != nil {
		g.Blocker = r.Blocker
	}
}

// compareRows orders rows by their seconds, the most first, then by their texts, as
// [slices.SortFunc] expects it.
func compareRows(a, b Row) int {
	return cmp.Or(
		cmp.Compare(b.Seconds, a.Seconds), cmp.Compare(a.App, b.App), cmp.Compare(a.View, b.View), cmp.Compare(a.Line.File, b.Line.File), cmp.Compare(a.Line.Line, b.Line.Line),
		cmp.Compare(a.Line.Function, b.Line.Function), cmp.Compare(a.On, b.On), cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.Kind, b.Kind))
}

// At returns what the requests of an app did at the sample that is nearest to a time: the
// longest first, at most limit and at most [MaxListed], and how many are left out. "": of all
// apps. A zero Moment.At: there is no sample within 10 s.
func (h *History) At(app string, at time.Time, limit int) Moment {
	var out Moment
	h.each(at.Add(-nearest), at.Add(nearest), func() {}, func(t time.Time, d *decoder) {
		if !out.At.IsZero() && out.At.Sub(at).Abs() <= t.Sub(at).Abs() {
			return
		}
		out = Moment{At: t}
		for _, e := range d.entries {
			if r := d.rows[e.row]; app == "" || r.App == app {
				r.Seconds = e.seconds
				out.Requests = append(out.Requests, r)
			}
		}
	})
	slices.SortStableFunc(out.Requests, func(a, b Request) int { return cmp.Compare(b.Seconds, a.Seconds) })
	keep := min(len(out.Requests), max(limit, 0), MaxListed)
	out.Left = len(out.Requests) - keep
	out.Requests = slices.Clip(out.Requests[:keep])
	return out
}
