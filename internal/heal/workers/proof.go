// Package workers has what the actions on the workers of an app share: the proof that
// processes are workers, their share of memory, and whether workers come and go.
package workers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/procid"
	"github.com/resp-exporter/resp-exporter/internal/retry"
)

// Proven has the processes of an app that are proved to be workers: not by title or
// descent, but by the files that they hold open (package procid).
type Proven struct {
	Family  *procid.Family
	Workers map[int]bool // by pid
	Doubt   string       // why one of the others is not proved, for people; "": all are
}

const (
	proofTries = 6 // while a master forks, a new worker has the files of all the others
	proofPause = 50 * time.Millisecond
)

// Prove returns the proof of an app's workers. If some have none, it reads up to six times,
// and returns the reading with the most workers. root is where /proc is mounted.
func Prove(ctx context.Context, root string, app *discovery.App) (best *Proven, err error) {
	for i := range proofTries {
		if i > 0 {
			retry.Sleep(ctx, proofPause)
		}
		p, err := proveOnce(root, app)
		if err != nil {
			return nil, err
		}
		if best == nil || len(p.Workers) >= len(best.Workers) {
			best = p
		}
		if best.Doubt == "" {
			break
		}
	}
	return best, nil
}

// proveOnce reads the processes of an app once, and returns which of its workers are
// proven. Doubt says what is wrong with one that is not.
func proveOnce(root string, app *discovery.App) (*Proven, error) {
	f, err := procid.ReadFamily(root, app.PID)
	if err != nil {
		return nil, fmt.Errorf("prove the workers: %w", process.WithoutPath(err))
	}
	p := &Proven{Family: f, Workers: make(map[int]bool)}
	check := f.Gunicorn
	if app.Server == cmdline.UWSGI {
		check = f.UWSGI
	}
	for _, w := range app.Workers {
		if err := check(w.PID); err != nil {
			p.Doubt = err.Error()
			continue
		}
		p.Workers[w.PID] = true
	}
	return p, nil
}

// Only returns a copy of the app with its proved workers only.
func (p *Proven) Only(app *discovery.App) *discovery.App {
	out := *app
	out.Workers = slices.DeleteFunc(slices.Clone(app.Workers), func(w discovery.Worker) bool { return !p.Workers[w.PID] })
	return &out
}

// CheckSame returns nil if a process that was a child of the master, proved or not, is
// still the same, with the same parent, executable and users; [process.ErrChanged] if it is
// another, or was no child. Another error: it has ended or cannot be read. A worker that
// ends may have closed its files, so they are not read again.
func (p *Proven) CheckSame(root string, pid int) error {
	now, err := procid.Read(root, pid)
	if err != nil {
		return err
	}
	was := p.Family.Children[pid]
	if !now.Same(was) || now.Parent != was.Parent || now.Exe != was.Exe || !now.Equal(was.Credentials) {
		return process.ErrChanged
	}
	return nil
}
