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

// Name returns the alert's label alertname.
func (a Alert) Name() string { return a.Labels["alertname"] }

// PlanRequest is the input of [Action.Plan].
type PlanRequest struct {
	Alert Alert
	Rule  string // its name
	RunID string // for call_http and run_command, which pass it on
	// Acts has the times at which the same action was applied before, the oldest first,
	// by target. They come from the journal and outlive the process and a reload.
	Acts map[string][]time.Time
}

// Plan is what an action would do: data that is shown in dry-run and for approval, and
// written to the journal. It has no secret, no literal of a statement and no key of a
// store.
type Plan struct {
	ID      string   `json:"id,omitempty"` // of its action, target, settings and victims; an approval names it
	Action  string   `json:"action"`
	Target  string   `json:"target"`            // of cooldown and lease, from configured or discovered names, e.g. "app:shop/pool:main"
	Summary string   `json:"summary"`           // a sentence, e.g. "end 3 of 15 connections of pool main of shop"
	Victims []Victim `json:"victims,omitempty"` // at most 100
	Total   int      `json:"total"`             // all that would be touched
	Cleared bool     `json:"cleared,omitempty"` // the condition does not hold: nothing is to be done
	Refused Refusal  `json:"refused,omitzero"`  // why it must not be done although the condition holds; in JSON its reason
	Measure float64  `json:"measure"`           // the number that must fall, as it was when the plan was made

	// Scope is a digest of the settings by which victims are chosen that the plan only
	// counts. Plans of different scopes have different victims.
	Scope string `json:"scope,omitempty"`

	// Private is state that only Apply and Verify use. It is not in the journal.
	Private any `json:"-"`
}

// Victim is one thing that an action would touch.
type Victim struct {
	Kind string `json:"kind"` // "connection", "query", "worker", "session", "process"
	ID   string `json:"id"`   // a connection's number, a worker's slot; never a key or a user
	// Identity distinguishes the victim from every other that ever has this kind and
	// ID, as a start time does for a process. Two plans have a victim in common only
	// when all three are equal.
	Identity string            `json:"identity,omitempty"`
	Info     map[string]string `json:"info,omitempty"`
}

// Outcome is the result of a verification.
type Outcome string

// The outcomes.
const (
	Verified   Outcome = "verified"    // the condition is gone, or clearly better
	InProgress Outcome = "in_progress" // under way, as a transaction that rolls back: to be verified again
	Unchanged  Outcome = "unchanged"   // it did not help
	Worse      Outcome = "worse"       // something else got worse
)

// Action is one kind of repair. Its methods may be called concurrently for different
// targets, never for one.
type Action interface {
	// Target returns the target of cooldown and lease as far as the settings and the
	// alert's labels name it, before anything is read. "?" replaces each part that only
	// the plan will have; "" means that there is one target for each rule.
	Target(a Alert) string
	// Plan reads the present state and returns what Apply would do. It changes nothing
	// and runs nothing. An error means that the state could not be read.
	Plan(ctx context.Context, req PlanRequest) (Plan, error)
	// Apply carries out the plan and no more, and returns the number of victims that it
	// was applied to. It checks each victim again right before.
	Apply(ctx context.Context, p Plan) (done int, err error)
	// Verify measures whether it helped. After a crash it is called with a plan whose
	// Private is nil.
	Verify(ctx context.Context, p Plan) (Outcome, error)
}

// Reporter is an [Action] that has something to say about its result beside the outcome.
type Reporter interface {
	// Report returns a sentence for people, "" for none. It is called when Verify has had its
	// last say, with the same plan.
	Report(ctx context.Context, p Plan) string
}

// Observer is an [Action] that changes nothing: when it is verified, the condition of the alert
// is as before, and the next step of the rule begins.
type Observer interface {
	Observes()
}

// Reverter is an [Action] of which something lasts that must not when the action has failed.
type Reverter interface {
	Revert(ctx context.Context, p Plan)
}
