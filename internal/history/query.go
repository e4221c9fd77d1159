package history

import (
	"cmp"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	// MaxBuckets, MaxRows and MaxListed bound the answers.
	MaxBuckets, MaxRows, MaxListed = 3600, 500, 2000
	// nearest is how far from the time that is wanted a sample may be.
	nearest = 10 * time.Second
	// maxGroups is how many different rows are told apart in one answer.
	maxGroups = 20_000
)

// span returns a time with the first and the last sample for zero times.
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

// Strip returns what the requests of an app did from one time to another, both included,
// in at most so many buckets of whole seconds; MaxBuckets at most.
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
	counts := make([]map[string]int, n)
	sums := make(map[string]int)
	for _, s := range h.view() {
		s.each(from, to, func(at time.Time, d *decoder) {
			i := int(at.Sub(from) / out.Step)
			out.Buckets[i].Samples++
			for _, e := range d.entries {
				if r := &d.rows[e.row]; app == "" || r.App == app {
					if counts[i] == nil {
						counts[i] = make(map[string]int)
					}
					counts[i][r.On]++
					sums[r.On]++
				}
			}
		})
	}
	out.fill(counts, sums)
	return out
}

// fill sets the kinds of a strip, and what is in each bucket.
func (s *Strip) fill(counts []map[string]int, sums map[string]int) {
	for on := range sums {
		s.On = append(s.On, on)
	}
	slices.SortFunc(s.On, func(a, b string) int { return cmp.Or(cmp.Compare(sums[b], sums[a]), cmp.Compare(a, b)) })
	for i := range s.Buckets {
		b := &s.Buckets[i]
		if counts[i] == nil {
			continue
		}
		b.Requests = make([]float64, len(s.On))
		for k, on := range s.On {
			b.Requests[k] = float64(counts[i][on]) / float64(b.Samples)
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

// Top returns what the requests of an app did from one time to another, both included: at
// most so many rows, MaxRows at most.
func (h *History) Top(app string, from, to time.Time, limit int) Top {
	from, to = h.span(from, to)
	out := Top{App: app, From: from, To: to}
	groups := make(map[group]*grouped)
	for _, s := range h.view() {
		var of []*grouped // by row of the segment
		s.each(from, to, func(_ time.Time, d *decoder) {
			out.Samples++
			for len(of) < len(d.rows) {
				of = append(of, nil)
			}
			for _, e := range d.entries {
				r := &d.rows[e.row]
				if app != "" && r.App != app {
					continue
				}
				out.Seconds++
				if of[e.row] == nil {
					if of[e.row] = groupOf(groups, r); of[e.row] == nil {
						continue
					}
				}
				of[e.row].count(r, e.seconds)
			}
		})
	}
	for _, g := range groups {
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

// groupOf returns the row of a request; nil: there are too many.
func groupOf(groups map[group]*grouped, r *Request) *grouped {
	k := group{r.App, r.View, r.On, r.Peer, r.Kind, r.Line}
	g := groups[k]
	if g == nil && len(groups) < maxGroups {
		g = &grouped{Row: Row{App: r.App, View: r.View, Line: r.Line, On: r.On, Peer: r.Peer, Kind: r.Kind}, slots: make(map[string]bool)}
		groups[k] = g
	}
	return g
}

// count counts one request.
func (g *grouped) count(r *Request, seconds float64) {
	g.Seconds++
	g.Longest = max(g.Longest, seconds)
	if !g.slots[r.Slot] {
		g.slots[r.Slot] = true
	}
	if r.Digest != "" {
		g.Digest = r.Digest
	}
	if r.Blocker != nil {
		g.Blocker = r.Blocker
	}
}

func compareRows(a, b Row) int {
	return cmp.Or(
		cmp.Compare(b.Seconds, a.Seconds), cmp.Compare(a.App, b.App), cmp.Compare(a.View, b.View), cmp.Compare(a.Line.File, b.Line.File), cmp.Compare(a.Line.Line, b.Line.Line),
		cmp.Compare(a.Line.Function, b.Line.Function), cmp.Compare(a.On, b.On), cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.Kind, b.Kind))
}

// At returns what the requests of an app did at the sample nearest to a time, 10 s away at
// most: at most so many requests, MaxListed at most.
func (h *History) At(app string, at time.Time, limit int) Moment {
	var out Moment
	for _, s := range h.view() {
		s.each(at.Add(-nearest), at.Add(nearest), func(t time.Time, d *decoder) {
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
	}
	slices.SortStableFunc(out.Requests, func(a, b Request) int { return cmp.Compare(b.Seconds, a.Seconds) })
	keep := min(len(out.Requests), max(limit, 0), MaxListed)
	out.Left = len(out.Requests) - keep
	out.Requests = slices.Clip(out.Requests[:keep])
	return out
}

