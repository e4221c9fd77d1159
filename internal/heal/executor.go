package heal

import (
	"context"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/counts"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

const retryAfter = 5 * time.Second // a run whose journal could not be written

// executor carries out runs, step by step.
type executor struct {
	stepper

	wg sync.WaitGroup
}

// startDue starts the runs whose time has come, as many as may run at once, and returns
// without waiting for them.
func (x *executor) startDue(ctx context.Context) {
	now, warm := time.Now(), x.warm()
	due := func(e *execution) bool { return e.due(now, warm) }
	for ctx.Err() == nil {
		e := x.runs.activate(x.settings().Budgets.MaxConcurrent, due)
		if e == nil {
			return
		}
		x.wg.Go(func() {
			if waits := x.execute(ctx, e); !waits {
				x.runs.finish(e)
			}
			x.poke()
		})
	}
}

// execute executes the steps of a run. true: the run waits for an approval or the
// journal, and has been moved there. false: it has ended, or ctx has.
func (x *executor) execute(ctx context.Context, e *execution) (waits bool) {
	for {
		r := x.step(ctx, e)
		if ctx.Err() != nil {
			r.flow = flowStop
		}
		run := e.snapshot()
		next := -1
		switch r.flow {
		case flowStop:
			return false
		case flowWait:
			x.wait(e, r)
			return true
		case flowNext:
			next = run.Step + 1
		case flowEscalate:
			next = e.rule.Escalation()
		case flowEnd:
		}
		if next >= 0 && next == e.rule.Escalation() && !run.Acted() && x.dryRun() {
			next = -1 // nothing is done, so no person is needed
		}
		x.learn(ctx, x.settle(e, r), r.decision)
		if next <= run.Step || next >= len(e.rule.Steps) {
			x.end(e, r)
			return false
		}
		run = e.advance(r, next, time.Now())
		if run.Action == config.ActionEscalate {
			x.escalate(ctx, e, r)
			return false
		}
		x.record(run)
	}
}

// escalate executes the step "escalate" after another step, and ends the run. An error of
// the call becomes a part of the reason.
func (x *executor) escalate(ctx context.Context, e *execution, r result) {
	if err := x.callPerson(ctx, e); err != nil {
		r.reason += "; " + err.Error()
	}
	x.count.Step(counts.RunKey{Rule: e.rule.Name, Action: config.ActionEscalate, Result: journal.DecisionEscalated}, 0, time.Now())
	x.end(e, result{journal.DecisionEscalated, r.reason, flowEnd})
}

// wait moves a run to those that wait for an approval or, if the journal cannot be
// written, back into the queue until later.
func (x *executor) wait(e *execution, r result) {
	if r.decision == journal.DecisionAwaiting && x.record(e.end(r, time.Now())) {
		x.runs.await(e)
		return
	}
	x.index.publish(e.postpone(r.reason, time.Now().Add(retryAfter)))
	x.runs.requeue(e)
}
