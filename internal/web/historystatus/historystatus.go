// Package historystatus has the JSON of what the exporter remembers of the apps, for
// /api/v1/history, /api/v1/incidents and the command history.
package historystatus

import (
	"errors"
	"math"
	"net/url"
	"path"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/history/records"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	// MaxRows is how many rows an answer has.
	MaxRows = 100
	// MaxRequests is how many requests an answer has.
	MaxRequests = 500
	// MaxIncidents is how many incidents and last words an answer has.
	MaxIncidents = 100
	// DefaultSpan is the time of an answer where none is given.
	DefaultSpan = 15 * time.Minute
	// longestSpan bounds the time of an answer.
	longestSpan = 48 * time.Hour
)

type (
	// History is the answer of /api/v1/history for a time from and to.
	History struct {
		App         string     `json:"app"` // "": all
		From        time.Time  `json:"from"`
		To          time.Time  `json:"to"`
		KeptFrom    *time.Time `json:"kept_from"` // of the samples that there are; null: none
		KeptTo      *time.Time `json:"kept_to"`
		Samples     int        `json:"samples"`
		Seconds     float64    `json:"request_seconds"`
		StepSeconds float64    `json:"step_seconds"` // of the stack
		On          []string   `json:"on"`           // the most seconds first
		Stack       []Bucket   `json:"stack"`
		Top         []Row      `json:"top"`
		Left        int        `json:"rows_left"` // rows that are left out of top
	}
	// Bucket is one step of the stack.
	Bucket struct {
		At       time.Time `json:"at"`
		Samples  int       `json:"samples"`  // 0: a gap
		Requests []float64 `json:"requests"` // in hand on average, in the order of "on"; null: none
	}
	// Row is one view, line and wait.
	Row struct {
		App      string   `json:"app"`
		View     *string  `json:"view"`
		Function *string  `json:"function"`
		File     *string  `json:"file"`
		Line     *int     `json:"line"`
		On       string   `json:"on"`
		Peer     *string  `json:"peer"`
		Kind     *string  `json:"kind"`
		Digest   *string  `json:"digest"`
		Blocker  *Blocker `json:"blocker"`
		Seconds  float64  `json:"request_seconds"`
		Share    float64  `json:"share"`
		Longest  float64  `json:"longest_seconds"`
		Workers  int      `json:"workers"`
	}
	// Blocker is the root of what a request waited for.
	Blocker struct {
		App        *string `json:"app"`
		Worker     *string `json:"worker"`
		PID        *int    `json:"pid"`
		Server     *string `json:"server"`
		Connection *uint64 `json:"connection_id"`
		Peer       *string `json:"peer"`
		View       *string `json:"view"`
		Function   *string `json:"function"`
		File       *string `json:"file"`
		Line       *int    `json:"line"`
	}
	// Moment is the answer of /api/v1/history for a time at.
	Moment struct {
		At       *time.Time `json:"at"` // of the sample; null: there is none within 10 s
		KeptFrom *time.Time `json:"kept_from"`
		KeptTo   *time.Time `json:"kept_to"`
		Requests []Request  `json:"requests"` // the longest wait first
		Left     int        `json:"requests_left"`
	}
	// Request is what one request did.
	Request struct {
		App      string   `json:"app"`
		Worker   string   `json:"worker"`
		PID      int      `json:"pid"`
		Task     bool     `json:"task"`
		View     *string  `json:"view"`
		Function *string  `json:"function"`
		File     *string  `json:"file"`
		Line     *int     `json:"line"`
		On       string   `json:"on"`
		Peer     *string  `json:"peer"`
		Kind     *string  `json:"kind"`
		Digest   *string  `json:"digest"`
		Blocker  *Blocker `json:"blocker"`
		Seconds  float64  `json:"seconds"`
	}
	// Incidents is the answer of /api/v1/incidents.
	Incidents struct {
		Incidents []Incident          `json:"incidents"`  // the newest first
		LastWords []records.LastWords `json:"last_words"` // the newest first
	}
	// Incident is one incident, with its chain in words.
	Incident struct {
		records.Incident

		Sentence string `json:"sentence,omitempty"`
		Advice   string `json:"advice,omitempty"`
	}
)

// Of returns the JSON answer about a period. It rounds the numbers of s.Buckets in place.
func Of(s *history.Strip, t *history.Top, k *history.Kept) History {
	out := History{
		App: s.App, From: s.From.UTC(), To: s.To.UTC(), KeptFrom: timeOf(k.From), KeptTo: timeOf(k.To), Samples: t.Samples, Seconds: t.Seconds,
		StepSeconds: s.Step.Seconds(), On: append([]string{}, s.On...), Stack: make([]Bucket, 0, len(s.Buckets)), Top: make([]Row, 0, len(t.Rows)), Left: t.Left,
	}
	for _, b := range s.Buckets {
		out.Stack = append(out.Stack, Bucket{b.At.UTC(), b.Samples, rounded(b.Requests)})
	}
	for i := range t.Rows {
		r := &t.Rows[i]
		x := Row{
			App: r.App, View: text(r.View), On: r.On, Peer: text(r.Peer), Kind: text(r.Kind), Digest: text(r.Digest), Blocker: blockerOf(r.Blocker),
			Seconds: r.Seconds, Share: r.Share, Longest: r.Longest, Workers: r.Workers,
		}
		x.Function, x.File, x.Line = frameOf(r.Line)
		out.Top = append(out.Top, x)
	}
	return out
}

