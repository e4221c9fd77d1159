// Package records has incidents and last words as lines of JSON, in the state directory
// and in answers.
package records

import (
	"maps"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	// maxVictims and maxLinks are how many parties of a chain are written.
	maxVictims, maxLinks = 16, 16
	maxEnds              = 16 // reasons
	maxActions           = 20
)

type (
	// Incident is one incident.
	Incident struct {
		ID          string         `json:"id"`
		App         string         `json:"app"`
		Start       time.Time      `json:"start"`
		End         *time.Time     `json:"end"` // null: it is open
		Cause       *string        `json:"cause"`
		Peer        *string        `json:"peer"`
		Worst       Harm           `json:"worst"`
		Chain       *Chain         `json:"chain"`
		Ends        map[string]int `json:"worker_ends"`
		Actions     []string       `json:"actions"`
		Interrupted bool           `json:"interrupted"`
	}
	// Harm is the worst numbers of an incident; null: there was none of it.
	Harm struct {
		Queue   *float64 `json:"queue"`
		Latency *float64 `json:"latency_seconds"`
		Stuck   *float64 `json:"stuck_workers"`
		Errors  *float64 `json:"error_ratio"`
		Tasks   *float64 `json:"task_age_seconds"`
	}
	// Chain is who waited for whom, from the victims to the root, which is last.
	Chain struct {
		App      string  `json:"app"`
		On       string  `json:"on"`
		Peer     *string `json:"peer"`
		Kind     *string `json:"kind"`
		Object   *string `json:"object"`
		Workers  int     `json:"workers"`
		Seconds  float64 `json:"seconds"`
		Left     int     `json:"left"`
		Deadlock bool    `json:"deadlock"`
		Victims  []Link  `json:"victims"`
		Links    []Link  `json:"links"`
	}
	// Link is one party of a chain.
	Link struct {
		App                *string  `json:"app"`
		Slot               *string  `json:"slot"`
		PID                int      `json:"pid,omitempty"`
		TID                int      `json:"tid,omitempty"`
		Server             *string  `json:"server"`
		Connection         uint64   `json:"connection_id,omitempty"`
		User               *string  `json:"user"`
		Host               *string  `json:"host"`
		Command            *string  `json:"command"`
		Digest             *string  `json:"digest"`
		On                 *string  `json:"on"`
		Peer               *string  `json:"peer"`
		Object             *string  `json:"object"`
		Seconds            float64  `json:"seconds"`
		TransactionSeconds *float64 `json:"transaction_seconds"`
		Stack              *Stack   `json:"stack"`
		Probable           bool     `json:"probable"`
		Candidates         int      `json:"candidates,omitempty"`
		Held               float64  `json:"held,omitempty"`
	}
	// Stack is where a thread was.
	Stack struct {
		View    *string    `json:"view"`
		Own     *Frame     `json:"own"`
		Inner   *Frame     `json:"inner"`
		Method  *string    `json:"method"`
		Route   *string    `json:"route"`
		Started *time.Time `json:"started"`
	}
	// Frame is one line of Python.
	Frame struct {
		Function string `json:"function"`
		File     string `json:"file"`
		Line     int    `json:"line"`
	}
	// LastWords is what a worker did when it ended in mid-request.
	LastWords struct {
		App     string    `json:"app"`
		Slot    string    `json:"slot"`
		PID     int       `json:"pid"`
		Ended   time.Time `json:"ended"`
		Reason  string    `json:"reason"`
		TID     int       `json:"tid"`
		Task    bool      `json:"task"`
		On      string    `json:"on"`
		Peer    *string   `json:"peer"`
		Kind    *string   `json:"kind"`
		Seconds float64   `json:"seconds"`
		Stack   *Stack    `json:"stack"`
		Digest  *string   `json:"digest"`
		Blocker *Link     `json:"blocker"`
	}
)

// OfIncident returns an incident in the form in which it is written: its lists cut to
// their limits, its stacks without the paths of requests.
func OfIncident(m *model.Incident) Incident {
	out := Incident{
		ID: m.ID, App: m.App, Start: m.Start.UTC(), End: timeOf(m.End), Cause: text(string(m.Cause)), Peer: text(m.Peer),
		Worst: Harm(m.Worst), Ends: maps.Clone(m.Ends), Actions: append([]string{}, m.Actions[:min(len(m.Actions), maxActions)]...), Interrupted: m.Interrupted,
	}
	if out.Ends == nil {
		out.Ends = map[string]int{}
	}
	if c := m.Chain; c != nil {
		out.Chain = &Chain{
			App: c.App, On: c.On, Peer: text(c.Peer), Kind: text(c.Kind), Object: text(c.Object), Workers: c.Workers, Seconds: c.Seconds, Left: c.Left, Deadlock: c.Deadlock,
			Victims: linksOf(c.Victims, maxVictims), Links: linksOf(c.Links, maxLinks),
		}
	}
	return out
}

