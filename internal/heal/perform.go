package heal

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/heal/redact"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// then says where a run goes after a step.
type then int

const (
	thenEnd      then = iota
	thenNext          // the step did not help: the next one
	thenEscalate      // to act further could do harm: a person, if the rule has a step for that
	thenLater         // it waits, for a person or for the journal
	thenStop          // the exporter ends: the next start looks after it
)

// outcome is what one step came to.
type outcome struct {
	decision journal.Decision
	reason   string
	then     then
}

// startReady starts the runs whose time has come and for which there is room.
func (r *Runner) startReady(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for i := 0; i < len(r.queue) && ctx.Err() == nil; {
		w := r.queue[i]
		if len(r.active) >= r.set.Budgets.MaxConcurrent || !r.due(w, now) {
			i++
			continue
		}
		r.queue = slices.Delete(r.queue, i, i+1)
		r.active[w.run.ID] = w
		r.wg.Go(func() {
			r.perform(ctx, w)
			r.mu.Lock()
			delete(r.active, w.run.ID)
			r.mu.Unlock()
			r.poke()
		})
	}
}

// due reports whether a run may begin: one that a restart found waits for the
// warm-up, unless it only has to be looked after. r.mu is held.
func (r *Runner) due(w *work, now time.Time) bool {
	return !w.notBefore.After(now) && (w.verify || !now.Before(r.started.Add(r.set.Warmup)))
}

// perform takes a run from step to step to its end.
func (r *Runner) perform(ctx context.Context, w *work) {
	for {
		o := r.step(ctx, w)
		if ctx.Err() != nil {
			o.then = thenStop
		}
		if o.then == thenEscalate && len(w.run.Before) == 0 && w.run.Applied.IsZero() && r.dryRun() {
			o.then = thenEnd // nothing is done, and nobody is called
		}
		next := -1
		switch o.then {
		case thenStop:
			return
		case thenLater:
			r.park(w, o)
			return
		case thenNext:
			next = w.run.Step + 1
		case thenEscalate:
			next = w.rule.escalates()
		case thenEnd:
		}
		r.settle(w, o)
		if next <= w.run.Step || next >= len(w.rule.Steps) {
			r.end(w, o)
			return
		}
		w.climb(o, next)
		if w.rule.Steps[next].Action == config.ActionEscalate {
			r.callForHelp(ctx, w, o)
			return
		}
		w.run.State = journal.DecisionStepFailed
		r.record(&w.run)
	}
}

// climb notes what a step came to and goes to another one.
func (w *work) climb(o outcome, next int) {
	run := &w.run
	summary := ""
	if run.Plan != nil {
		summary = run.Plan.Summary
	}
	run.Before = append(slices.Clone(run.Before), journal.StepResult{
		Action: run.Action, Target: run.Target, Result: o.decision, Reason: text.Clip(o.reason, action.MaxText), Summary: summary,
		Applied: run.Applied, Ended: run.Settled, Done: run.Done,
	})
	run.Step, run.Action, run.Target = next, w.rule.Steps[next].Action, w.rule.target(next, w.alert)
	run.Settled = time.Time{}
	run.Applied, run.Plan, run.Done, run.Outcome, run.Approved, run.Facts = time.Time{}, nil, 0, "", nil, nil
	run.Reason = text.Clip(o.reason, action.MaxText)
	w.verify = false
}

// settle counts a step that ended.
func (r *Runner) settle(w *work, o outcome) {
	now := time.Now()
	w.run.Settled = now
	r.count.ended(RunKey{w.run.Rule, w.run.Action, o.decision}, w.run.Done, now)
	if w.run.Applied.IsZero() {
		return
	}
	r.count.took(now.Sub(w.run.Created))
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.decision == journal.DecisionVerified {
		delete(r.failures, w.run.Action)
		delete(r.human, w.run.Rule)
		return
	}
	if o.decision == journal.DecisionRefused { // by Apply, which did nothing
		return
	}
	r.failed(w.run.Action, now)
}