// rounded rounds numbers to three decimals, in place, and returns them.
func rounded(list []float64) []float64 {
	for i := range list {
		list[i] = math.Round(list[i]*1000) / 1000
	}
	return list
}

// OfMoment returns the JSON answer about a moment.
func OfMoment(m *history.Moment, k *history.Kept) Moment {
	out := Moment{At: timeOf(m.At), KeptFrom: timeOf(k.From), KeptTo: timeOf(k.To), Requests: make([]Request, 0, len(m.Requests)), Left: m.Left}
	for i := range m.Requests {
		r := &m.Requests[i]
		x := Request{
			App: r.App, Worker: r.Slot, PID: r.PID, Task: r.Task, View: text(r.View), On: r.On, Peer: text(r.Peer), Kind: text(r.Kind), Digest: text(r.Digest),
			Blocker: blockerOf(r.Blocker), Seconds: r.Seconds,
		}
		x.Function, x.File, x.Line = frameOf(r.Line)
		out.Requests = append(out.Requests, x)
	}
	return out
}

// OfIncidents returns the JSON answer about incidents and last words: those of an app, in
// the same order; "": of all. Its lists are never nil.
func OfIncidents(app string, list []model.Incident, words []model.LastWords) Incidents {
	out := Incidents{Incidents: []Incident{}, LastWords: []records.LastWords{}}
	for i := range list {
		if x := &list[i]; app == "" || x.App == app {
			in := Incident{Incident: records.OfIncident(x)}
			if x.Chain != nil {
				in.Sentence, in.Advice = diagnosis.Sentence(x.Chain, x.App), diagnosis.Advice(x.Chain)
			}
			out.Incidents = append(out.Incidents, in)
		}
	}
	for i := range words {
		if app == "" || words[i].App == app {
			out.LastWords = append(out.LastWords, records.OfLastWords(&words[i]))
		}
	}
	return out
}

// blockerOf returns a blocker, nil for nil.
func blockerOf(b *history.Blocker) *Blocker {
	if b == nil {
		return nil
	}
	out := &Blocker{App: text(b.App), Worker: text(b.Slot), Server: text(b.Server), Peer: text(b.Peer), View: text(b.View)}
	if b.PID != 0 {
		out.PID = &b.PID
	}
	if b.Connection != 0 {
		out.Connection = &b.Connection
	}
	out.Function, out.File, out.Line = frameOf(b.Line)
	return out
}

// frameOf returns the function, the file without its directories and the line; nil for a
// frame without a file.
func frameOf(f model.Frame) (function, file *string, line *int) {
	if f.File == "" {
		return nil, nil, nil
	}
	return text(f.Function), text(path.Base(f.File)), &f.Line
}

// text returns a pointer to s; nil for "".
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// timeOf returns the time in UTC, nil for the zero time.
func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Query is the parameters of /api/v1/history.
type Query struct {
	App          string
	At, From, To time.Time // At zero: it is from and to
}

// Values returns the query as parameters of an address: times in UTC by RFC 3339, without
// what is not set.
func (q *Query) Values() url.Values {
	v := url.Values{}
	set := func(name string, t time.Time) {
		if !t.IsZero() {
			v.Set(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	set("at", q.At)
	set("from", q.From)
	set("to", q.To)
	if q.App != "" {
		v.Set("app", q.App)
	}
	return v
}

// ParseQuery returns the parameters of /api/v1/history as a query: a moment, or a period,
// by default the last 15 minutes. An unknown parameter, a moment with a period, and what
// [Query.Complete] refuses are errors, each a text for the client.
func ParseQuery(v url.Values, now time.Time) (q Query, err error) {
	for name := range v {
		if name != "app" && name != "at" && name != "from" && name != "to" {
			return q, errors.New("unknown parameter: expected app, at, from or to")
		}
	}
	q.App = v.Get("app")
	for name, to := range map[string]*time.Time{"at": &q.At, "from": &q.From, "to": &q.To} {
		if s := v.Get(name); s != "" {
			if *to, err = ParseTime(s); err != nil {
				return q, errors.New(name + ": " + err.Error())
			}
		}
	}
	if !q.At.IsZero() && (!q.From.IsZero() || !q.To.IsZero()) {
		return q, errors.New("at: expected without from and to")
	}
	return q, q.Complete(now)
}

// Complete sets the parts of a period that were not given: to is now, from is 15 minutes
// before to. It returns an error, a text for the client, if from is after to, or more than
// 48 hours before it. A query for a moment stays as it is.
func (q *Query) Complete(now time.Time) error {
	if !q.At.IsZero() {
		return nil
	}
	if q.To.IsZero() {
		q.To = now
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-DefaultSpan)
	}
	switch {
	case q.To.Before(q.From):
		return errors.New("from: expected a time before to")
	case q.To.Sub(q.From) > longestSpan:
		return errors.New("from: expected 48 hours before to at most")
	}
	return nil
}

var errTime = errors.New("expected a time such as 2026-03-01T03:12:00Z, or seconds since 1970")

// ParseTime returns the time of a text in RFC 3339 or seconds since 1970, from 1970 to
// 2242. Its error is a text for the client.
func ParseTime(s string) (time.Time, error) {
	const latest = 1 << 33 // the year 2242
	if v, err := strconv.ParseFloat(s, 64); err == nil {
		if math.IsNaN(v) || v < 0 || v > latest {
			return time.Time{}, errTime
		}
		return time.UnixMilli(int64(v * 1000)), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Unix() < 0 || t.Unix() > latest {
		return time.Time{}, errTime
	}
	return t, nil
}
