package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/history/incidents"
	"github.com/resp-exporter/resp-exporter/internal/history/records"
	"github.com/resp-exporter/resp-exporter/internal/web/historystatus"
)

// historyOptions are the settings of the command history.
type historyOptions struct {
	target

	stateDir     string
	at, from, to string
	app          string
	json         bool

	now      time.Time
	location *time.Location // of the times that are given and printed
}

// historyReport is the answer of the command history, as JSON writes it.
type historyReport struct {
	Source    string                   `json:"source"` // the URL or the directory that it is from
	Moment    *historystatus.Moment    `json:"moment"`
	History   *historystatus.History   `json:"history"`
	Incidents []historystatus.Incident `json:"incidents"`
	LastWords []records.LastWords      `json:"last_words"`
}

// printHistory prints what the apps did at a time, or from one to another, and returns the
// exit code: 0, 1 if neither the exporter nor its state directory could be read or the
// output not written, 2 if a time is wrong.
func printHistory(o historyOptions, stdout, stderr io.Writer) int {
	o.now, o.location = time.Now(), time.Local //nolint:gosmopolitan // people give times of their clock
	q, err := o.query()
	if err != nil {
		printLine(stderr, "resp-exporter: %v", err)
		return 2
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkLimit)
	defer cancel()
	r, err := o.fromExporter(ctx, &q)
	if err != nil {
		var again error
		if r, again = o.fromFiles(&q); again != nil {
			printLine(stderr, "resp-exporter: %v; %v", err, again)
			return 1
		}
		printLine(stderr, "resp-exporter: %v; reading %s", err, o.stateDir)
	}
	r.within(&q)
	if err := r.print(&o, stdout); err != nil {
		printLine(stderr, "resp-exporter: print the history: %v", err)
		return 1
	}
	return 0
}

// query returns the time or the range and the app that the flags ask for. A time that
// cannot be parsed, --at with --from or --to, or a range that
// [historystatus.Query.Complete] refuses, is an error.
func (o *historyOptions) query() (q historystatus.Query, err error) {
	q.App = o.app
	for _, x := range []struct {
		flag, text string
		to         *time.Time
	}{{"--at", o.at, &q.At}, {"--from", o.from, &q.From}, {"--to", o.to, &q.To}} {
		if x.text == "" {
			continue
		}
		if *x.to, err = parseMoment(x.text, o.now, o.location); err != nil {
			return q, fmt.Errorf("%s: %w", x.flag, err)
		}
	}
	if !q.At.IsZero() && (!q.From.IsZero() || !q.To.IsZero()) {
		return q, errors.New("--at: expected without --from and --to")
	}
	if err := q.Complete(o.now); err != nil {
		return q, fmt.Errorf("--%w", err)
	}
	return q, nil
}

// parseMoment returns a time as people write it: 03:12 is the last time that clocks
// showed that, -10m is ten minutes ago, and a date with a time is in location unless it
// names a zone. What is none is an error, which names examples.
func parseMoment(s string, now time.Time, location *time.Location) (time.Time, error) {
	if ago, ok := strings.CutPrefix(s, "-"); ok {
		if d, err := time.ParseDuration(ago); err == nil && d >= 0 {
			return now.Add(-d), nil
		}
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			y, m, d := now.In(location).Date()
			at := time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), 0, location)
			if at.After(now) {
				at = time.Date(y, m, d-1, t.Hour(), t.Minute(), t.Second(), 0, location)
			}
			return at, nil
		}
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, location); err == nil {
			return t, nil
		}
	}
	if t, err := historystatus.ParseTime(s); err == nil {
		return t, nil
	}
	return time.Time{}, errors.New("expected a time such as 03:12, \"2026-03-01 03:12\", 2026-03-01T03:12:00Z or -10m")
}

