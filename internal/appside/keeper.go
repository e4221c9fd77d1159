package appside

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/openfiles"
)

// The limits of what is kept.
const (
	maxOfUser = 256 // memory files of one user other than root
	// firstSearch and lastSearch are between the first and the last two searches for the file
	// of a worker that had none; busySearch of one that has a request in hand; moreSearch after
	// one was found, and the last two in an app of which no worker has a file.
	firstSearch = time.Second
	lastSearch  = time.Minute
	busySearch  = 5 * time.Second
	moreSearch  = 10 * time.Minute
)

// Keeper keeps the memory files of workers open, so that the last content can be read after
// their end. Its methods may be called by several goroutines.
type Keeper struct {
	places int

	mu      sync.Mutex
	finder  *finder
	workers map[worker]*kept
	open    int
	ofUser  map[uint32]int
	apps    map[string]int // files by app
	counts  Counts

	since    time.Time // when the Keeper was made
	readAt   time.Time // when the files of all workers were last read
	restarts map[task]uint64
	totals   map[string]*Totals // by app
}

// Counts is what a [Keeper] has left out since its start.
type Counts struct {
	Workers uint64 // without a place for their file
	Invalid uint64 // slots and files that cannot be true, and workers with a file of another version
}

// worker identifies a worker.
type worker struct {
	pid   int
	began int64
}

// kept is what is kept of a worker.
type kept struct {
	app      string
	uid      uint32 // of the app's owner: it says whose places are used up, and proves nothing
	files    []*File
	known    map[uint64]bool // inodes of files
	searched time.Time       // when it was last searched; zero: not yet
	pause    time.Duration   // until the next search
	busy     time.Duration   // the same while it has a request in hand, in an app without files
	dropped  bool            // it is counted as one without a place
	others   bool            // it has a file of another version, and is counted

	states     []State // as last read
	counted    Totals  // by its files, as last read
	hasCounted bool
	restarts   map[string]uint64 // of its tasks, as last read; nil: not read yet
}

// NewKeeper returns a Keeper of processes below a directory where /proc is mounted. It
// opens nothing yet, and later no more files than [openfiles.MemoryFiles].
func NewKeeper(procRoot string) *Keeper {
	k := &Keeper{finder: newFinder(procRoot), workers: make(map[worker]*kept), ofUser: make(map[uint32]int), apps: make(map[string]int), since: time.Now(), restarts: make(map[task]uint64), totals: make(map[string]*Totals)}
	k.places = openfiles.Limit(openfiles.MemoryFiles)
	return k
}

// Look searches for the memory file of a worker of an app, unless the file is known or
// was searched for recently. uid is the app's owner, whose places the file takes; the worker
// itself may be another user's.
func (k *Keeper) Look(app string, uid uint32, pid int, began time.Time, busy bool) {
	k.look(time.Now(), app, uid, worker{pid, began.UnixNano()}, busy)
}

func (k *Keeper) look(now time.Time, app string, uid uint32, w worker, busy bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	x := k.workers[w]
	if x == nil {
		x = &kept{app: app, uid: uid, known: make(map[uint64]bool), pause: firstSearch / 2, busy: busySearch}
		k.workers[w] = x
	}
	if x.app != app {
		k.count(x.app, -len(x.files))
		k.count(app, len(x.files))
		x.app = app
	}
	if !x.searched.IsZero() {
		if now.Sub(x.searched) < k.wait(x, busy) {
			return
		}
		if busy {
			x.busy = min(2*x.busy, moreSearch)
		}
	}
	x.searched, x.pause = now, min(2*x.pause, moreSearch)
	k.search(w, x)
}

// wait returns the time between two searches for the files of a worker: moreSearch for
// one that has a file; else longer after each search, shorter in an app that has files or
// while a request is in hand.
func (k *Keeper) wait(x *kept, busy bool) time.Duration {
	pause, atBusy := x.pause, x.busy
	if k.apps[x.app] > 0 { // it uses resp_flask.py
		pause, atBusy = min(pause, lastSearch), busySearch
	}
	switch {
	case len(x.files) > 0:
		return moreSearch
	case busy:
		return min(pause, atBusy)
	}
	return pause
}

