package past

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
	"github.com/resp-exporter/resp-exporter/internal/web/display"
)

const (
	stripSpan   = time.Hour
	stripStep   = time.Minute
	stripHeight = 56.0
	stripColumn = 10.0 // width of a column in units of the SVG
	stripLabels = 4    // times below it, without that of its end

	momentSpan   = time.Minute // over which the rows of a moment are added up
	momentRows   = 10
	momentHolds  = 12 // requests of the nearest sample
	maxStatement = 120
)

type (
	// Strip is the last hour of an app: how many requests were in progress, by what they
	// waited for.
	Strip struct {
		App     string
		Width   string
		Columns []column
		Labels  []display.Clock
		Full    string // what the full height is
		Keys    []part // the legend, the most first
		Empty   string
		Asked   string // the time that was asked for, 15:04:05 in UTC
	}
	column struct {
		X       string
		At      display.Clock // its middle
		Words   string
		Parts   []part
		Gap     bool
		Chosen  bool
		Machine string
	}
	// Moment is what was done at a moment of the past.
	Moment struct {
		App          string
		At, From, To display.Clock
		Rows         []momentRow
		Left         string
		Requests     []momentRequest
		LeftRequests string
		Seen         display.Clock // when the sample of Requests was taken
		Steps        []momentStep
		Empty        string
	}
	momentRow struct {
		View, Line, Does, Digest, Holder string
		Share, Seconds, Longest          display.Shown
		Bar                              part
	}
	momentRequest struct {
		Slot, View, Line, Does, Holder string
		For                            display.Shown
	}
	momentStep struct{ Word, At string }
)

// Remembers reports whether a history is kept.
func (v *Views) Remembers() bool { return v.history.Kept().MaxBytes > 0 }

// Strip returns the strip of an app's last hour: how many requests did what, a column a
// minute. Its full height is the most requests in progress, at least workers. nil: no
// history is kept.
func (v *Views) Strip(app string, workers float64, q Asked) *Strip {
	if !v.Remembers() {
		return nil
	}
	to := v.now().UTC().Truncate(stripStep).Add(stripStep)
	from := to.Add(-stripSpan)
	n := int(stripSpan / stripStep)
	s := v.history.Strip(app, from, to.Add(-time.Second), n) // the last second is a part of it
	most := max(1, workers)
	seen := false
	for i := range s.Buckets {
		most, seen = max(most, sum(s.Buckets[i].Requests)), seen || s.Buckets[i].Samples > 0
	}
	out := &Strip{App: app, Width: number(stripColumn * float64(len(s.Buckets))), Full: text.Plural(most, "request", "requests")}
	if !q.At.IsZero() && q.App == app {
		out.Asked = q.At.Format(time.TimeOnly)
	}
	if !seen {
		out.Empty = "No request of " + app + " has been sampled in the last hour."
		return out
	}
	for i := range s.Buckets {
		out.Columns = append(out.Columns, columnOf(&s, i, most, q, app))
	}
	for i := range stripLabels {
		out.Labels = append(out.Labels, display.ClockOf(s.From.Add(time.Duration(i)*stripSpan/stripLabels)))
	}
	out.Keys = stripKeys(&s)
	return out
}

// columnOf returns column i of a strip. most is the value that fills its height. It is a
// gap without samples.
func columnOf(s *history.Strip, i int, most float64, q Asked, app string) column {
	b := &s.Buckets[i]
	middle := b.At.Add(s.Step / 2)
	c := column{X: number(stripColumn * float64(i)), At: display.ClockOf(middle), Machine: middle.UTC().Format(time.RFC3339), Gap: b.Samples == 0}
	c.Chosen = q.App == app && !q.At.IsZero() && !q.At.Before(b.At) && q.At.Before(b.At.Add(s.Step))
	at := 0.0
	for k, v := range b.Requests {
		if v <= 0 || k >= len(s.On) {
			continue
		}
		size := stripHeight * v / most
		at += size
		c.Parts = append(c.Parts, part{Class: onClass(s.On[k]), Word: onWord(s.On[k]), From: number(stripHeight - at), Size: number(size), Value: v})
	}
	switch {
	case c.Gap:
		c.Words = "not sampled"
	case len(c.Parts) == 0:
		c.Words = "no request in progress"
	default:
		c.Words = partWords(c.Parts, formatLoad, 4)
	}
	return c
}

// stripKeys returns what occurs in a strip, in the order of s.On, the most frequent first;
// Size is its share of all in percent.
func stripKeys(s *history.Strip) []part {
	out := make([]part, len(s.On))
	all := 0.0
	for k, on := range s.On {
		out[k] = part{Class: onClass(on), Word: onWord(on)}
		for i := range s.Buckets {
			if r := s.Buckets[i].Requests; k < len(r) {
				out[k].Value += r[k]
				all += r[k]
			}
		}
	}
	out = slices.DeleteFunc(out, func(p part) bool { return p.Value <= 0 })
	for k := range out {
		out[k].Size = health.FormatPercent(out[k].Value / all)
	}
	return out
}

