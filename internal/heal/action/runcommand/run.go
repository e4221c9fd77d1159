// Package runcommand is the action run_command: it runs one fixed program.
package runcommand

import (
	"context"
	"errors"
	"fmt"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/handover"
	"github.com/resp-exporter/resp-exporter/internal/heal/program"
)

// Deps are the dependencies of the action.
type Deps struct {
	Condition action.Condition // nil: none is measured
}

// Action is the action run_command: it runs one fixed program with fixed
// arguments. The data of the alert is on its standard input only.
type Action struct {
	d Deps
	c config.RunCommand
}

// New returns the action with these settings.
func New(d Deps, c config.RunCommand) *Action { return &Action{d: d, c: c} }

// Target implements [action.Action]: "command" for every alert.
func (*Action) Target(action.Alert) string { return "command" }

// Plan implements [action.Action]. The program is checked, not run. It is cleared if the
// condition no longer holds, and refused if the program may not be run.
func (r *Action) Plan(ctx context.Context, req action.PlanRequest) (action.Plan, error) {
	p := action.Plan{Action: config.ActionRunCommand, Target: "command", Measure: 1}
	if len(r.c.Argv) == 0 {
		p.Refused = action.Refuse(action.CodeNoProgram, "no program is configured")
		return p, nil
	}
	var err error
	if p.Cleared, err = r.d.Condition.Cleared(ctx, req.Alert); p.Cleared || err != nil {
		return p, err
	}
	h, err := handover.New(req, config.ActionRunCommand, p.Target)
	if err != nil {
		return action.Plan{}, err
	}
	_, p.Refused = program.Resolve(r.c.Argv[0])
	p.Summary = fmt.Sprintf("run %s with %d fixed arguments", r.c.Argv[0], len(r.c.Argv)-1)
	p.Total, p.Private = 1, h
	return p, nil
}

// Apply implements [action.Action]. It returns 1 if the program ran, or ctx has ended, also with
// an error: it failed, or was stopped; 0 if it may not be or was not started.
func (r *Action) Apply(ctx context.Context, p action.Plan) (int, error) {
	h, ok := p.Private.(*handover.Handover)
	if !ok {
		return 0, action.ErrNotPlanned
	}
	file, refused := program.Resolve(r.c.Argv[0])
	if !refused.IsZero() {
		return 0, refused
	}
	out, err := program.Program{Path: file, Argv: r.c.Argv, Env: []string{program.BasePath}, Dir: "/", Stdin: string(h.Body)}.Run(ctx)
	var exit *program.ExitError
	switch {
	case err == nil:
		h.Succeed()
		return 1, nil
	case errors.As(err, &exit):
		return 1, fmt.Errorf("the program failed, %w: %s", exit, program.LastLine(out))
	case ctx.Err() != nil:
		return 1, fmt.Errorf("the program was stopped with all its child processes: %w", ctx.Err())
	}
	return 0, fmt.Errorf("the program did not run: %w", err)
}

// Verify implements [action.Action], by [handover.Outcome]: Verified if the program succeeded and the
// condition, if there is one, no longer holds; else, with an error or after a restart, Unchanged.
func (r *Action) Verify(ctx context.Context, p action.Plan) (action.Outcome, error) {
	return handover.Outcome(ctx, r.d.Condition, p)
}
