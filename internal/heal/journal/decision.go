// Package journal keeps what healing did: runs and their transitions, what the guards
// go by, and the pause, in a state directory that one exporter holds.
package journal

import "slices"

// Decision is where an alert ended or a run stands: every way out of the
// runner is one of these, in the journal and as a label's value.
type Decision string

// What an alert comes to that starts no run.
const (
	DecisionNotMine   Decision = "not_mine"   // identity: it is about another host
	DecisionUnmatched Decision = "unmatched"  // no rule is for it
	DecisionDuplicate Decision = "duplicate"  // a run for it, or on its target, is there already
	DecisionResolved  Decision = "resolved"   // it fires no longer; what had not begun is cancelled
	DecisionQueueFull Decision = "queue_full" // refused: to be sent again
	DecisionUnwritten Decision = "unwritten"  // refused: the journal cannot be written; of a run: waits until it can
)

// The guards: what keeps a rule's action from being done although its alert
// fires. They end an alert, and a run that was to begin.
const (
	DecisionPaused   Decision = "paused"
	DecisionOff      Decision = "off"
	DecisionWarmup   Decision = "warmup"
	DecisionBreaker  Decision = "breaker"
	DecisionCooldown Decision = "cooldown"
	DecisionBudget   Decision = "budget"
	DecisionFleet    Decision = "fleet" // also: the fleet's Redis cannot be asked
	DecisionLease    Decision = "lease" // somebody else works on the target
)

// The way of a run.
const (
	DecisionQueued     Decision = "queued"
	DecisionAwaiting   Decision = "awaiting_approval"
	DecisionRunning    Decision = "running"   // written down before the action is applied
	DecisionVerifying  Decision = "verifying" // it was applied
	DecisionStepFailed Decision = "step_failed"
)

// The ends of a run.
const (
	DecisionDryRun    Decision = "dry_run"   // planned and shown
	DecisionCleared   Decision = "cleared"   // looked at again, there was nothing to do
	DecisionRefused   Decision = "refused"   // the plan must not be carried out
	DecisionUnplanned Decision = "unplanned" // the action could not look
	DecisionCancelled Decision = "cancelled" // the alert was resolved, or the rule is gone
	DecisionExpired   Decision = "expired"   // nobody approved it in time
	DecisionVerified  Decision = "verified"
	DecisionFailed    Decision = "failed"
	DecisionEscalated Decision = "escalated"
)

// DecisionCarried stands where a file of the journal begins with the guards.
const DecisionCarried Decision = "carried"

// AlertDecisions lists what an alert can come to, for metrics.
func AlertDecisions() []Decision {
	return slices.Concat([]Decision{
		DecisionQueued, DecisionNotMine, DecisionUnmatched, DecisionDuplicate, DecisionResolved, DecisionQueueFull, DecisionUnwritten,
	}, Guards())
}

// Guards lists the guards, in the order in which they are asked.
func Guards() []Decision {
	return []Decision{
		DecisionPaused, DecisionOff, DecisionWarmup, DecisionBreaker, DecisionCooldown, DecisionBudget, DecisionFleet, DecisionLease,
	}
}

// Open reports whether a run goes on from here.
func (d Decision) Open() bool {
	return slices.Contains([]Decision{
		DecisionQueued, DecisionAwaiting, DecisionRunning, DecisionVerifying, DecisionStepFailed, DecisionUnwritten,
	}, d)
}

// Inflight reports whether an action may have been applied and not yet checked.
func (d Decision) Inflight() bool { return d == DecisionRunning || d == DecisionVerifying }

// ofRun reports whether a run can stand at it.
func (d Decision) ofRun() bool {
	return d.Open() || slices.Contains(Guards(), d) || slices.Contains([]Decision{
		DecisionDryRun, DecisionCleared, DecisionRefused, DecisionUnplanned, DecisionCancelled, DecisionExpired,
		DecisionVerified, DecisionFailed, DecisionEscalated,
	}, d)
}

// known reports whether it is one of all decisions.
func (d Decision) known() bool {
	return d == DecisionCarried || d.ofRun() || slices.Contains(AlertDecisions(), d)
}
