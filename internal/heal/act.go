package heal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// cutOff begins the reason of a step that a crash cut off: what was done of it is
// not known.
const cutOff = "the exporter ended in the middle of it; "

// act writes down that it begins, applies the plan, and looks whether it helped.
func (r *Runner) act(ctx context.Context, w *work, act action.Action, plan action.Plan) outcome {
	step := w.rule.Steps[w.run.Step]
	key := keyOf(w.rule.Name, step.Action, plan.Target)
	// The way here took its time: the last look before it is done.
	if d, why := r.guardNow(w, step.Action, key); d != "" {
		return outcome{d, why, thenEnd}
	}
	if r.dryRun() {
		return outcome{journal.DecisionDryRun, "would " + plan.Summary, thenEnd}
	}
	w.run.State, w.run.Reason, w.run.Applied = journal.DecisionRunning, "", time.Now()
	if !r.record(&w.run) {
		return outcome{journal.DecisionUnwritten, "the journal cannot be written; nothing is done until it can", thenLater}
	}
	r.mu.Lock()
	r.acted(key, w.run.Applied)
	r.mu.Unlock()
	err := r.apply(ctx, w, act, plan)
	if w.run.Done > 0 || ctx.Err() != nil { // it did something, or may have
		r.mu.Lock()
		r.didAct(key, w.run.Applied)
		r.mu.Unlock()
	}
	if ctx.Err() != nil {
		return outcome{then: thenStop}
	}
	if no, ok := errors.AsType[action.Refusal](err); ok && w.run.Done == 0 {
		return outcome{journal.DecisionRefused, string(no), thenEscalate}
	}
	w.run.State = journal.DecisionVerifying
	if err != nil {
		w.run.Reason = text.Clip(err.Error(), action.MaxText)
	}
	r.record(&w.run)
	patience := step.VerifyWithin
	if err != nil && w.run.Done == 0 {
		patience = 0 // nothing was done: one look is enough
	}
	o := r.check(ctx, w, act, plan, patience)
	if err != nil && o.decision == journal.DecisionFailed {
		o.reason = err.Error()
	}
	return o
}

func (r *Runner) apply(ctx context.Context, w *work, action action.Action, plan action.Plan) error {
	ctx, cancel := context.WithTimeout(ctx, w.rule.Steps[w.run.Step].Timeout)
	defer cancel()
	return safely(func() (err error) {
		w.run.Done, err = action.Apply(ctx, plan)
		return err
	})
}

// lookAfter is for a step that was cut off: it is never done again.
func (r *Runner) lookAfter(ctx context.Context, w *work, action action.Action, step config.HealingStep) outcome {
	lease := Lease{step.Action, keyOf(w.rule.Name, step.Action, w.run.Target), w.run.ID, 0}
	defer r.giveBack(ctx, lease)
	if w.run.Plan == nil {
		return outcome{journal.DecisionFailed, "it was cut off, and what it was about is not known", thenEscalate}
	}
	o := r.check(ctx, w, action, *w.run.Plan, step.VerifyWithin)
	if o.decision == journal.DecisionFailed {
		o.reason, o.then = cutOff+"it was not done again, and "+o.reason, thenEscalate
	}
	return o
}

// check looks again and again whether it helped, for at most patience.
func (r *Runner) check(ctx context.Context, w *work, act action.Action, plan action.Plan, patience time.Duration) outcome {
	end := time.Now().Add(patience)
	for pause := time.Second; ; pause = min(pause*3/2, 5*time.Second) {
		var got action.Outcome
		look, cancel := context.WithTimeout(ctx, 15*time.Second)
		err := safely(func() (err error) {
			got, err = act.Verify(look, plan)
			return err
		})
		cancel()
		if ctx.Err() != nil {
			return outcome{then: thenStop}
		}
		w.run.Outcome = got
		switch {
		case err == nil && got == action.Verified:
			return outcome{journal.DecisionVerified, "", thenEnd}
		case err == nil && got == action.Worse:
			return outcome{journal.DecisionFailed, "something else got worse", thenEscalate}
		case time.Now().Before(end):
			sleep(ctx, min(pause, time.Until(end)+time.Millisecond))
		case err != nil:
			return outcome{journal.DecisionFailed, "whether it helped cannot be seen: " + err.Error(), thenEscalate}
		case got == action.InProgress: // to do more to what is on its way would make it longer
			return outcome{journal.DecisionFailed, "it is on its way and took longer than " + patience.String(), thenEscalate}
		default:
			return outcome{journal.DecisionFailed, "it did not help within " + patience.String(), thenNext}
		}
	}
}

// safely turns a panic of an action into an error.
func safely(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(err, fmt.Errorf("panic: %v", p))
		}
	}()
	return f()
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
