package journal

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// Entry is one line of the journal: a transition of a run, an alert that was
// resolved, a temporary setting, or a part of the guards as they stood when the file was begun.
type Entry struct {
	At       time.Time    `json:"at"`
	Decision Decision     `json:"decision"`
	Rule     string       `json:"rule,omitempty"`
	Action   string       `json:"action,omitempty"`
	Target   string       `json:"target,omitempty"`
	Reason   string       `json:"reason,omitempty"`
	Alert    *Subject     `json:"alert,omitempty"`
	Run      *Run         `json:"run,omitempty"`
	Guards   *GuardState  `json:"guards,omitempty"`
	Hold     *action.Hold `json:"hold,omitempty"`
}

// EntryOfHold returns the journal line of a temporary setting with a decision: it is
// held, or it was released and why.
func EntryOfHold(h action.Hold, d Decision, reason string, at time.Time) Entry {
	return Entry{At: at, Decision: d, Rule: h.Rule, Action: h.Action, Target: h.Target, Reason: text.Clip(reason, action.MaxText), Hold: &h}
}

// EntryOf returns the line of a run as it is now. The run may change afterwards.
func EntryOf(r *Run) Entry {
	run := *r
	return Entry{At: run.Updated, Decision: run.State, Rule: run.Rule, Action: run.Action, Target: run.Target, Reason: run.Reason, Run: &run}
}