// Model returns the incident that was written, its lists cut to their limits, as a file may
// have more; the ends of workers are left out if there are more than 16 reasons.
func (x *Incident) Model() model.Incident {
	out := model.Incident{
		ID: x.ID, App: x.App, Start: x.Start, End: timeAt(x.End), Cause: model.Cause(textAt(x.Cause)), Peer: textAt(x.Peer), Worst: model.Harm(x.Worst),
		Actions: x.Actions[:min(len(x.Actions), maxActions)], Interrupted: x.Interrupted,
	}
	if len(x.Ends) <= maxEnds {
		out.Ends = x.Ends
	}
	if c := x.Chain; c != nil {
		out.Chain = &model.Chain{
			App: c.App, On: c.On, Peer: textAt(c.Peer), Kind: textAt(c.Kind), Object: textAt(c.Object), Workers: c.Workers, Seconds: c.Seconds, Left: c.Left, Deadlock: c.Deadlock,
			Victims: linksAt(c.Victims, maxVictims), Links: linksAt(c.Links, maxLinks),
		}
	}
	return out
}

// linksOf returns the records of the first links, most of them at the most.
func linksOf(list []model.Link, most int) []Link {
	out := make([]Link, 0, min(len(list), most))
	for i := range list[:min(len(list), most)] {
		out = append(out, linkOf(&list[i]))
	}
	return out
}

// linkOf returns the record of a link: nil for a text that is "", and its stack without the
// path of the request.
func linkOf(l *model.Link) Link {
	return Link{
		App: text(l.App), Slot: text(l.Slot), PID: l.PID, TID: l.TID, Server: text(l.Server), Connection: l.Connection, User: text(l.User), Host: text(l.Host),
		Command: text(l.Command), Digest: text(l.Digest), On: text(l.On), Peer: text(l.Peer), Object: text(l.Object), Seconds: l.Seconds,
		TransactionSeconds: l.Transaction, Stack: stackOf(l.Stack), Probable: l.Probable, Candidates: l.Candidates, Held: l.Held,
	}
}

// linksAt returns the links of the first records, most of them at the most.
func linksAt(list []Link, most int) []model.Link {
	var out []model.Link
	for i := range list[:min(len(list), most)] {
		out = append(out, list[i].model())
	}
	return out
}

// model returns the link of a record.
func (x *Link) model() model.Link {
	return model.Link{
		App: textAt(x.App), Slot: textAt(x.Slot), PID: x.PID, TID: x.TID, Server: textAt(x.Server), Connection: x.Connection, User: textAt(x.User), Host: textAt(x.Host),
		Command: textAt(x.Command), Digest: textAt(x.Digest), On: textAt(x.On), Peer: textAt(x.Peer), Object: textAt(x.Object), Seconds: x.Seconds,
		Transaction: x.TransactionSeconds, Stack: x.Stack.model(), Probable: x.Probable, Candidates: x.Candidates, Held: x.Held,
	}
}

// stackOf returns a stack as it is written, without the path of its request; nil for nil.
func stackOf(s *model.Stack) *Stack {
	if s == nil {
		return nil
	}
	return &Stack{View: text(s.View), Own: frameOf(s.Own), Inner: frameOf(s.Inner), Method: text(s.Method), Route: text(s.Route), Started: timeOf(s.Started)}
}

// model returns the stack of a record, nil for nil.
func (x *Stack) model() *model.Stack {
	if x == nil {
		return nil
	}
	return &model.Stack{View: textAt(x.View), Own: x.Own.model(), Inner: x.Inner.model(), Method: textAt(x.Method), Route: textAt(x.Route), Started: timeAt(x.Started)}
}

// frameOf returns the record of a frame, nil for one without a file.
func frameOf(f model.Frame) *Frame {
	if f.File == "" {
		return nil
	}
	return &Frame{f.Function, f.File, f.Line}
}

// model returns the frame of a record, the zero frame for nil.
func (x *Frame) model() model.Frame {
	if x == nil {
		return model.Frame{}
	}
	return model.Frame{Function: x.Function, File: x.File, Line: x.Line}
}

// OfLastWords returns last words in the form in which they are written: stacks without the
// paths of requests.
func OfLastWords(m *model.LastWords) LastWords {
	t := &m.Thread
	out := LastWords{
		App: m.App, Slot: m.Slot, PID: m.PID, Ended: m.Ended.UTC(), Reason: m.Reason, TID: t.TID, Task: t.Task, On: t.On, Peer: text(t.Peer), Kind: text(t.Kind),
		Seconds: t.Seconds, Stack: stackOf(t.Stack), Digest: text(m.Digest),
	}
	if m.Blocker != nil {
		l := linkOf(m.Blocker)
		out.Blocker = &l
	}
	return out
}

// Model returns the last words that were written.
func (x *LastWords) Model() model.LastWords {
	out := model.LastWords{
		App: x.App, Slot: x.Slot, PID: x.PID, Ended: x.Ended, Reason: x.Reason, Digest: textAt(x.Digest),
		Thread: model.Thread{TID: x.TID, Task: x.Task, Main: x.TID == x.PID, On: x.On, Peer: textAt(x.Peer), Kind: textAt(x.Kind), Seconds: x.Seconds, Stack: x.Stack.model()},
	}
	if x.Blocker != nil {
		l := x.Blocker.model()
		out.Blocker = &l
	}
	return out
}

// text returns a pointer to s; nil for "", which means unknown.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// textAt returns the text, "" for nil.
func textAt(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// timeOf returns the time in UTC, nil for the zero time.
func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// timeAt returns the time, the zero time for nil.
func timeAt(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
