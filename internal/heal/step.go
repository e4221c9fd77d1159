package heal

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/guard"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/heal/redact"
)

// stepper does the steps of runs.
type stepper struct {
	*state

	evidence    func(ctx context.Context, target string) json.RawMessage
	settlePause time.Duration // between asking the fleet and acting
}

// step executes one step of a run, from the guards to the verification, and returns the result.
func (x *stepper) step(ctx context.Context, e *execution) result {
	step, act, interrupted := e.step()
	switch {
	case step.Action == config.ActionEscalate: // a rule that only calls for a person
		return x.escalateOnly(ctx, e)
	case interrupted:
		return x.verifyInterrupted(ctx, e, act, step)
	}
	plan, r := x.prepare(ctx, e, act, step)
	if r.decision != "" {
		return r
	}
	key := guard.TargetKey(e.rule.Name, step.Action, plan.Target)
	lease := Lease{step.Action, key, e.id, step.Timeout + step.VerifyWithin + time.Minute}
	if r := x.acquire(ctx, lease); r.decision != "" {
		return r
	}
	defer x.release(ctx, lease)
	return x.act(ctx, e, act, plan)
}

// escalateOnly executes the step of a rule that only calls a person, and returns escalated, dry-run, unplanned
// if the call failed, or the guard that blocks it. It has a cooldown, and does not count for the budget.
func (x *stepper) escalateOnly(ctx context.Context, e *execution) result {
	key := guard.TargetKey(e.rule.Name, config.ActionEscalate, "")
	if d, why := x.recheckGuards(e, config.ActionEscalate, key); d != "" {
		return result{d, why, flowEnd}
	}
	if x.dryRun() {
		return result{journal.DecisionDryRun, "would ask an operator for help", flowEnd}
	}
	if err := x.callPerson(ctx, e); err != nil {
		return result{journal.DecisionUnplanned, err.Error(), flowEnd}
	}
	x.guards.Escalated(key, time.Now())
	return result{journal.DecisionEscalated, "the rule has no further step", flowEnd}
}

// callPerson plans and applies the action escalate. It checks no guard: the caller does. An
// error: one of the two failed or panicked.
func (x *stepper) callPerson(ctx context.Context, e *execution) error {
	_, act, _ := e.step()
	run := e.snapshot()
	return safely(func() error {
		p, err := act.Plan(ctx, action.PlanRequest{Alert: run.Alert.Alert(), Rule: run.Rule, RunID: run.ID})
		if err == nil {
			_, err = act.Apply(ctx, p)
		}
		return err
	})
}

// prepare returns the plan, made after the guards were checked again, and records the
// evidence. If the result has a decision, the step ends or waits with it.
func (x *stepper) prepare(ctx context.Context, e *execution, act action.Action, step config.HealingStep) (action.Plan, result) {
	run := e.snapshot()
	blocked := flowEnd
	if run.Acted() {
		blocked = flowEscalate // something was done and did not help
	}
	if d, why := x.recheckGuards(e, step.Action, guard.TargetKey(run.Rule, step.Action, run.Target)); d != "" {
		return action.Plan{}, result{d, why, blocked}
	}
	if why := x.checkFleet(ctx, step.Action, x.settlePause); why != "" {
		return action.Plan{}, result{journal.DecisionFleet, why, blocked}
	}
	plan, err := x.plan(ctx, e, act, step)
	if err != nil {
		return action.Plan{}, result{journal.DecisionUnplanned, err.Error(), flowEscalate}
	}
	switch {
	case plan.Cleared:
		return plan, result{journal.DecisionCleared, "the condition no longer holds, nothing to do", flowEnd}
	case !plan.Refused.IsZero():
		return plan, refusedAs(plan.Refused)
	}
	// By now the target is known for sure.
	if d, why := x.recheckGuards(e, step.Action, guard.TargetKey(run.Rule, step.Action, plan.Target)); d != "" {
		return plan, result{d, why, blocked}
	}
	e.observed(x.readEvidence(ctx, plan.Target))
	switch {
	case x.dryRun():
		return plan, result{journal.DecisionDryRun, "would " + plan.Summary, flowEnd}
	case step.Approve:
		return plan, e.approval("")
	}
	why, err := x.distrust(ctx, step.Action, run.Alert.Cause())
	switch {
	case err != nil:
		return plan, result{journal.DecisionFleet, "the fleet's Redis does not answer: " + err.Error(), blocked}
	case why != "":
		return plan, e.approval(why)
	}
	return plan, result{}
}

// recheckGuards checks the guards again right before an action. It returns the guard that refuses it, and why:
// cancelled if the alert was resolved, off if the state directory cannot be used; "" if nothing does.
func (x *stepper) recheckGuards(e *execution, action, key string) (journal.Decision, string) {
	x.storage.check()
	if e.isCancelled() {
		return journal.DecisionCancelled, "the alert was resolved"
	}
	if x.storage.current() == nil {
		return journal.DecisionOff, "the state directory cannot be used"
	}
	return x.checkGuards(action, key, time.Now())
}

