package web

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
	// stripView is the last hour of an app: how many requests were in hand, by what they
	// waited for.
	stripView struct {
		App     string
		Width   string
		Columns []column
		Labels  []clock
		Full    string // what the full height is
		Keys    []part // the legend, the most first
		Empty   string
		Asked   string // the time that was asked for, 15:04:05 in UTC
	}
	column struct {
		X       string
		At      clock // its middle
		Words   string
		Parts   []part
		Gap     bool
		Chosen  bool
		Machine string
	}
	// momentView is what was done at a moment of the past.
	momentView struct {
		App          string
		At, From, To clock
		Rows         []momentRow
		Left         string
		Requests     []momentRequest
		LeftRequests string
		Seen         clock // when the sample of Requests was taken
		Steps        []momentStep
		Empty        string
	}
	momentRow struct {
		View, Line, Does, Digest, Holder string
		Share, Seconds, Longest          shown
		Bar                              part
	}
	momentRequest struct {
		Slot, View, Line, Does, Holder string
		For                            shown
	}
	momentStep struct{ Word, At string }
)

// remembers reports whether a history is kept.
func (w *Web) remembers() bool { return w.opts.Past != nil && w.opts.Past.Kept().MaxBytes > 0 }

// stripOf returns the last hour of an app; nil where no history is kept.
func (w *Web) stripOf(a *app, q asked) *stripView {
	if !w.remembers() {
		return nil
	}
	to := w.opts.Now().UTC().Truncate(stripStep).Add(stripStep)
	from := to.Add(-stripSpan)
	n := int(stripSpan / stripStep)
	s := w.opts.Past.Strip(a.Name, from, to.Add(-time.Second), n) // the last second is a part of it
	most := max(1, a.total())
	seen := false
	for i := range s.Buckets {
		most, seen = max(most, sum(s.Buckets[i].Requests)), seen || s.Buckets[i].Samples > 0
	}
	out := &stripView{App: a.Name, Width: number(stripColumn * float64(len(s.Buckets))), Full: text.Plural(most, "request", "requests")}
	if !q.At.IsZero() && q.App == a.Name {
		out.Asked = q.At.Format(time.TimeOnly)
	}
	if !seen {
		out.Empty = "No request of " + a.Name + " has been sampled in the last hour."
		return out
	}
	for i := range s.Buckets {
		out.Columns = append(out.Columns, columnOf(&s, i, most, q, a.Name))
	}
	for i := range stripLabels {
		out.Labels = append(out.Labels, clockOf(s.From.Add(time.Duration(i)*stripSpan/stripLabels)))
	}
	out.Keys = stripKeys(&s)
	return out
}

func columnOf(s *history.Strip, i int, most float64, q asked, app string) column {
	b := &s.Buckets[i]
	middle := b.At.Add(s.Step / 2)
	c := column{X: number(stripColumn * float64(i)), At: clockOf(middle), Machine: middle.UTC().Format(time.RFC3339), Gap: b.Samples == 0}
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
		c.Words = "no request in hand"
	default:
		c.Words = partWords(c.Parts, formatLoad, 4)
	}
	return c
}

// stripKeys returns what occurs in a strip with its part of all, the most first.
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

// momentOf returns what was done at the moment that was asked for; nil where it was not
// asked for this app.
func (w *Web) momentOf(app string, q asked) *momentView {
	if !w.remembers() || q.At.IsZero() || q.App != app {
		return nil
	}
	from, to := q.At.Add(-momentSpan/2), q.At.Add(momentSpan/2)
	v := &momentView{App: app, At: clockOf(q.At), From: clockOf(from), To: clockOf(to)}
	for _, s := range []struct {
		word string
		by   time.Duration
	}{{"5 min earlier", -5 * time.Minute}, {"1 min earlier", -time.Minute}, {"10 s earlier", -10 * time.Second}, {"10 s later", 10 * time.Second}, {"1 min later", time.Minute}, {"5 min later", 5 * time.Minute}} {
		if at := q.At.Add(s.by); at.Before(w.opts.Now()) {
			v.Steps = append(v.Steps, momentStep{s.word, at.Format(time.RFC3339)})
		}
	}
	top := w.opts.Past.Top(app, from, to, momentRows)
	for i := range top.Rows {
		v.Rows = append(v.Rows, momentRowOf(&top.Rows[i]))
	}
	if top.Left > 0 {
		v.Left = "and " + text.Plural(float64(top.Left), "more row", "more rows")
	}
	now := w.opts.Past.At(app, q.At, momentHolds)
	if !now.At.IsZero() {
		v.Seen = clockOf(now.At)
	}
	for i := range now.Requests {
		v.Requests = append(v.Requests, momentRequestOf(&now.Requests[i]))
	}
	if now.Left > 0 {
		v.LeftRequests = "and " + text.Plural(float64(now.Left), "more request", "more requests")
	}
	if len(v.Rows) == 0 {
		v.Empty = w.emptyMoment(app, top.Samples)
	}
	return v
}

// emptyMoment says why nothing is known of a moment.
func (w *Web) emptyMoment(app string, samples int) string {
	if samples > 0 {
		return "No request of " + app + " was in hand then."
	}
	k := w.opts.Past.Kept()
	if k.From.IsZero() {
		return "Nothing has been sampled yet."
	}
	return "Nothing was sampled then: the history goes from " + formatTime(k.From) + " to " + formatTime(k.To) + "."
}

func momentRowOf(r *history.Row) momentRow {
	out := momentRow{View: r.View, Line: frameText(r.Line), Does: doesText(r.On, r.Peer), Digest: text.Clip(r.Digest, maxStatement), Holder: holderText(r.Blocker, r.App)}
	out.Share, out.Seconds, out.Longest = showPercent(&r.Share), showSeconds(&r.Seconds), showSeconds(&r.Longest)
	out.Bar = part{Class: onClass(r.On), Size: number(100 * min(1, max(0, r.Share)))}
	return out
}

func momentRequestOf(r *history.Request) momentRequest {
	return momentRequest{Slot: r.Slot, View: r.View, Line: frameText(r.Line), Does: doesText(r.On, r.Peer), Holder: holderText(r.Blocker, r.App), For: showSeconds(&r.Seconds)}
}

// doesText returns what a request did in words, such as "waits for MySQL main".
func doesText(on, peer string) string { return threadText(&model.Thread{On: on, Peer: peer}) }

// holderText returns the root of a wait and its line in words, such as "connection 812
// of worker 2, in pay (billing.py:131)"; "" where there is none.
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

// rootText returns the root of a wait in words, such as "connection 812 of worker 2".
// The app is left out where it is the one that waits.
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

// frameText returns a line as "pay (billing.py:131)"; "" where it is not known.
func frameText(f model.Frame) string {
	if f.File == "" {
		return ""
	}
	return f.Function + " (" + path.Base(f.File) + ":" + strconv.Itoa(f.Line) + ")"
}

func sum(values []float64) (all float64) {
	for _, v := range values {
		all += v
	}
	return all
}

// number writes a coordinate of an SVG.
func number(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") }

// earliest returns the first samples of the history; zero where there is none.
func (w *Web) earliest() time.Time {
	if !w.remembers() {
		return time.Time{}
	}
	return w.opts.Past.Kept().From
}

// newest returns the incidents and last words in the order of their time, the newest
// first, whatever the order in which they are kept.
func newest[T any](list []T, at func(*T) time.Time) []T {
	out := slices.Clone(list)
	slices.SortStableFunc(out, func(a, b T) int { return at(&b).Compare(at(&a)) })
	return out
}
