package heal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/retry"
)

// verify measures again and again whether the step of a run helped, for at most patience,
// and returns verified or failed. If ctx ends first, the result has no decision.
func verify(ctx context.Context, e *execution, act action.Action, plan action.Plan, patience time.Duration) result {
	end := time.Now().Add(patience)
	for pause := time.Second; ; pause = min(pause*3/2, 5*time.Second) {
		got, err := verifyOnce(ctx, act, plan)
		if ctx.Err() != nil {
			return result{flow: flowStop}
		}
		e.measured(got)
		switch {
		case err == nil && got == action.Verified:
			return result{journal.DecisionVerified, "", flowEnd}
		case err == nil && got == action.Worse:
			return result{journal.DecisionFailed, "another value got worse", flowEscalate}
		case time.Now().Before(end):
			retry.Sleep(ctx, min(pause, time.Until(end)+time.Millisecond))
		case err != nil:
			return result{journal.DecisionFailed, "the result cannot be verified: " + err.Error(), flowEscalate}
		case got == action.InProgress: // to do more to what is on its way would make it longer
			return result{journal.DecisionFailed, "the action is still in progress after " + patience.String(), flowEscalate}
		default:
			return result{journal.DecisionFailed, "no improvement within " + patience.String(), flowNext}
		}
	}
}

// conclude returns a verified or failed result with the action's own report, and reverts what a failed action did.
// A run goes on after an action that only observes. Any other result is returned as it is.
func conclude(ctx context.Context, act action.Action, plan action.Plan, r result) result {
	if r.decision != journal.DecisionVerified && r.decision != journal.DecisionFailed {
		return r
	}
	if _, observes := act.(action.Observer); observes && r.flow == flowEnd {
		r.flow = flowNext
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	err := safely(func() error {
		if x, ok := act.(action.Reporter); ok {
			r.reason = join(r.reason, x.Report(ctx, plan))
		}
		if x, ok := act.(action.Reverter); ok && r.decision == journal.DecisionFailed {
			x.Revert(ctx, plan)
		}
		return nil
	})
	if err != nil {
		r.reason = join(r.reason, err.Error())
	}
	return r
}

// verifyOnce returns the outcome that an action measures within 15 s. A panic is an error.
func verifyOnce(ctx context.Context, act action.Action, plan action.Plan) (got action.Outcome, err error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	err = safely(func() (err error) {
		got, err = act.Verify(ctx, plan)
		return err
	})
	return got, err
}

// safely calls f and returns its error. A panic is returned as an error.
func safely(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(err, fmt.Errorf("panic: %v", p))
		}
	}()
	return f()
}
