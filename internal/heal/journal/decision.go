// Package journal keeps the runs of healing with their transitions, the state of the
// guards, and the pause, in a state directory that one exporter locks.
package journal

import "slices"

// Decision is the decision on an alert or the state of a run, in the journal and as a
// label's value.
type Decision string

// The decisions on an alert that starts no run.
const (
	DecisionNotMine   Decision = "not_mine"   // identity: it is about another host
	DecisionUnmatched Decision = "unmatched"  // no rule is for it
	DecisionDuplicate Decision = "duplicate"  // a run for it, or on its target, is there already
	DecisionResolved  Decision = "resolved"   // it fires no longer; what had not begun is cancelled
	DecisionQueueFull Decision = "queue_full" // refused: to be sent again
	DecisionUnwritten Decision = "unwritten"  // refused: the journal cannot be written; of a run: waits until it can
)

// The guards: why an action is not done although its alert fires. They are decisions
// on an alert, and ends of a run.
const (
	DecisionPaused   Decision = "paused"
	DecisionOff      Decision = "off"
	DecisionWarmup   Decision = "warmup"
	DecisionBreaker  Decision = "breaker"
	DecisionCooldown Decision = "cooldown"
	DecisionBudget   Decision = "budget"
	DecisionFleet    Decision = "fleet" // also: the fleet's Redis cannot be asked
	DecisionLease    Decision = "lease" // another run or exporter works on the target
)

// The states of a run that has not ended.
const (
	DecisionQueued     Decision = "queued"
	DecisionAwaiting   Decision = "awaiting_approval"
	DecisionRunning    Decision = "running"   // written before the action is applied
	DecisionVerifying  Decision = "verifying" // it was applied
	DecisionStepFailed Decision = "step_failed"
)

// The ends of a run.
const (
	DecisionDryRun    Decision = "dry_run"   // planned and shown
	DecisionCleared   Decision = "cleared"   // measured again, nothing is to be done
	DecisionRefused   Decision = "refused"   // the plan must not be carried out
	DecisionUnplanned Decision = "unplanned" // the action could not read the state
	// DecisionUnavailable: what the step needs is not there; the next one begins.
	DecisionUnavailable Decision = "unavailable"

	DecisionCancelled Decision = "cancelled" // the alert was resolved, or the rule is gone
	DecisionExpired   Decision = "expired"   // it was not approved in time
	DecisionVerified  Decision = "verified"
	DecisionFailed    Decision = "failed"
	DecisionEscalated Decision = "escalated"
)

// The temporary settings, which are no states of a run: a run may end long before what it
// set is set back.
const (
	DecisionHeld     Decision = "held"     // written before it is set or set back
	DecisionReleased Decision = "released" // it is set back, or no longer the exporter's to set back
)

// DecisionCarried marks the lines of the guards at the beginning of a file.
const DecisionCarried Decision = "carried"

// AlertDecisions returns all decisions on alerts, for metrics.
func AlertDecisions() []Decision {
	return slices.Concat([]Decision{
		DecisionQueued, DecisionNotMine, DecisionUnmatched, DecisionDuplicate, DecisionResolved, DecisionQueueFull, DecisionUnwritten,
	}, Guards())
}

// Guards returns the guards, in the order in which they are checked.
func Guards() []Decision {
	return []Decision{
		DecisionPaused, DecisionOff, DecisionWarmup, DecisionBreaker, DecisionCooldown, DecisionBudget, DecisionFleet, DecisionLease,
	}
}

// Open reports whether d is the state of a run that has not ended. It is false for
// decisions that are no states.
func (d Decision) Open() bool {
	return slices.Contains([]Decision{
		DecisionQueued, DecisionAwaiting, DecisionRunning, DecisionVerifying, DecisionStepFailed, DecisionUnwritten,
	}, d)
}

// Inflight reports whether in this state of a run its action may have been applied and not
// yet checked.
func (d Decision) Inflight() bool { return d == DecisionRunning || d == DecisionVerifying }

// ofRun reports whether a decision is a state of a run.
func (d Decision) ofRun() bool {
	return d.Open() || slices.Contains(Guards(), d) || slices.Contains([]Decision{
		DecisionDryRun, DecisionCleared, DecisionRefused, DecisionUnplanned, DecisionUnavailable, DecisionCancelled, DecisionExpired,
		DecisionVerified, DecisionFailed, DecisionEscalated,
	}, d)
}

// ofHold reports whether a decision is about a temporary setting.
func (d Decision) ofHold() bool { return d == DecisionHeld || d == DecisionReleased }

// known reports whether a decision is one that a line can have.
func (d Decision) known() bool {
	return d == DecisionCarried || d.ofHold() || d.ofRun() || slices.Contains(AlertDecisions(), d)
}
