// Package actions ends what holds an app up, when an alert asks for it: rarely,
// never more than planned, written down before and checked after. What an
// action may do is in its Plan; the [Runner] decides whether it may.
package actions

import (
	"context"
	"time"
)

// Alert is one alert as Alertmanager reported it. Its labels and annotations
// come from outside: they select among known names and are never part of a
// command, a statement, a path or a URL.
type Alert struct {
	Labels      map[string]string
	Annotations map[string]string
	StartsAt    time.Time
	EndsAt      time.Time // zero while it fires
	Fingerprint string
	Resolved    bool
}

// Name is the alert's label alertname.
func (a Alert) Name() string { return a.Labels["alertname"] }

// Plan is what an action would do: plain data, shown as it is in dry-run and
// for approval, and written to the journal. It holds no secret, no statement's
// literals and no key of a store.
type Plan struct {
	Action  string   `json:"action"`
	Target  string   `json:"target"`            // what cooldown and lease are about, from configured or discovered names, e.g. "app:shop/pool:main"
	Summary string   `json:"summary"`           // a sentence, e.g. "end 3 of 15 connections of pool main of shop"
	Victims []Victim `json:"victims,omitempty"` // at most 100
	Total   int      `json:"total"`             // all that would be touched
	Cleared bool     `json:"cleared,omitempty"` // the condition does not hold: there is nothing to do
	Refused string   `json:"refused,omitempty"` // why it must not be done although the condition holds; "": it may
	Measure float64  `json:"measure"`           // the number that must fall, as it was when the plan was made

	// Private is what Apply and Verify need and nobody else: it is not written down.
	Private any `json:"-"`
}

// Victim is one thing that an action would touch.
type Victim struct {
	Kind string            `json:"kind"` // "connection", "query", "worker", "session", "process"
	ID   string            `json:"id"`   // a connection's number, a worker's slot; never a key or a user
	Info map[string]string `json:"info,omitempty"`
}

// Outcome is what a look after the action says.
type Outcome string

// The outcomes.
const (
	Verified   Outcome = "verified"    // the condition is gone, or clearly better
	InProgress Outcome = "in_progress" // on its way, as a transaction that rolls back: look again
	Unchanged  Outcome = "unchanged"   // it did not help
	Worse      Outcome = "worse"       // something else got worse
)

// Action is one way to repair something. Its methods may be called side by side
// for different targets, never for one.
type Action interface {
	Name() string
	// Plan looks at things as they are now and changes nothing. An error means
	// that it could not look.
	Plan(ctx context.Context, a Alert) (Plan, error)
	// Apply does what the plan says and no more, and says how many of the
	// victims it did it to. It re-checks each victim right before.
	Apply(ctx context.Context, p Plan) (done int, err error)
	// Verify looks whether it helped. After a crash it is called with a plan
	// whose Private is nil.
	Verify(ctx context.Context, p Plan) (Outcome, error)
}
