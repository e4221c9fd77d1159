package recycleworker

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

// proven has the processes of an app that are proved to be workers: not by title or
// descent, but by the files that they hold open (package procid).
type proven struct {
	family  *procid.Family
	workers map[int]bool
	doubt   string // why one of the others is not proved, for people; "": all are
}

const (
	proofTries = 6 // while a master forks, a new worker has the files of all the others
	proofPause = 50 * time.Millisecond
)

// prove reads the proof of an app's workers, several times where some of them have none,
// and returns the reading with the most workers.
func (r *Action) prove(ctx context.Context, app *discovery.App) (best *proven, err error) {
	for i := range proofTries {
		if i > 0 {
			retry.Sleep(ctx, proofPause)
		}
		p, err := r.proveOnce(app)
		if err != nil {
			return nil, err
		}
		if best == nil || len(p.workers) >= len(best.workers) {
			best = p
		}
		if best.doubt == "" {
			break
		}
	}
	return best, nil
}

func (r *Action) proveOnce(app *discovery.App) (*proven, error) {
	f, err := procid.ReadFamily(r.d.ProcRoot, app.PID)
	if err != nil {
		return nil, fmt.Errorf("prove the workers: %w", process.WithoutPath(err))
	}
	p := &proven{family: f, workers: make(map[int]bool)}
	check := f.Gunicorn
	if app.Server == cmdline.UWSGI {
		check = f.UWSGI
	}
	for _, w := range app.Workers {
		if err := check(w.PID); err != nil {
			p.doubt = err.Error()
			continue
		}
		p.workers[w.PID] = true
	}
	return p, nil
}

// onlyProven returns a copy of the app with its proved workers only.
func (p *proven) onlyProven(app *discovery.App) *discovery.App {
	out := *app
	out.Workers = slices.DeleteFunc(slices.Clone(app.Workers), func(w discovery.Worker) bool { return !p.workers[w.PID] })
	return &out
}

// checkSame returns an error unless a proved worker is still the same process, with the
// same parent, executable and users. A worker that ends may have closed its files, so they
// are not read again.
func (p *proven) checkSame(root string, pid int) error {
	now, err := procid.Read(root, pid)
	if err != nil {
		return err
	}
	was := p.family.Children[pid]
	if !now.Same(was) || now.Parent != was.Parent || now.Exe != was.Exe || !now.Equal(was.Credentials) {
		return process.ErrChanged
	}
	return nil
}
