package restarttask

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

const (
	taskGrace      = 10 * time.Second // from the first signal to the second
	taskKillGrace  = 5 * time.Second  // from there to SIGKILL, and how long that may take
	maxDescendants = 64               // processes below a worker that are ended with it
)

// errOtherServer means that the server of the plan is not the one that answers now.
var errOtherServer = errors.New("the Redis is another server or has restarted since the plan was made")

// errProgress means that a worker makes progress again.
var errProgress = errors.New("the worker has made progress since the plan was made")

// Apply implements [action.Action], for a task inside of an app by applyInside. It returns
// 1 once the worker has had its first signal, with an error if it has not ended. It signals
// it to end after its task, then at once, then kills it, with the processes that it leaves
// behind: they would continue a task that another worker will start again.
func (r *Action) Apply(ctx context.Context, p action.Plan) (int, error) {
	if a, ok := p.Private.(*askedInside); ok {
		return r.applyInside(ctx, a)
	}
	t, ok := p.Private.(*prepared)
	if !ok {
		return 0, action.ErrNotPlanned
	}
	g, err := process.Open(r.d.ProcRoot, t.task.id)
	if err != nil {
		return 0, err
	}
	defer g.Close()
	if err := r.recheck(ctx, t); err != nil {
		return 0, err
	}
	if err := g.Check(); err != nil {
		return 0, err
	}
	family, err := openDescendants(r.d.ProcRoot, t.task.id.PID)
	if err != nil {
		return 0, err
	}
	defer func() {
		for _, f := range family {
			f.Close()
		}
	}()
	if err := g.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	if err := endWorker(ctx, g, t.queue.kind); err != nil {
		return 1, err
	}
	for _, f := range family {
		if !f.WaitEnded(ctx, time.Second) {
			_ = f.Signal(syscall.SIGKILL) // an error means that it has ended, or may not be signalled
		}
	}
	return 1, nil
}

// recheck returns nil if the worker still makes no progress. errProgress: it makes some
// again, has another job or has ended, or no job waits. errOtherServer: the Redis has restarted
// or is another. Another error: it is refused now, or cannot be read.
func (r *Action) recheck(ctx context.Context, t *prepared) error {
	f, err := r.find(ctx, t.queue)
	switch {
	case err != nil:
		return err
	case !f.refused.IsZero():
		return f.refused
	case f.server != t.server && len(f.stuck) > 0:
		return errOtherServer
	}
	for _, s := range f.stuck {
		if s.id.Same(t.task.id) && s.key == t.task.key && s.job == t.task.job {
			return nil
		}
	}
	return errProgress
}

// endWorker waits for the end of a worker that has had its first signal, and signals
// again if it does not end. nil: it has ended. An error: it has not, or could not be
// signalled.
func endWorker(ctx context.Context, g *process.Handle, kind string) error {
	// A stopped process handles no signal until it continues.
	if g.ID.State == 'T' {
		_ = g.Signal(syscall.SIGCONT)
	}
	if g.WaitEnded(ctx, taskGrace) {
		return nil
	}
	// RQ ends the process of its job at a second TERM, Celery its pool at a QUIT.
	harder := syscall.SIGTERM
	if kind == config.Celery {
		harder = syscall.SIGQUIT
	}
	for _, s := range []syscall.Signal{harder, syscall.SIGKILL} {
		if ctx.Err() != nil {
			return fmt.Errorf("the worker has not ended yet: %w", ctx.Err())
		}
		if err := g.Signal(s); err != nil && !errors.Is(err, process.ErrChanged) {
			return err
		}
		if g.WaitEnded(ctx, taskKillGrace) {
			return nil
		}
	}
	return errors.New("the worker has not ended after SIGKILL: it is blocked in the kernel")
}

// openDescendants returns handles of at most 64 processes below a worker, which the caller
// closes: of RQ the one that does the job, of Celery the pool. Those that cannot be opened,
// or have other users or groups, such as a job's child behind sudo, are left out, with what
// is below them. An error: the worker cannot be read.
func openDescendants(root string, pid int) ([]*process.Handle, error) {
	worker, err := procid.Read(root, pid)
	if err != nil {
		return nil, err
	}
	var out []*process.Handle
	for todo := []int{pid}; len(todo) > 0 && len(out) < maxDescendants; todo = todo[1:] {
		for _, kid := range procid.Children(root, todo[0]) {
			if len(out) == maxDescendants {
				break
			}
			if g := openDescendant(root, kid, todo[0], worker); g != nil {
				out = append(out, g)
				todo = append(todo, kid)
			}
		}
	}
	return out, nil
}

// openDescendant returns a handle of a child that has its worker's users and groups; nil if
// it has others, has ended, or cannot be read.
func openDescendant(root string, kid, parent int, worker procid.Process) *process.Handle {
	id, err := procid.Identify(root, kid)
	if err != nil || id.Parent != parent {
		return nil
	}
	g, err := process.Open(root, id)
	if err != nil {
		return nil
	}
	if p, err := procid.Read(root, kid); err != nil || p.Start != id.Start || !p.Equal(worker.Credentials) {
		g.Close()
		return nil
	}
	return g
}
