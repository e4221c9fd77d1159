// Package action has what every action of healing is made of: the alert that asks
// for it, the plan with its victims, the outcome, and the interface itself. Each
// action is a package of its own below this one.
package action

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

// PlanRequest is what an action is asked to plan for.
type PlanRequest struct {
	Alert Alert
	Rule  string // its name
	RunID string // by which call_http and run_command let the other side know one run from another
	// Acts has when the same action was done before, the oldest first, by target. It
	// is of the journal, so that it outlives the process and a reload.
	Acts map[string][]time.Time
}

// Plan is what an action would do: plain data, shown as it is in dry-run and
// for approval, and written to the journal. It holds no secret, no statement's
// literals and no key of a store.
type Plan struct {
	ID      string   `json:"id,omitempty"` // of its action, target, settings and victims; an approval names it
	Action  string   `json:"action"`
	Target  string   `json:"target"`            // what cooldown and lease are about, from configured or discovered names, e.g. "app:shop/pool:main"
	Summary string   `json:"summary"`           // a sentence, e.g. "end 3 of 15 connections of pool main of shop"
	Victims []Victim `json:"victims,omitempty"` // at most 100
	Total   int      `json:"total"`             // all that would be touched
	Cleared bool     `json:"cleared,omitempty"` // the condition does not hold: there is nothing to do
	Refused string   `json:"refused,omitempty"` // why it must not be done although the condition holds; "": it may
	Measure float64  `json:"measure"`           // the number that must fall, as it was when the plan was made

	// Scope stands for the settings by which victims are chosen that the plan only
	// counts; plans of another scope are about others.
	Scope string `json:"scope,omitempty"`

	// Private is what Apply and Verify need and nobody else: it is not written down.
	Private any `json:"-"`
}

// Victim is one thing that an action would touch.
type Victim struct {
	Kind string `json:"kind"` // "connection", "query", "worker", "session", "process"
	ID   string `json:"id"`   // a connection's number, a worker's slot; never a key or a user
	// Identity tells the victim from every other that ever has this kind and ID:
	// a process by number and start time. Two plans mean one victim only when
	// all three are equal.
	Identity string            `json:"identity,omitempty"`
	Info     map[string]string `json:"info,omitempty"`
}

// Refusal is an error of [Action.Apply]: nothing was done, because it must not
// be. The step is refused, as by its plan, and has not failed.
type Refusal string

// Error implements error.
func (r Refusal) Error() string { return string(r) }

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
	// Target returns what cooldown and lease are about, as far as the settings and
	// the alert's labels say before anything is read; "?" stands for what only the
	// plan will know. "" means that it is about nothing but its rule.
	Target(a Alert) string
	// Plan reads things as they are now. It changes nothing and runs nothing. An
	// error means that they could not be read.
	Plan(ctx context.Context, req PlanRequest) (Plan, error)
	// Apply does what the plan says and no more, and says how many of the
	// victims it did it to. It re-checks each victim right before.
	Apply(ctx context.Context, p Plan) (done int, err error)
	// Verify reports whether it helped. After a crash it is called with a plan
	// whose Private is nil.
	Verify(ctx context.Context, p Plan) (Outcome, error)
}
