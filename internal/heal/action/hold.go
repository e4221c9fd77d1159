package action

import (
	"context"
	"time"
)

// Hold is a temporary setting: what an action has changed and what is to be set back when
// it is no longer needed. It is written to the journal before the change, and outlives the
// process. It has no secret.
type Hold struct {
	Action      string            `json:"action"`
	Target      string            `json:"target"`
	Rule        string            `json:"rule"`
	Run         string            `json:"run"`            // id of the run that set it last
	Fingerprint string            `json:"fingerprint"`    // of its alert
	Since       time.Time         `json:"since"`          // when it was set first
	Fired       time.Time         `json:"fired,omitzero"` // when its alert was last known to fire
	For         time.Duration     `json:"for"`            // how long it stays after the alert has ended, in nanoseconds
	From        int               `json:"from"`           // the number before
	To          int               `json:"to"`             // the number as the exporter has set it last
	Info        map[string]string `json:"info,omitempty"`
}

// The bounds of holds.
const (
	MaxHolds    = 100            // that are in force at once
	MaxHoldInfo = 2000           // bytes of one value of its information
	MaxHold     = 24 * time.Hour // after which a hold ends, whatever the alert says
)

// Return is what is to be done about a hold at one moment.
type Return struct {
	Ended string // why there is nothing to set back any more, for people; "": it is still in force
	// Do does one step of setting it back; nil: nothing is to be done now. Next is the hold
	// afterwards, which is in the journal before Do is called. An error says that nothing was
	// changed, and Do is tried again.
	Do   func(context.Context) error
	Next Hold
}

// Holder is an action whose effect is temporary. Its methods do not depend on the
// settings of its step: these may have changed since the hold began.
type Holder interface {
	Action
	// Hold returns the hold that Apply of a plan leaves; ok is false for none. before is one that is
	// in force on the target already, nil for none.
	Hold(p Plan, before *Hold) (h Hold, ok bool)
	// PlanReturn reads the present state of a hold and returns what is to be done about it. over
	// reports whether it is no longer needed, as far as its alert and its time say.
	PlanReturn(ctx context.Context, h Hold, over bool) (Return, error)
}
