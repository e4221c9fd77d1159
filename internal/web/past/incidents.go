package past

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/diagnosis/cause"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
	"github.com/resp-exporter/resp-exporter/internal/web/display"
)

const (
	incidentsUpTo = 8 // on the page, the newest first
	lastWordsUpTo = 8
)

type (
	// List is the last incidents and last words.
	List struct {
		Incidents []incidentView
		Words     []wordsView
	}
	incidentView struct {
		ID, App, Cause string
		Level          display.Level
		Start, End     display.Clock
		Open           bool
		Lasted         display.Shown
		Worst, Ends    string
		Chain, Advice  string
		Runs           []string
		Interrupted    bool
		Moment         string // the middle of it, for the history
	}
	wordsView struct {
		App, Slot      string
		PID            int
		Ended          display.Clock
		Reason, Did    string
		Place, Digest  string
		Holder         string
		For            display.Shown
		Moment, Method string
	}
)

// List returns the last incidents and last words for the page, eight of each at most, the
// newest first; an empty List if no history is kept.
func (v *Views) List() List {
	if !v.Remembers() {
		return List{}
	}
	var out List
	incidents := newest(v.history.Incidents(incidentsUpTo), func(x *model.Incident) time.Time { return x.Start })
	for i := range incidents {
		out.Incidents = append(out.Incidents, v.incident(&incidents[i]))
	}
	words := newest(v.history.LastWords(lastWordsUpTo), func(x *model.LastWords) time.Time { return x.Ended })
	for i := range words {
		out.Words = append(out.Words, lastWordsOf(&words[i]))
	}
	return out
}

// incident returns an incident as the page shows it; one that is open is critical and lasts
// until now, one that has ended has an unknown level. Moment is "" if the history begins
// after it or is empty.
func (v *Views) incident(x *model.Incident) incidentView {
	out := incidentView{
		ID: x.ID, App: x.App, Cause: CauseText(x.Cause, x.Peer), Level: display.LevelUnknown, Start: display.ClockOf(x.Start), End: display.ClockOf(x.End), Open: x.End.IsZero(),
		Worst: harmText(&x.Worst), Ends: endsText(x.Ends), Runs: x.Actions, Interrupted: x.Interrupted,
	}
	end := x.End
	if out.Open {
		out.Level, end = display.LevelCritical, v.now()
	}
	lasted := max(0, end.Sub(x.Start).Round(time.Second).Seconds())
	out.Lasted = display.Seconds(&lasted)
	if c := x.Chain; c != nil {
		out.Chain, out.Advice = diagnosis.Sentence(c, x.App), diagnosis.Advice(c)
	}
	if first := v.earliest(); !first.IsZero() && end.After(first) {
		out.Moment = x.Start.Add(end.Sub(x.Start) / 2).UTC().Format(time.RFC3339)
	}
	return out
}

// CauseText returns what held an app up, to follow "held up by"; "" for no cause.
func CauseText(c model.Cause, peer string) string {
	if c == "" {
		return ""
	}
	return cause.Words(&model.Bottleneck{Cause: c, Peer: peer})
}

// harmText returns the worst numbers of an incident in words; "" if there are none.
func harmText(h *model.Harm) string {
	var w display.Facts
	w.Add(h.Queue, func(v float64) string { return text.Plural(v, "connection waited", "connections waited") })
	w.Add(h.Latency, func(v float64) string { return "responses took " + health.FormatSeconds(v) })
	w.Add(h.Stuck, func(v float64) string { return text.Plural(v, "worker was stuck", "workers were stuck") })
	w.Add(h.Errors, func(v float64) string { return health.FormatPercent(v) + " of the requests failed" })
	w.Add(h.Tasks, func(v float64) string { return "the oldest task waited " + health.FormatSeconds(v) })
	return strings.Join(w, ", ")
}

// endsText returns how workers ended, e.g. "1 worker recycled, 3 workers ended by a
// signal"; "" if none did.
func endsText(ends map[string]int) string {
	var out []string
	for _, reason := range slices.Sorted(maps.Keys(ends)) {
		if n := ends[reason]; n > 0 {
			out = append(out, text.Plural(float64(n), "worker", "workers")+" "+endText(reason))
		}
	}
	return strings.Join(out, ", ")
}

// endText returns how a worker ended, to follow its name, by a reason of
// resp_worker_ends_total; that the reason is unknown for any other.
func endText(reason string) string {
	switch reason {
	case "timeout":
		return "ended by the server's timeout"
	case "oom":
		return "killed for lack of memory"
	case "signal":
		return "ended by a signal"
	case "recycled":
		return "recycled"
	case "exit":
		return "ended by itself"
	}
	return "ended for an unknown reason"
}

// lastWordsOf returns the last words of a worker as the page shows them; of the statement
// the first maxStatement bytes.
func lastWordsOf(x *model.LastWords) wordsView {
	v := wordsView{
		App: x.App, Slot: x.Slot, PID: x.PID, Ended: display.ClockOf(x.Ended), Reason: endText(x.Reason), Did: display.ThreadText(&x.Thread), Digest: text.Clip(x.Digest, maxStatement),
		For: display.Seconds(&x.Thread.Seconds), Moment: x.Ended.UTC().Format(time.RFC3339),
	}
	if k := x.Thread.Stack; k != nil {
		row := display.ThreadRow{View: k.View, Place: display.PlaceOf(k)}
		v.Place, v.Method = row.Line(), strings.TrimSpace(k.Method+" "+k.Route)
		if v.Place == "" {
			v.Place = k.View
		}
	}
	if b := x.Blocker; b != nil {
		v.Holder = rootText(b, x.App)
	}
	return v
}
