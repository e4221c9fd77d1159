package journal

import (
	"fmt"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// Approval is one plan, with its victims, that a person has approved. The plan that is
// carried out is made anew, and must be a subset of it.
type Approval struct {
	Plan    string   `json:"plan"` // [action.Plan.ID]
	Action  string   `json:"action"`
	Target  string   `json:"target"`
	Scope   string   `json:"scope,omitempty"`
	Total   int      `json:"total"`
	Victims []string `json:"victims,omitempty"` // [action.Victim.Key], of those that the plan names
}

// ApprovalOf returns the approval of a plan as it was shown, with the keys of its victims.
func ApprovalOf(p action.Plan) *Approval {
	a := &Approval{Plan: p.ID, Action: p.Action, Target: p.Target, Scope: p.Scope, Total: p.Total}
	for _, v := range p.Victims {
		a.Victims = append(a.Victims, v.Key())
	}
	return a
}

// Covers returns "" if a plan touches nothing but what was approved, else what is new in
// the plan. Victims that the plan counts and does not name are covered only by an
// approval that named none either, up to its number.
func (a *Approval) Covers(p action.Plan) string {
	if p.Action != a.Action || p.Target != a.Target || p.Scope != a.Scope {
		return "its target or its settings have changed"
	}
	for _, v := range p.Victims {
		if !slices.Contains(a.Victims, v.Key()) {
			return fmt.Sprintf("%s %s is not in the approved plan", v.Kind, v.ID)
		}
	}
	switch {
	case p.Total > a.Total:
		return fmt.Sprintf("%d victims were approved, but the plan now has %d", a.Total, p.Total)
	case p.Total > len(p.Victims) && len(a.Victims) > 0:
		return "it has victims that are not in the approved plan"
	}
	return ""
}
