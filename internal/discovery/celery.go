package discovery

import (
	"cmp"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// How many of Celery's workers are reported.
const (
	maxCelery       = 256 // workers
	maxOthersCelery = 64  // workers of one account other than root's

)

// CeleryWorker is one worker of Celery on this host, as `celery worker` starts
// it. Celery keeps no list of them in Redis.
type CeleryWorker struct {
	PID       int
	Start     time.Time
	Queues    []string // by the command line: -Q, else "celery"; at most 50
	Processes int      // that run tasks: those of its pool, or 1 where the pool is of threads or none
}

// celeryWorkers returns Celery's workers of this host, oldest first, at most 256, and 64 of each
// account but root. It goes through the table after a change of it only, and reads nothing.
func (w *Watcher) celeryWorkers() []CeleryWorker {
	if w.celeryGen == w.table.Generation {
		return w.celery
	}
	w.celery, w.celeryGen = nil, w.table.Generation // a new list: the one before was returned to others
	held := make(map[procfs.Account]int)
	for _, p := range w.celeryMains() {
		owner := w.table.Owner(p).Account
		if held[owner]++; owner != 0 && held[owner] > maxOthersCelery {
			continue
		}
		n := 0
		for _, kid := range w.table.Children[p.PID] {
			if kid.Celery != nil && !kid.Celery.Beat {
				n++
			}
		}
		w.celery = append(w.celery, CeleryWorker{PID: p.PID, Start: w.table.StartTime(p), Queues: p.Celery.Queues, Processes: max(1, n)})
	}
	slices.SortFunc(w.celery, func(x, y CeleryWorker) int {
		return cmp.Or(x.Start.Compare(y.Start), cmp.Compare(x.PID, y.PID))
	})
	w.celery = w.celery[:min(len(w.celery), maxCelery)]
	return w.celery
}

// celeryMains returns the main processes of Celery's workers, without those of their pools,
// oldest first.
func (w *Watcher) celeryMains() []*table.Process {
	var mains []*table.Process
	for _, p := range w.table.Processes {
		if p.Celery == nil || p.Celery.Child {
			continue
		}
		if q := w.table.Processes[p.Stat.PPID]; q != nil && q.Celery != nil {
			continue // of a pool, in a worker that sets no titles
		}
		mains = append(mains, p)
	}
	slices.SortFunc(mains, table.Oldest)
	return mains
}
