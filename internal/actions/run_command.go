package actions

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

// Condition reports whether what an alert is about still holds, measured now. An
// error says that it cannot be seen.
type Condition func(ctx context.Context, a Alert) (holds bool, err error)

// RunCommandDeps are what [NewRunCommand] needs of others.
type RunCommandDeps struct {
	Condition Condition // nil: none is to be measured
}

// RunCommand is the action run_command: it runs one fixed program with fixed
// arguments. What the alert says reaches it on its standard input only.
type RunCommand struct {
	d RunCommandDeps
	c config.RunCommand
}

// NewRunCommand returns the action with these settings.
func NewRunCommand(d RunCommandDeps, c config.RunCommand) *RunCommand { return &RunCommand{d: d, c: c} }

// Name implements [Action].
func (*RunCommand) Name() string { return config.ActionRunCommand }

// handed is what a plan of run_command and call_http keeps for itself.
type handed struct {
	alert Alert
	run   string
	body  []byte

	mu sync.Mutex
	ok bool // it was done, and said that it went well
}

func newHanded(ctx context.Context, action, target string, a Alert) (*handed, error) {
	h := &handed{alert: a, run: runOf(ctx)}
	var err error
	h.body, err = hand(h.run, action, target, a)
	return h, err
}

func (h *handed) went(ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ok = ok
}

// cleared reports whether the condition is gone.
func (c Condition) cleared(ctx context.Context, a Alert) (bool, error) {
	if c == nil {
		return false, nil
	}
	holds, err := c(ctx, a)
	return err == nil && !holds, err
}

// outcome is that of a program or a call: only a success counts, and where a
// condition is measured it must be gone too.
func (c Condition) outcome(ctx context.Context, p Plan) (Outcome, error) {
	h, ours := p.Private.(*handed)
	if !ours {
		return Unchanged, nil // how it went is not known any more
	}
	h.mu.Lock()
	ok := h.ok
	h.mu.Unlock()
	if !ok {
		return Unchanged, nil
	}
	if c == nil {
		return Verified, nil
	}
	if gone, err := c.cleared(ctx, h.alert); !gone {
		return Unchanged, err
	}
	return Verified, nil
}

// Plan implements [Action]. The program is looked at, not run.
func (r *RunCommand) Plan(ctx context.Context, a Alert) (Plan, error) {
	p := Plan{Action: r.Name(), Target: "command", Measure: 1}
	if len(r.c.Argv) == 0 {
		p.Refused = "no program is configured"
		return p, nil
	}
	var err error
	if p.Cleared, err = r.d.Condition.cleared(ctx, a); p.Cleared || err != nil {
		return p, err
	}
	h, err := newHanded(ctx, r.Name(), p.Target, a)
	if err != nil {
		return Plan{}, err
	}
	_, p.Refused = safeProgram(r.c.Argv[0])
	p.Summary = fmt.Sprintf("run %s with its %d fixed arguments", r.c.Argv[0], len(r.c.Argv)-1)
	p.Total, p.Private = 1, h
	return p, nil
}

// Apply implements [Action].
func (r *RunCommand) Apply(ctx context.Context, p Plan) (int, error) {
	h, ok := p.Private.(*handed)
	if !ok {
		return 0, errNotPlanned
	}
	file, refused := safeProgram(r.c.Argv[0])
	if refused != "" {
		return 0, errors.New(refused)
	}
	out, err := program{path: file, argv: r.c.Argv, env: []string{basePath}, dir: "/", stdin: string(h.body)}.run(ctx)
	var exit *exec.ExitError
	switch {
	case err == nil:
		h.went(true)
		return 1, nil
	case errors.As(err, &exit):
		return 1, fmt.Errorf("the program failed, %w: %s", exit, lastLine(out))
	case ctx.Err() != nil:
		return 1, fmt.Errorf("the program took too long, and was ended with all it had started: %w", ctx.Err())
	}
	return 0, fmt.Errorf("the program did not run: %w", err)
}

// Verify implements [Action].
func (r *RunCommand) Verify(ctx context.Context, p Plan) (Outcome, error) {
	return r.d.Condition.outcome(ctx, p)
}
