package workerends

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

const (
	// lookInterval is between two looks at the workers, nearInterval while one of them may
	// reach its server's timeout before the next look.
	lookInterval = 5 * time.Second
	nearInterval = time.Second
	lookLimit    = 3 * time.Second // of one look
	// settleTime is how long after a worker's end it is looked if its master goes on: one
	// that stops waits for its workers first.
	settleTime = 5 * time.Second
	// missingTime is how long a worker must be missing until it has ended without a status.
	missingTime = 10 * time.Second
	// askedTime is how long after recycle_worker asked a worker to end it may take.
	askedTime = 15 * time.Minute

	maxWorkers = 4096 // that are kept
	maxHandles = 1024 // pidfds of them
	maxAsked   = 100
)

// Snapshotter returns the apps with their workers; [discovery.Watcher] does.
type Snapshotter interface {
	Snapshot(ctx context.Context) (*discovery.Snapshot, error)
}

// Options are the settings of [New].
type Options struct {
	Processes Snapshotter
	ProcRoot  string       // "/proc", or where the host's is mounted
	Groups    *cgroup.FS   // of the same host
	Logger    *slog.Logger // nil: no log
}

// Watcher keeps the workers of all apps and counts their ends. Its exported methods may
// be called by several goroutines.
type Watcher struct {
	o     Options
	log   *slog.Logger
	ended chan ended
	wg    sync.WaitGroup // of the goroutines that wait for an end

	// What follows is used by Run only.
	workers  map[int]*worker // by pid
	handles  int
	settling []settling
	limits   map[int]limit     // of the masters, by pid
	kills    map[string]uint64 // of the OOM killer as of the last look, by control group

	mu      sync.Mutex
	counts  map[string]map[Reason]*Count // by app
	dropped uint64
	asked   map[int]time.Time // by pid
}

// Count is how many workers of an app ended in one way, since it was first seen.
type Count struct {
	Reason    Reason
	Ends      uint64
	InRequest uint64 // of them, those that had a request in hand at the last look
}

// worker is a worker that is watched.
type worker struct {
	app       string
	server    cmdline.Server
	pid       int
	began     time.Time
	handle    *handle // nil: none could be opened
	master    procid.Identity
	group     string // key of its control group; "": not known
	groupPath cgroup.Group
	limit     time.Duration

	seen      time.Time // the last look that had it
	busy      bool
	request   time.Duration
	hasBeat   bool
	heartbeat time.Duration
	done      bool // its end was noticed
}

// ended is the end of a worker, as its pidfd reported it.
type ended struct {
	worker *worker
	status Status
	at     time.Time
}

// settling is an end whose master is looked at again after a while.
type settling struct {
	worker *worker
	end    End
	due    time.Time
}

// New returns a Watcher. It reads nothing yet.
func New(o Options) *Watcher {
	return &Watcher{
		o: o, log: logs.Or(o.Logger), ended: make(chan ended), workers: make(map[int]*worker), limits: make(map[int]limit), kills: make(map[string]uint64),
		counts: make(map[string]map[Reason]*Count), asked: make(map[int]time.Time),
	}
}

// Run watches until ctx ends, then closes all pidfds.
func (w *Watcher) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		for _, x := range w.workers {
			w.release(x)
		}
		w.wg.Wait()
	}()
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.ended:
			w.workerEnded(e)
		case now := <-next.C:
			w.look(ctx)
			w.settle(now)
			next.Reset(w.pause())
		}
	}
}

// Of returns the ends of an app's workers, one count for each of [Reasons].
func (w *Watcher) Of(app string) []Count {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]Count, 0, len(Reasons()))
	for _, r := range Reasons() {
		c := Count{Reason: r}
		if known := w.counts[app][r]; known != nil {
			c = *known
		}
		out = append(out, c)
	}
	return out
}

// Dropped returns how many workers were not watched, or without their exit status, because
// there were too many.
func (w *Watcher) Dropped() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dropped
}

// Recycling says that recycle_worker asks a worker to end.
func (w *Watcher) Recycling(pid int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for p, at := range w.asked {
		if now.Sub(at) > askedTime {
			delete(w.asked, p)
		}
	}
	if len(w.asked) < maxAsked {
		w.asked[pid] = now
	}
}

// wasAsked reports whether recycle_worker asked a worker to end, and forgets it.
func (w *Watcher) wasAsked(x *worker) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	at, ok := w.asked[x.pid]
	delete(w.asked, x.pid)
	return ok && time.Since(at) <= askedTime && at.After(x.began)
}

// workerEnded keeps the end of a worker until it is known whether its master goes on.
func (w *Watcher) workerEnded(e ended) {
	x := e.worker
	if x.done {
		return
	}
	x.done = true
	if w.workers[x.pid] == x {
		delete(w.workers, x.pid)
	}
	w.release(x)
	end := End{
		Status: e.status, Server: x.server, Limit: x.limit, Busy: x.busy, Request: x.request, HasBeat: x.hasBeat, Heartbeat: x.heartbeat,
		Since: max(e.at.Sub(x.seen), 0), OOMKills: w.takeKill(x, e.status), Asked: w.wasAsked(x),
	}
	w.settling = append(w.settling, settling{x, end, e.at.Add(settleTime)})
}

// settle counts the ends that are due.
func (w *Watcher) settle(now time.Time) {
	kept := w.settling[:0]
	for _, s := range w.settling {
		if now.Before(s.due) {
			kept = append(kept, s)
			continue
		}
		s.end.MasterLives = s.worker.master.PID != 0 && s.worker.master.Alive(w.o.ProcRoot)
		w.count(s.worker, s.end)
	}
	w.settling = kept
}

// count counts one end.
func (w *Watcher) count(x *worker, e End) {
	r := Decide(e)
	w.log.Debug("a worker has ended", "app", x.app, "pid", x.pid, "reason", string(r), "signal", int(e.Status.Signal), "code", e.Status.Code, "busy", e.Busy)
	w.mu.Lock()
	defer w.mu.Unlock()
	of := w.counts[x.app]
	if of == nil {
		of = make(map[Reason]*Count)
		w.counts[x.app] = of
	}
	if of[r] == nil {
		of[r] = &Count{Reason: r}
	}
	of[r].Ends++
	if e.InRequest(r) {
		of[r].InRequest++
	}
}

// pause returns the time until the next look.
func (w *Watcher) pause() time.Duration {
	if len(w.settling) > 0 {
		return nearInterval
	}
	for _, x := range w.workers {
		if x.limit > 0 && (x.hasBeat && x.heartbeat+lookInterval >= x.limit || x.busy && x.request+lookInterval >= x.limit) {
			return nearInterval
		}
	}
	return lookInterval
}
