// Package escalate is the action escalate: it calls for a person and changes nothing
// else.
package escalate

import (
	"context"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// Action is the action escalate.
type Action struct {
	call func(rule, fingerprint string)
}

// New returns the action. call is called when a rule needs a person for an alert.
func New(call func(rule, fingerprint string)) *Action { return &Action{call} }

// need is the private part of a plan.
type need struct{ rule, fingerprint string }

// Target implements [action.Action]: "", one target for each rule.
func (*Action) Target(action.Alert) string { return "" }

// Plan implements [action.Action]. It is never cleared or refused, and has no victims.
func (*Action) Plan(_ context.Context, req action.PlanRequest) (action.Plan, error) {
	return action.Plan{Action: config.ActionEscalate, Summary: "ask an operator for help", Private: need{req.Rule, req.Alert.Fingerprint}}, nil
}

// Apply implements [action.Action]. It calls a person, and returns 0, as there are no victims.
func (a *Action) Apply(_ context.Context, p action.Plan) (int, error) {
	n, ok := p.Private.(need)
	if !ok {
		return 0, action.ErrNotPlanned
	}
	a.call(n.rule, n.fingerprint)
	return 0, nil
}

// Verify implements [action.Action]: always Unchanged. Only the person can know whether it
// helped.
func (*Action) Verify(context.Context, action.Plan) (action.Outcome, error) {
	return action.Unchanged, nil
}
