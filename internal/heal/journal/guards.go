package journal

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// GuardState is a part of the guards as they stood when a file of the journal was
// begun. Every part is a line; the runs that had not ended follow, a line each.
type GuardState struct {
	Part     int                    `json:"part"` // from 1
	Parts    int                    `json:"parts"`
	Open     int                    `json:"open,omitempty"`     // lines of runs that follow the last part
	Last     map[string]time.Time   `json:"last,omitempty"`     // when an action was last done to a target
	Acts     map[string][]time.Time `json:"acts,omitempty"`     // when it did something
	Applied  []time.Time            `json:"applied,omitempty"`  // all acts
	Failures map[string][]time.Time `json:"failures,omitempty"` // by action
	InRow    map[string][]time.Time `json:"in_row,omitempty"`   // failures since it helped last, by action and cause
	Calls    map[string][]string    `json:"calls,omitempty"`    // the alerts for which a rule calls for a person, by the rule: their fingerprints
	Holds    map[string]action.Hold `json:"holds,omitempty"`    // temporary settings in force
	Known    map[string]time.Time   `json:"known,omitempty"`    // alerts that were accepted, as hashes, and until when they are duplicates
}

// The bounds of the state of the guards.
const (
	maxParts   = 10_000
	MaxApplied = 2000 // acts that are kept for the budget: more than any budget
	MaxActs    = 100  // of one key
)
