package web

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

const (
	incidentsUpTo = 8 // on the page, the newest first
	lastWordsUpTo = 8
)

type (
	pastView struct {
		Incidents []incidentView
		Words     []wordsView
	}
	incidentView struct {
		ID, App, Cause string
		Level          level
		Start, End     clock
		Open           bool
		Lasted         shown
		Worst, Ends    string
		Chain, Advice  string
		Runs           []string
		Interrupted    bool
		Moment         string // a time in the midst of it, for the history
	}
	wordsView struct {
		App, Slot      string
		PID            int
		Ended          clock
		Reason, Did    string
		Place, Digest  string
		Holder         string
		For            shown
		Moment, Method string
	}
)

// past returns the last incidents and last words.
func (w *Web) past() pastView {
	if !w.remembers() {
		return pastView{}
	}
	var v pastView
	incidents := newest(w.opts.Past.Incidents(incidentsUpTo), func(x *model.Incident) time.Time { return x.Start })
	for i := range incidents {
		v.Incidents = append(v.Incidents, w.incident(&incidents[i]))
	}
	words := newest(w.opts.Past.LastWords(lastWordsUpTo), func(x *model.LastWords) time.Time { return x.Ended })
	for i := range words {
		v.Words = append(v.Words, lastWordsOf(&words[i]))
	}
	return v
}

func (w *Web) incident(x *model.Incident) incidentView {
	v := incidentView{
		ID: x.ID, App: x.App, Cause: causeText(x.Cause, x.Peer), Level: levelUnknown, Start: clockOf(x.Start), End: clockOf(x.End), Open: x.End.IsZero(),
		Worst: harmText(&x.Worst), Ends: endsText(x.Ends), Runs: x.Actions, Interrupted: x.Interrupted,
	}
	end := x.End
	if v.Open {
		v.Level, end = levelCritical, w.opts.Now()
	}
	lasted := max(0, end.Sub(x.Start).Round(time.Second).Seconds())
	v.Lasted = showSeconds(&lasted)
	if c := x.Chain; c != nil {
		v.Chain, v.Advice = diagnosis.Sentence(c, x.App), diagnosis.Advice(c)
	}
	if first := w.earliest(); !first.IsZero() && end.After(first) {
		v.Moment = x.Start.Add(end.Sub(x.Start) / 2).UTC().Format(time.RFC3339)
	}
	return v
}

// causeText returns what held an app up, to follow "held up by".
func causeText(c model.Cause, peer string) string {
	_, name, named := strings.Cut(peer, ":")
	at := func(kind string) string {
		switch {
		case peer == "":
			return kind
		case named && !strings.Contains(name, ":") && !strings.ContainsAny(peer, "./"):
			return kind + " " + name
		}
		return kind + " " + peer
	}
	if c == model.CauseUpstream {
		if strings.HasPrefix(peer, "app:") {
			return at("the app")
		}
		return strings.TrimSpace("another service " + peer)
	}
	return map[model.Cause]string{
		model.CauseCPU: "its own computing", model.CauseCPUThrottled: "its CPU quota", model.CauseMemory: "a lack of memory", model.CauseWorkers: "too few workers",
		model.CausePool: at("its connections to MySQL"), model.CauseDBLock: "a lock in " + at("MySQL"), model.CauseDBSlow: "slow statements in " + at("MySQL"),
		model.CauseDBDown: at("MySQL") + ", which is down", model.CauseRedis: at("Redis"), model.CauseGIL: "its interpreter lock", model.CauseGC: "garbage collection",
		model.CauseLock: "a lock of its process", model.CauseDisk: "the disk", model.CauseTasks: "tasks that nobody does", model.CauseSlowClients: "slow clients",
		model.CauseLoopBlocked: "a blocked event loop",
	}[c]
}

// harmText returns the worst numbers of an incident.
func harmText(h *model.Harm) string {
	var w facts
	w.add(h.Queue, func(v float64) string { return text.Plural(v, "connection waited", "connections waited") })
	w.add(h.Latency, func(v float64) string { return "responses took " + health.FormatSeconds(v) })
	w.add(h.Stuck, func(v float64) string { return text.Plural(v, "worker was stuck", "workers were stuck") })
	w.add(h.Errors, func(v float64) string { return health.FormatPercent(v) + " of the requests failed" })
	w.add(h.Tasks, func(v float64) string { return "the oldest task waited " + health.FormatSeconds(v) })
	return strings.Join(w, ", ")
}

// endsText returns how workers ended, such as "3 by timeout, 1 by signal".
func endsText(ends map[string]int) string {
	var out []string
	for _, reason := range slices.Sorted(maps.Keys(ends)) {
		if n := ends[reason]; n > 0 {
			out = append(out, text.Plural(float64(n), "worker", "workers")+" "+endText(reason))
		}
	}
	return strings.Join(out, ", ")
}

// endText returns how a worker ended, to follow its name: the reasons of
// resp_worker_ends_total for people.
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
	return "ended, how is not known"
}

func lastWordsOf(x *model.LastWords) wordsView {
	v := wordsView{
		App: x.App, Slot: x.Slot, PID: x.PID, Ended: clockOf(x.Ended), Reason: endText(x.Reason), Did: threadText(&x.Thread), Digest: text.Clip(x.Digest, maxStatement),
		For: showSeconds(&x.Thread.Seconds), Moment: x.Ended.UTC().Format(time.RFC3339),
	}
	if k := x.Thread.Stack; k != nil {
		row := threadRow{View: k.View, Place: placeOf(k)}
		v.Place, v.Method = row.line(), strings.TrimSpace(k.Method+" "+k.Route)
		if v.Place == "" {
			v.Place = k.View
		}
	}
	if b := x.Blocker; b != nil {
		v.Holder = rootText(b, x.App)
	}
	return v
}