func (r *Runner) end(w *work, o outcome) {
	w.run.State, w.run.Reason = o.decision, text.Clip(o.reason, action.MaxText)
	r.record(&w.run)
	r.log.Info("Healing", "run", w.run.ID, "rule", w.run.Rule, "action", w.run.Action, "target", w.run.Target, "result", string(o.decision), "done", w.run.Done)
}

// NeedPerson notes that a rule needs a person for an alert: what the action
// escalate does.
func (r *Runner) NeedPerson(rule, fingerprint string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.human[rule] = fingerprint
}

// callForHelp does the step escalate after another one: a person must look.
func (r *Runner) callForHelp(ctx context.Context, w *work, o outcome) {
	if err := r.escalate(ctx, w); err != nil {
		o.reason += "; " + err.Error()
	}
	r.count.ended(RunKey{w.run.Rule, w.run.Action, journal.DecisionEscalated}, 0, time.Now())
	r.end(w, outcome{journal.DecisionEscalated, o.reason, thenEnd})
}

// record writes a run down as it now is, and shows it. It tells whether it is
// written; where nothing may be done without, the caller looks.
func (r *Runner) record(run *journal.Run) bool {
	run.Updated = time.Now()
	err := r.write(journal.EntryOf(run))
	if err != nil {
		r.log.Error("A step of healing is not in the journal", "run", run.ID, "state", string(run.State), "err", err)
	}
	r.mu.Lock()
	r.publish(*run)
	r.mu.Unlock()
	return err == nil
}

// park lets a run wait for a person, or for the journal to be written again.
func (r *Runner) park(w *work, o outcome) {
	w.run.State, w.run.Reason = o.decision, text.Clip(o.reason, action.MaxText)
	if o.decision == journal.DecisionAwaiting && r.record(&w.run) {
		r.mu.Lock()
		r.awaiting[w.run.ID] = w
		r.mu.Unlock()
		return
	}
	w.run.State, w.run.Approved, w.run.Applied = journal.DecisionUnwritten, nil, time.Time{}
	w.notBefore = time.Now().Add(retryAfter)
	r.mu.Lock()
	r.publish(w.run)
	r.queue = append(r.queue, w)
	r.mu.Unlock()
}

// step does one step of a run, from the guards to what it came to.
func (r *Runner) step(ctx context.Context, w *work) outcome {
	step, action := w.rule.Steps[w.run.Step], w.rule.actions[w.run.Step]
	if step.Action == config.ActionEscalate { // a rule that only calls for a person
		return r.onlyCall(ctx, w, keyOf(w.rule.Name, step.Action, ""))
	}
	if w.verify {
		return r.lookAfter(ctx, w, action, step)
	}
	plan, o := r.prepare(ctx, w, action, step)
	if o.decision != "" {
		return o
	}
	key := keyOf(w.rule.Name, step.Action, plan.Target)
	lease := Lease{step.Action, key, w.run.ID, step.Timeout + step.VerifyWithin + time.Minute}
	if o := r.lease(ctx, lease); o.decision != "" {
		return o
	}
	defer r.giveBack(ctx, lease)
	return r.act(ctx, w, action, plan)
}

// escalate plans and applies the action escalate. It asks no guard: the caller does.
func (r *Runner) escalate(ctx context.Context, w *work) error {
	act := w.rule.actions[w.run.Step]
	return safely(func() error {
		p, err := act.Plan(ctx, action.PlanRequest{Alert: w.run.Alert.Alert(), Rule: w.run.Rule, RunID: w.run.ID})
		if err == nil {
			_, err = act.Apply(ctx, p)
		}
		return err
	})
}

