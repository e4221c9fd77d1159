package appside

import (
	"cmp"
	"slices"
	"time"
)

// readEvery is the least time between two reads of the files of all workers.
const readEvery = 4 * time.Second

// Worker is what the memory files of a worker say.
type Worker struct {
	App    string
	PID    int
	States []State // one for each file; nobody may change them
}

// Workers returns the workers with a memory file that could be read, with its content as read
// at most readEvery ago, sorted by app and pid.
func (k *Keeper) Workers() []Worker {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refresh(time.Now())
	out := make([]Worker, 0, len(k.workers))
	for w, x := range k.workers {
		if len(x.states) > 0 {
			out = append(out, Worker{x.app, w.pid, x.states})
		}
	}
	slices.SortFunc(out, func(a, b Worker) int { return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.PID, b.PID)) })
	return out
}

// TaskRestarts returns the tasks that were read since the call before, in no order, with their
// restarts since then, 0 for most, each restart once. It is empty if the files were not read
// since: that is done at most every readEvery. Restarts before the Keeper was made do not count.
func (k *Keeper) TaskRestarts() []Restarts {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refresh(time.Now())
	out := make([]Restarts, 0, len(k.restarts))
	for t, n := range k.restarts {
		out = append(out, Restarts{App: t.app, Task: t.name, N: n})
	}
	clear(k.restarts)
	return out
}

// refresh reads the files of all workers, unless that was done lately.
func (k *Keeper) refresh(now time.Time) {
	if now.Sub(k.readAt) < readEvery {
		return
	}
	k.readAt = now
	for w, x := range k.workers {
		x.states = k.readAll(x)
		k.noteRestarts(w, x, x.states)
		k.noteTotals(w, x, x.states)
	}
}

// readAll returns the states in the files of a worker, without files that cannot be read. It
// counts those, and the slots of the others that cannot be true.
func (k *Keeper) readAll(x *kept) []State {
	out := make([]State, 0, len(x.files))
	for _, f := range x.files {
		s, err := f.Read()
		if err != nil {
			k.counts.Invalid++
			continue
		}
		k.counts.Invalid += uint64(s.Invalid) //nolint:gosec // a number of slots
		out = append(out, s)
	}
	return out
}