// plan returns the plan of an action, within the step's timeout; its text is not
// bounded. With an error, also for a panic of the action, the plan is zero.
func (x *stepper) plan(ctx context.Context, e *execution, act action.Action, step config.HealingStep) (p action.Plan, err error) {
	ctx, cancel := context.WithTimeout(ctx, step.Timeout)
	defer cancel()
	req := action.PlanRequest{Alert: e.alert, Rule: e.rule.Name, RunID: e.id, Acts: x.guards.ActsOf(step.Action)}
	err = safely(func() (err error) {
		p, err = act.Plan(ctx, req)
		return err
	})
	if err != nil {
		return action.Plan{}, err
	}
	p.Action = step.Action
	shown := p.Bounded()
	shown.SetID(step)
	p.ID, p.Scope = shown.ID, shown.Scope
	e.planned(shown)
	return p, nil
}

// readEvidence returns the evidence about a target, without secrets and bounded, as the
// journal may have it; nil if there is none, it is no JSON, or reading it panics.
func (x *stepper) readEvidence(ctx context.Context, target string) (out json.RawMessage) {
	if x.evidence == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := safely(func() error { out = redact.JSON(x.evidence(ctx, target), journal.MaxEvidence); return nil }); err != nil {
		return nil
	}
	return out
}

// act checks the guards, writes to the journal that the step begins, applies the plan, and verifies it. The result
// waits if the journal cannot be written: then nothing was done. It has no decision if ctx has ended.
func (x *stepper) act(ctx context.Context, e *execution, act action.Action, plan action.Plan) result {
	step, _, _ := e.step()
	key := guard.TargetKey(e.rule.Name, step.Action, plan.Target)
	// Planning takes time: check the guards again.
	if d, why := x.recheckGuards(e, step.Action, key); d != "" {
		return result{d, why, flowEnd}
	}
	if x.dryRun() {
		return result{journal.DecisionDryRun, "would " + plan.Summary, flowEnd}
	}
	began := time.Now()
	held, refused := x.beginHold(act, plan, key, e.snapshot())
	if refused != "" {
		return result{journal.DecisionRefused, refused, flowEscalate}
	}
	if !x.record(e.begin(began), held.entries(began)...) {
		return result{journal.DecisionUnwritten, "the journal is not writable: the step waits until it is", flowWait}
	}
	x.guards.Began(x.settings(), key, began)
	held.begin(x.state)
	done, err := apply(ctx, act, plan, step.Timeout)
	e.acted(done)
	if done == 0 && ctx.Err() == nil {
		held.undo(x.state)
	}
	if done > 0 || ctx.Err() != nil { // it did something, or may have
		x.guards.Did(key, began)
	}
	if ctx.Err() != nil {
		return result{flow: flowStop}
	}
	if refusal, ok := errors.AsType[action.Refusal](err); ok && done == 0 {
		return refusedAs(refusal)
	}
	x.record(e.verifying(err, time.Now()))
	patience := step.VerifyWithin
	if err != nil && done == 0 {
		patience = 0 // nothing was done: it is measured once
	}
	r := verify(ctx, e, act, plan, patience)
	if err != nil && r.decision == journal.DecisionFailed {
		r.reason = err.Error()
	}
	return conclude(ctx, act, plan, r)
}

// refusedAs returns the result of a step that is refused. If only its means are
// missing, the run goes on to the next step, else to the step escalate.
func refusedAs(r action.Refusal) result {
	if r.Code.Unavailable() {
		return result{journal.DecisionUnavailable, r.Reason, flowNext}
	}
	return result{journal.DecisionRefused, r.Reason, flowEscalate}
}

// apply applies a plan within the timeout, and returns how many victims are done, also with an error.
func apply(ctx context.Context, act action.Action, plan action.Plan, timeout time.Duration) (done int, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = safely(func() (err error) {
		done, err = act.Apply(ctx, plan)
		return err
	})
	return done, err
}

// verifyInterrupted returns verified, failed or, if ctx ends, no decision for an interrupted step: it is never redone.
func (x *stepper) verifyInterrupted(ctx context.Context, e *execution, act action.Action, step config.HealingStep) result {
	run := e.snapshot()
	lease := Lease{step.Action, guard.TargetKey(run.Rule, step.Action, run.Target), run.ID, 0}
	defer x.release(ctx, lease)
	if run.Plan == nil {
		return result{journal.DecisionFailed, "the step was interrupted and its plan is not known", flowEscalate}
	}
	r := conclude(ctx, act, *run.Plan, verify(ctx, e, act, *run.Plan, step.VerifyWithin))
	if r.decision == journal.DecisionFailed {
		r.reason, r.flow = "the exporter ended in the middle of it; the step was not repeated; "+r.reason, flowEscalate
	}
	return r
}
