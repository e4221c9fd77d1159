package journal

import "time"

// Entry is one line of the journal: a transition of a run, an alert that was
// resolved, or a part of the guards as they stood when the file was begun.
type Entry struct {
	At       time.Time   `json:"at"`
	Decision Decision    `json:"decision"`
	Rule     string      `json:"rule,omitempty"`
	Action   string      `json:"action,omitempty"`
	Target   string      `json:"target,omitempty"`
	Reason   string      `json:"reason,omitempty"`
	Alert    *Subject    `json:"alert,omitempty"`
	Run      *Run        `json:"run,omitempty"`
	Guards   *GuardState `json:"guards,omitempty"`
}

// EntryOf returns the line of a run as it is now. The run may change afterwards.
func EntryOf(r *Run) Entry {
	run := *r
	return Entry{At: run.Updated, Decision: run.State, Rule: run.Rule, Action: run.Action, Target: run.Target, Reason: run.Reason, Run: &run}
}