// fromExporter returns the history that the running exporter reports, one moment if --at is
// given, else a range, with its incidents and last words. If one of both cannot be read, it
// returns that error.
func (o *historyOptions) fromExporter(ctx context.Context, q *historystatus.Query) (*historyReport, error) {
	r := &historyReport{Source: o.url}
	into := any(&r.History)
	if !q.At.IsZero() {
		into = &r.Moment
	}
	if err := getJSON(ctx, o.target, "api/v1/history", q.Values(), into); err != nil {
		return nil, err
	}
	v := url.Values{}
	if q.App != "" {
		v.Set("app", q.App)
	}
	var x historystatus.Incidents
	if err := getJSON(ctx, o.target, "api/v1/incidents", v, &x); err != nil {
		return nil, err
	}
	r.Incidents, r.LastWords = x.Incidents, x.LastWords
	if u, err := url.Parse(o.url); err == nil {
		u.User = nil
		r.Source = u.String()
	}
	return r, nil
}

// getJSON decodes the response of the exporter at a path into the value that into points
// to. A response longer than answerLimit, or that is no JSON of this shape, is an error.
func getJSON(ctx context.Context, o target, path string, v url.Values, into any) error {
	resp, shown, err := get(ctx, o, path, v)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(resp.Body, answerLimit)).Decode(into); err != nil {
		return fmt.Errorf("the response of %s is not the history of an exporter: %w", shown, err)
	}
	return nil
}

// fromFiles returns the history in the state directory, with the bounds of the exporter's
// JSON, or an error if it cannot be read. It is for when no exporter runs.
func (o *historyOptions) fromFiles(q *historystatus.Query) (*historyReport, error) {
	h, err := history.Read(o.stateDir)
	if err != nil {
		return nil, err
	}
	list, words, err := incidents.Read(o.stateDir)
	if err != nil {
		return nil, err
	}
	r := &historyReport{Source: o.stateDir}
	kept := h.Kept()
	if q.At.IsZero() {
		strip, top := h.Strip(q.App, q.From, q.To, history.MaxBuckets), h.Top(q.App, q.From, q.To, historystatus.MaxRows)
		x := historystatus.Of(&strip, &top, &kept)
		r.History = &x
	} else {
		m := h.At(q.App, q.At, historystatus.MaxRequests)
		x := historystatus.OfMoment(&m, &kept)
		r.Moment = &x
	}
	x := historystatus.OfIncidents(q.App, list, words)
	r.Incidents, r.LastWords = x.Incidents, x.LastWords
	return r, nil
}

// aroundMoment is how far from a moment last words are shown.
const aroundMoment = time.Minute

// within removes from the report the incidents and last words that are outside of the
// range that q asks for; for one moment, those that are more than aroundMoment away.
func (r *historyReport) within(q *historystatus.Query) {
	from, to := q.From, q.To
	if !q.At.IsZero() {
		from, to = q.At.Add(-aroundMoment), q.At.Add(aroundMoment)
	}
	list, words := []historystatus.Incident{}, []records.LastWords{}
	for _, x := range r.Incidents {
		if !x.Start.After(to) && (x.End == nil || !x.End.Before(from)) {
			list = append(list, x)
		}
	}
	for _, x := range r.LastWords {
		if !x.Ended.Before(from) && !x.Ended.After(to) {
			words = append(words, x)
		}
	}
	r.Incidents, r.LastWords = list, words
}

// print writes the report to w, as text or with --json as JSON.
func (r *historyReport) print(o *historyOptions, w io.Writer) error {
	if o.json {
		return printJSON(r, w)
	}
	p := historyText{at: func(t time.Time) string { return t.In(o.location).Format("2006-01-02 15:04:05 MST") }}
	switch {
	case r.Moment != nil:
		p.moment(r.Moment)
	case r.History != nil:
		p.history(r.History)
	}
	for i := range r.Incidents {
		p.incident(&r.Incidents[i])
	}
	for i := range r.LastWords {
		p.words(&r.LastWords[i])
	}
	_, err := w.Write(p.Bytes())
	return err
}

// historyText is the report for people.
type historyText struct {
	lines

	at func(time.Time) string
}

// none adds the line that says from when to when there are samples. A nil time: there are
// none.
func (p *historyText) none(from, to *time.Time) {
	if from == nil || to == nil {
		p.add("No samples are kept.")
		return
	}
	p.add("There are samples from %s to %s.", p.at(*from), p.at(*to))
}

