package actions

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

// Approval is what a person has approved: one plan, with its victims. What is
// carried out is planned anew, and must be a subset of it.
type Approval struct {
	Plan    string   `json:"plan"` // [Plan.ID]
	Action  string   `json:"action"`
	Target  string   `json:"target"`
	Scope   string   `json:"scope,omitempty"`
	Total   int      `json:"total"`
	Victims []string `json:"victims,omitempty"` // [Victim.key], of those that the plan names
}

// approvalOf returns the approval of a plan as it was written down and shown.
func approvalOf(p Plan) *Approval {
	a := &Approval{Plan: p.ID, Action: p.Action, Target: p.Target, Scope: p.Scope, Total: p.Total}
	for _, v := range p.Victims {
		a.Victims = append(a.Victims, v.key())
	}
	return a
}

// covers returns "" when a plan touches nothing but what was approved, else what
// is new in it. Victims that a plan counts and does not name are covered only by
// an approval that named none either, up to its number.
func (a *Approval) covers(p Plan) string {
	if p.Action != a.Action || p.Target != a.Target || p.Scope != a.Scope {
		return "it is about something else now, or its settings have changed"
	}
	for _, v := range p.Victims {
		if !slices.Contains(a.Victims, v.key()) {
			return fmt.Sprintf("%s %s was not in the approved plan", v.Kind, v.ID)
		}
	}
	switch {
	case p.Total > a.Total:
		return fmt.Sprintf("%d were approved, and now it would be %d", a.Total, p.Total)
	case p.Total > len(p.Victims) && len(a.Victims) > 0:
		return "it has victims that were not named"
	}
	return ""
}

// key tells a victim from all others, in 16 hexadecimal digits.
func (v Victim) key() string { return digest(v.Kind, v.ID, v.Identity) }

// identify sets what an approval holds on to: the settings of the step as part
// of the plan's scope, and the plan's ID, which changes with its victims.
func (p *Plan) identify(step config.HealingStep) {
	settings, err := json.Marshal(step) // durations, numbers, names: it cannot fail
	if err != nil {
		settings = nil
	}
	p.Scope = digest(p.Scope, string(settings))
	parts := []string{p.Action, p.Target, p.Scope, strconv.Itoa(p.Total)}
	for _, v := range p.Victims {
		parts = append(parts, v.key())
	}
	slices.Sort(parts[4:])
	p.ID = digest(parts...)
}

// digest returns 16 hexadecimal digits that stand for a list of texts.
func digest(parts ...string) string {
	b, err := json.Marshal(parts) // one text for one list
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