// search adds the files of a worker for which there is a place.
func (k *Keeper) search(w worker, x *kept) {
	if len(x.files) >= maxFiles {
		return
	}
	files, others, err := k.finder.find(w.pid, time.Unix(0, w.began), x.known)
	if err != nil {
		return // it has ended, or may not be read: the collectors report why
	}
	if others && !x.others {
		x.others = true
		k.counts.Invalid++
	}
	for _, f := range files {
		if len(x.files) >= maxFiles || k.open >= k.places || x.uid != 0 && k.ofUser[x.uid] >= maxOfUser {
			f.Close()
			delete(x.known, f.inode)
			if !x.dropped {
				x.dropped = true
				k.counts.Workers++
			}
			continue
		}
		x.files = append(x.files, f)
		k.open++
		k.ofUser[x.uid]++
		k.count(x.app, 1)
	}
}

// count counts files of an app.
func (k *Keeper) count(app string, n int) {
	if k.apps[app] += n; k.apps[app] <= 0 {
		delete(k.apps, app)
	}
}

// lastCut is how long before the end of a worker a request may have been cut off to count as
// cut off by it. A greenlet or a thread may end in a worker that goes on.
const lastCut = 10 * time.Second

// Last is what the memory files of a worker have said last.
type Last struct {
	Requests []Request // that were in progress, or were cut off just before, the oldest first
	Unsent   []Unsent  // one for each file that has lines
}

// Unsent is the lines of StatsD in a memory file that its process has not sent.
type Unsent struct {
	UID   uint32 // of the process when the file was found, proven by the file, which is that user's too
	Lines []byte // each with its end
}

// Ended returns what the memory files of a worker that has ended at a time have said last,
// with the ages of its requests as of then, the oldest first; of those that were cut off
// only those of its last ten seconds. It closes the files. It is zero if the worker is not
// known or had no file.
func (k *Keeper) Ended(pid int, began, at time.Time) Last {
	k.mu.Lock()
	defer k.mu.Unlock()
	w := worker{pid, began.UnixNano()}
	x := k.workers[w]
	if x == nil {
		return Last{}
	}
	var last Last
	var out []Request
	states := k.readAll(x)
	k.noteRestarts(w, x, states)
	k.noteTotals(w, x, states)
	since := max(time.Since(at), 0)
	for i := range states {
		for _, r := range states[i].Requests {
			if !r.Cut || r.SinceCut-since <= lastCut {
				out = append(out, r)
			}
		}
	}
	for _, f := range x.files {
		if lines := f.unsent(); len(lines) > 0 {
			last.Unsent = append(last.Unsent, Unsent{f.uid, lines})
		}
	}
	k.forget(w, x)
	for i := range out {
		out[i].Age = max(out[i].Age-since, 0)
	}
	slices.SortStableFunc(out, func(a, b Request) int { return cmp.Compare(b.Age, a.Age) })
	last.Requests = out
	return last
}

// Forget closes the memory files of a process that is no worker any more.
func (k *Keeper) Forget(pid int, began time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	w := worker{pid, began.UnixNano()}
	if x := k.workers[w]; x != nil {
		k.forget(w, x)
	}
}

// forget closes the files of a worker and removes it. The lock is held.
func (k *Keeper) forget(w worker, x *kept) {
	for _, f := range x.files {
		f.Close()
		k.open--
		if k.ofUser[x.uid]--; k.ofUser[x.uid] == 0 {
			delete(k.ofUser, x.uid)
		}
	}
	k.count(x.app, -len(x.files))
	delete(k.workers, w)
}

// Close closes all files.
func (k *Keeper) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for w, x := range k.workers {
		k.forget(w, x)
	}
}

// Has reports whether a memory file of a worker of an app is kept open; false too if none
// was found yet.
func (k *Keeper) Has(app string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.apps[app] > 0
}

// Counts returns how much was left out since the Keeper was made, by reason.
func (k *Keeper) Counts() Counts {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.counts
}
