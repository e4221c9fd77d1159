package heal

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/guard"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// flow is where a run goes after a step.
type flow int

const (
	flowEnd      flow = iota
	flowNext          // the step did not help, or only observed: the next one
	flowEscalate      // another act could do harm: the step escalate, if the rule has it
	flowWait          // for an approval, or for the journal
	flowStop          // the exporter ends: the next start verifies the step
)

// result is how one step ended.
type result struct {
	decision journal.Decision
	reason   string
	flow     flow
}

// execution is a run that has not ended: the state machine of one run. Each method
// is one transition or reads the state, and locks. The runs that it returns are
// copies, of which nothing is changed afterwards.
type execution struct {
	id    string
	rule  *guard.Rule
	alert action.Alert

	mu        sync.Mutex
	run       journal.Run
	notBefore time.Time
	cancelled bool
}

// newExecution returns the execution of a run, marked as interrupted if its action may have
// been applied (it is running or verifying), else as not interrupted.
func newExecution(run journal.Run, rl *guard.Rule, a action.Alert) *execution {
	run.Interrupted = run.State.Inflight()
	return &execution{id: run.ID, rule: rl, alert: a, run: run}
}

// snapshot returns a copy of the run as it is now.
func (e *execution) snapshot() journal.Run {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.run
}

// step returns the current step with its action. true: the exporter ended in the middle
// of it, and it is only to be verified.
func (e *execution) step() (config.HealingStep, action.Action, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rule.Steps[e.run.Step], e.rule.Actions[e.run.Step], e.run.Interrupted
}

// isFor reports whether the run is of a rule and an alert.
func (e *execution) isFor(rule, fingerprint string) bool {
	return e.rule.Name == rule && e.alert.Fingerprint == fingerprint
}

// due reports whether the run may start at a moment: its notBefore has come and, unless it
// was interrupted, the end of the warm-up, warm.
func (e *execution) due(now, warm time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.notBefore.After(now) && (e.run.Interrupted || !now.Before(warm))
}

// cancel sets the state of a run that waits to cancelled, and returns a copy. false, with
// the run as it is: it was interrupted, and is verified first.
func (e *execution) cancel(reason string, now time.Time) (journal.Run, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.run.Interrupted {
		return e.run, false
	}
	e.run.State, e.run.Reason, e.run.Updated = journal.DecisionCancelled, reason, now
	return e.run, true
}

// requestCancel marks a run that is under way as cancelled: it ends before its next act.
func (e *execution) requestCancel() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cancelled = true
}

func (e *execution) isCancelled() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.cancelled
}

// planned records a plan, which is bounded already, and its target in the run.
func (e *execution) planned(p *action.Plan) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.run.Plan, e.run.Target = p, p.Target
}

// observed records the evidence in the run.
func (e *execution) observed(facts json.RawMessage) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.run.Facts = facts
}

// approval returns a result that waits, or the zero result if a person approved all
// that the plan touches. An approval that does not cover the plan is dropped. because
// is why it is asked for; "": the configuration says so.
func (e *execution) approval(because string) result {
	e.mu.Lock()
	defer e.mu.Unlock()
	plan, approved := e.run.Plan, e.run.Approved
	if approved == nil {
		return result{journal.DecisionAwaiting, join(because, plan.Summary), flowWait}
	}
	why := approved.Covers(*plan)
	if why == "" {
		return result{}
	}
	e.run.Approved = nil
	return result{journal.DecisionAwaiting, plan.Summary + " (it must be approved again: " + why + ")", flowWait}
}

// begin sets the run's state to running and returns a copy; the caller records it before
// it acts.
func (e *execution) begin(now time.Time) journal.Run {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.run.State, e.run.Reason, e.run.Applied, e.run.Updated = journal.DecisionRunning, "", now, now
	return e.run
}

// acted records how many victims the action was applied to.
func (e *execution) acted(done int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.run.Done = done
}

// verifying sets the run's state to verifying and returns a copy; err is the action's
// error, which becomes the reason. nil leaves the reason.
func (e *execution) verifying(err error, now time.Time) journal.Run {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.run.State, e.run.Updated = journal.DecisionVerifying, now
	if err != nil {
		e.run.Reason = text.Clip(err.Error(), action.MaxText)
	}
	return e.run
}

// measured records in the run what a verification measured.
func (e *execution) measured(o action.Outcome) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.run.Outcome = o
}

// settle sets the time at which the step ended, and returns a copy of the run.
func (e *execution) settle(now time.Time) journal.Run {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.run.Settled = now
	return e.run
}

// advance appends the result of the step to those before, makes next the step, with the state step-failed and
// nothing planned or done, and returns a copy of the run.
func (e *execution) advance(r result, next int, now time.Time) journal.Run {
	e.mu.Lock()
	defer e.mu.Unlock()
	run := &e.run
	summary := ""
	if run.Plan != nil {
		summary = run.Plan.Summary
	}
	run.Before = append(slices.Clone(run.Before), journal.StepResult{
		Action: run.Action, Target: run.Target, Result: r.decision, Reason: text.Clip(r.reason, action.MaxText), Summary: summary,
		Applied: run.Applied, Ended: run.Settled, Done: run.Done, Interrupted: run.Interrupted,
	})
	run.Step, run.Action, run.Target = next, e.rule.Steps[next].Action, e.rule.Actions[next].Target(e.alert)
	run.Settled, run.Applied = time.Time{}, time.Time{}
	run.Plan, run.Done, run.Outcome, run.Approved, run.Facts = nil, 0, "", nil, nil
	run.State, run.Reason, run.Updated = journal.DecisionStepFailed, text.Clip(r.reason, action.MaxText), now
	run.Interrupted = false
	return e.run
}

// end sets the run's state and reason to the result and returns a copy; the caller records it.
func (e *execution) end(r result, now time.Time) journal.Run {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.run.State, e.run.Reason, e.run.Updated = r.decision, text.Clip(r.reason, action.MaxText), now
	return e.run
}

// postpone sets that a run waits, as the journal cannot be written, and is not tried again
// before until; it returns a copy. Approval and application are cleared: both are done again.
func (e *execution) postpone(reason string, until time.Time) journal.Run {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.run.State, e.run.Reason = journal.DecisionUnwritten, text.Clip(reason, action.MaxText)
	e.run.Approved, e.run.Applied = nil, time.Time{}
	e.notBefore = until
	return e.run
}

// approved returns a copy of the run as it is once a person has approved its plan. The
// run itself changes only by [execution.approve].
func (e *execution) approved(now time.Time) journal.Run {
	e.mu.Lock()
	defer e.mu.Unlock()
	run := e.run
	run.State, run.Reason, run.Updated = journal.DecisionQueued, "an operator approved the plan", now
	run.Approved = journal.ApprovalOf(*run.Plan)
	return run
}

// approve sets the run to one that [execution.approved] returned.
func (e *execution) approve(run journal.Run) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.run = run
}

// join returns two reasons as one, "x: y", or the only one that is not empty.
func join(x, y string) string {
	if x == "" || y == "" {
		return x + y
	}
	return x + ": " + y
}