// Moment returns what the requests of an app did in the minute around the moment that was
// asked for, at most momentRows rows, and at most momentHolds requests of the nearest
// sample; nil if none was asked for this app, or no history is kept.
func (v *Views) Moment(app string, q Asked) *Moment {
	if !v.Remembers() || q.At.IsZero() || q.App != app {
		return nil
	}
	from, to := q.At.Add(-momentSpan/2), q.At.Add(momentSpan/2)
	out := &Moment{App: app, At: display.ClockOf(q.At), From: display.ClockOf(from), To: display.ClockOf(to)}
	for _, s := range []struct {
		word string
		by   time.Duration
	}{{"5 min earlier", -5 * time.Minute}, {"1 min earlier", -time.Minute}, {"10 s earlier", -10 * time.Second}, {"10 s later", 10 * time.Second}, {"1 min later", time.Minute}, {"5 min later", 5 * time.Minute}} {
		if at := q.At.Add(s.by); at.Before(v.now()) {
			out.Steps = append(out.Steps, momentStep{s.word, at.Format(time.RFC3339)})
		}
	}
	top := v.history.Top(app, from, to, momentRows)
	for i := range top.Rows {
		out.Rows = append(out.Rows, momentRowOf(&top.Rows[i]))
	}
	if top.Left > 0 {
		out.Left = "and " + text.Plural(float64(top.Left), "more row", "more rows")
	}
	now := v.history.At(app, q.At, momentHolds)
	if !now.At.IsZero() {
		out.Seen = display.ClockOf(now.At)
	}
	for i := range now.Requests {
		out.Requests = append(out.Requests, momentRequestOf(&now.Requests[i]))
	}
	if now.Left > 0 {
		out.LeftRequests = "and " + text.Plural(float64(now.Left), "more request", "more requests")
	}
	if len(out.Rows) == 0 {
		out.Empty = v.emptyMoment(app, top.Samples)
	}
	return out
}

// emptyMoment returns a sentence on why there is nothing to show of a moment. samples is
// how many there are.
func (v *Views) emptyMoment(app string, samples int) string {
	if samples > 0 {
		return "No request of " + app + " was in progress then."
	}
	k := v.history.Kept()
	if k.From.IsZero() {
		return "Nothing has been sampled yet."
	}
	return "Nothing was sampled then: the history goes from " + display.Time(k.From) + " to " + display.Time(k.To) + "."
}

// momentRowOf returns a row of a moment as the page shows it; of the statement the first
// maxStatement bytes.
func momentRowOf(r *history.Row) momentRow {
	out := momentRow{View: r.View, Line: lineText(r.View, r.Line), Does: doesText(r.On, r.Peer), Digest: text.Clip(r.Digest, maxStatement), Holder: holderText(r.Blocker, r.App)}
	out.Share, out.Seconds, out.Longest = display.Percent(&r.Share), display.Seconds(&r.Seconds), display.Seconds(&r.Longest)
	out.Bar = part{Class: onClass(r.On), Size: number(100 * min(1, max(0, r.Share)))}
	return out
}

// momentRequestOf returns a request of a moment as the page shows it.
func momentRequestOf(r *history.Request) momentRequest {
	return momentRequest{Slot: r.Slot, View: r.View, Line: lineText(r.View, r.Line), Does: doesText(r.On, r.Peer), Holder: holderText(r.Blocker, r.App), For: display.Seconds(&r.Seconds)}
}

// doesText returns what a request did in words, e.g. "waits for MySQL main".
func doesText(on, peer string) string { return display.ThreadText(&model.Thread{On: on, Peer: peer}) }

// holderText returns the root of a wait and its line in words, e.g. "connection 812 of
// worker 2, in pay (billing.py:131)"; "" for nil.
func holderText(b *history.Blocker, app string) string {
	if b == nil {
		return ""
	}
	out := rootText(&model.Link{App: b.App, Slot: b.Slot, Server: b.Server, Connection: b.Connection, Peer: b.Peer}, app)
	if line := frameText(b.Line); line != "" {
		out += ", in " + line
	}
	return out
}

// rootText returns the root of a wait in words, e.g. "connection 812 of worker 2"; the
// server or address if no more is known of it, "" if that is not either. It leaves out the
// app if that is the one that waits, unless nothing else is known.
func rootText(l *model.Link, app string) string {
	var words []string
	if l.Connection != 0 {
		words = append(words, "connection "+strconv.FormatUint(l.Connection, 10))
	}
	if l.Slot != "" {
		words = append(words, "worker "+l.Slot)
	}
	if l.App != "" && (l.App != app || len(words) == 0) {
		words = append(words, l.App)
	}
	if len(words) == 0 {
		return l.Server + l.Peer // one of them is known
	}
	return strings.Join(words, " of ")
}

// frameText returns a line, e.g. "pay (billing.py:131)"; "" if it is not known.
func frameText(f model.Frame) string {
	if f.File == "" {
		return ""
	}
	return f.Function + " (" + path.Base(f.File) + ":" + strconv.Itoa(f.Line) + ")"
}

// lineText returns a line to follow its view: "pay (billing.py:131)", or
// "(billing.py:131)" if the view is that function; "" if it is not known.
func lineText(view string, f model.Frame) string {
	line := frameText(f)
	if view != "" && f.Function == view {
		return strings.TrimPrefix(line, view+" ")
	}
	return line
}

// sum returns the sum.
func sum(values []float64) (all float64) {
	for _, v := range values {
		all += v
	}
	return all
}

// number returns a coordinate of an SVG as text, with at most one decimal.
func number(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") }

// earliest returns the time of the first sample of the history; zero if there is none, or
// no history is kept.
func (v *Views) earliest() time.Time {
	if !v.Remembers() {
		return time.Time{}
	}
	return v.history.Kept().From
}

// newest returns a copy of the list, sorted by the time at, the newest first.
func newest[T any](list []T, at func(*T) time.Time) []T {
	out := slices.Clone(list)
	slices.SortStableFunc(out, func(a, b T) int { return at(&b).Compare(at(&a)) })
	return out
}