// onlyCall is the step of a rule that does nothing but call for a person. It has a
// cooldown as the others have, and takes nothing of the budget.
func (r *Runner) onlyCall(ctx context.Context, w *work, key string) outcome {
	if d, why := r.guardNow(w, config.ActionEscalate, key); d != "" {
		return outcome{d, why, thenEnd}
	}
	if r.dryRun() {
		return outcome{journal.DecisionDryRun, "would call for a person", thenEnd}
	}
	if err := r.escalate(ctx, w); err != nil {
		return outcome{journal.DecisionUnplanned, err.Error(), thenEnd}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last[key] = time.Now()
	return outcome{journal.DecisionEscalated, "the rule has no other step", thenEnd}
}

// prepare asks the guards again, looks at things as they are now, and keeps
// what was seen. With a decision the step ends there.
func (r *Runner) prepare(ctx context.Context, w *work, act action.Action, step config.HealingStep) (action.Plan, outcome) {
	blocked := thenEnd
	if w.run.Step > 0 {
		blocked = thenEscalate // something was done and did not help
	}
	if d, why := r.guardNow(w, step.Action, keyOf(w.rule.Name, step.Action, w.run.Target)); d != "" {
		return action.Plan{}, outcome{d, why, blocked}
	}
	if why := r.askFleet(ctx, step.Action); why != "" {
		return action.Plan{}, outcome{journal.DecisionFleet, why, blocked}
	}
	plan, err := r.plan(ctx, w, act, step)
	if err != nil {
		return action.Plan{}, outcome{journal.DecisionUnplanned, err.Error(), thenEscalate}
	}
	switch {
	case plan.Cleared:
		return plan, outcome{journal.DecisionCleared, "looked at now, there is nothing to do", thenEnd}
	case plan.Refused != "":
		return plan, outcome{journal.DecisionRefused, plan.Refused, thenEscalate}
	}
	// By now the target is known for sure.
	if d, why := r.guardNow(w, step.Action, keyOf(w.rule.Name, step.Action, plan.Target)); d != "" {
		return plan, outcome{d, why, blocked}
	}
	w.run.Facts = r.facts(ctx, plan.Target)
	switch {
	case r.dryRun():
		return plan, outcome{journal.DecisionDryRun, "would " + plan.Summary, thenEnd}
	case step.Approve:
		return plan, approved(w)
	}
	return plan, outcome{}
}

// approved lets a step go on whose plan, as it is now, a person has approved.
// One that has others in it waits for a new approval.
func approved(w *work) outcome {
	run := &w.run
	if run.Approved == nil {
		return outcome{journal.DecisionAwaiting, run.Plan.Summary, thenLater}
	}
	why := run.Approved.Covers(*run.Plan)
	if why == "" {
		return outcome{}
	}
	run.Approved = nil
	return outcome{journal.DecisionAwaiting, run.Plan.Summary + " (approval is needed again: " + why + ")", thenLater}
}

func (r *Runner) dryRun() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mode() != config.HealEnforce
}

// guardNow asks the guards right before something is done.
func (r *Runner) guardNow(w *work, action, key string) (journal.Decision, string) {
	r.holds()
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.cancelled {
		return journal.DecisionCancelled, "the alert was resolved"
	}
	if r.store == nil {
		return journal.DecisionOff, "the state directory cannot be used"
	}
	return r.guard(action, key, time.Now())
}

// plan asks the action what it would do. A panic of it is an error.
func (r *Runner) plan(ctx context.Context, w *work, act action.Action, step config.HealingStep) (p action.Plan, err error) {
	ctx, cancel := context.WithTimeout(ctx, step.Timeout)
	defer cancel()
	err = safely(func() (err error) {
		p, err = act.Plan(ctx, action.PlanRequest{Alert: w.alert, Rule: w.run.Rule, RunID: w.run.ID, Acts: r.actsOf(step.Action)})
		return err
	})
	if err != nil {
		return action.Plan{}, err
	}
	p.Action = step.Action
	shown := p.Bounded()
	shown.Identify(step)
	p.ID, p.Scope = shown.ID, shown.Scope
	w.run.Plan, w.run.Target = shown, shown.Target
	return p, nil
}

// facts is the evidence, as it may be written down.
func (r *Runner) facts(ctx context.Context, target string) (out json.RawMessage) {
	if r.o.Evidence == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := safely(func() error { out = redact.JSON(r.o.Evidence(ctx, target), journal.MaxEvidence); return nil }); err != nil {
		return nil
	}
	return out
}