// moment adds the lines about the requests in hand at one time.
func (p *historyText) moment(m *historystatus.Moment) {
	if m.At == nil {
		p.add("There is no sample within 10 s of that time.")
		p.none(m.KeptFrom, m.KeptTo)
		return
	}
	p.add("At %s, %s in hand:", p.at(*m.At), counted(len(m.Requests)+m.Left, "request"))
	for i := range m.Requests {
		x := &m.Requests[i]
		p.add("  %s worker %s: %s%s, %s for %s%s", x.App, x.Worker, or(x.View, "view not known"), place(x.Function, x.File, x.Line), waitOf(x.On, x.Peer),
			health.FormatSeconds(x.Seconds), behind(x.Digest, x.Blocker))
	}
	if m.Left > 0 {
		p.add("  … and %d more", m.Left)
	}
}

// history adds the lines about a time span: its samples and where requests spent it.
func (p *historyText) history(h *historystatus.History) {
	if h.Samples == 0 {
		p.add("There is no sample from %s to %s.", p.at(h.From), p.at(h.To))
		p.none(h.KeptFrom, h.KeptTo)
		return
	}
	p.add("From %s to %s: %d samples, %.1f requests in hand on average", p.at(h.From), p.at(h.To), h.Samples, h.Seconds/float64(h.Samples))
	for i := range h.Top {
		x := &h.Top[i]
		p.add("  %3.0f %%  %s %s%s, %s; longest %s%s", x.Share*100, x.App, or(x.View, "view not known"), place(x.Function, x.File, x.Line), waitOf(x.On, x.Peer),
			health.FormatSeconds(x.Longest), behind(x.Digest, x.Blocker))
	}
	if h.Left > 0 {
		p.add("  … and %d more", h.Left)
	}
}

// incident adds the lines about one incident.
func (p *historyText) incident(x *historystatus.Incident) {
	end := "is open"
	if x.End != nil {
		end = "to " + p.at(*x.End)
	}
	p.add("Incident of %s from %s, %s: %s", x.App, p.at(x.Start), end, or(x.Cause, "cause not known"))
	if x.Sentence != "" {
		p.add("  %s", x.Sentence)
	}
	if len(x.Actions) > 0 {
		p.add("  Healing: %s", strings.Join(x.Actions, ", "))
	}
	if x.Interrupted {
		p.add("  The exporter was not running for a part of it.")
	}
}

// words adds the line about a worker that ended in a request.
func (p *historyText) words(x *records.LastWords) {
	where := "stack not known"
	if s := x.Stack; s != nil {
		where = or(s.View, "view not known")
		if f := s.Own; f != nil {
			where += place(&f.Function, &f.File, &f.Line)
		}
	}
	digest := ""
	if x.Digest != nil {
		digest = ": " + *x.Digest
	}
	p.add("Worker %s of %s (pid %d) ended at %s (%s) in %s, %s for %s%s", x.Slot, x.App, x.PID, p.at(x.Ended), x.Reason, where, waitOf(x.On, x.Peer), health.FormatSeconds(x.Seconds), digest)
}

// or returns the text that s points to, or other if s is nil.
func or(s *string, other string) string {
	if s == nil {
		return other
	}
	return *s
}

// place returns a line as " (pay, billing.py:131)", with "?" for a function that is not
// known; "" without the file or the number of the line.
func place(function, file *string, line *int) string {
	if file == nil || line == nil {
		return ""
	}
	return " (" + or(function, "?") + ", " + *file + ":" + strconv.Itoa(*line) + ")"
}

// waitOf returns "on" and the peer of a wait, or its kind if the peer is not known.
func waitOf(on string, peer *string) string {
	if peer != nil {
		return "on " + *peer
	}
	return "on " + on
}

// behind returns who holds up a wait, and then the statement: ", held up by … : SELECT
// …". It is "" if neither is known.
func behind(digest *string, b *historystatus.Blocker) (out string) {
	if b != nil {
		switch {
		case b.Worker != nil:
			out = ", held up by worker " + *b.Worker + " of " + or(b.App, "?") + place(b.Function, b.File, b.Line)
		case b.Connection != nil:
			out = ", held up by connection " + strconv.FormatUint(*b.Connection, 10)
		case b.Peer != nil:
			out = ", held up by " + *b.Peer
		}
	}
	if digest != nil {
		out += ": " + *digest
	}
	return out
}

// counted returns a number with its noun, which gets an s unless the number is 1.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
