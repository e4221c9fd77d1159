package workerends

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/openfiles"
)

const (
	// lookInterval is between two looks at the workers, a little more than between two
	// looks for the page; nearInterval while one of them may reach its server's timeout
	// before the next look.
	lookInterval = 6 * time.Second
	nearInterval = time.Second
	lookLimit    = 3 * time.Second // of one look
	// settleTime is how long after a worker's end its master is checked: one
	// that stops waits for its workers first.
	settleTime = 5 * time.Second
	// missingTime is how long a worker must be missing until it has ended without a status.
	missingTime = 10 * time.Second
	// askedTime is how long after recycle_worker asked a worker to end it may take.
	askedTime = 15 * time.Minute

	maxWorkers = 4096 // that are kept
	maxOfUser  = 256  // pidfds of the workers of one user other than root
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

	// Inside keeps what the workers say about themselves; nil: nothing does.
	Inside Inside
	// Ending is called at once at the end of a process, by any goroutine; nil: none.
	Ending func(pid int, at time.Time)
	// Told is called some seconds after each end, when its reason is known; nil:
	// none.
	Told func(Ended)
}

// Ended is the end of a worker.
type Ended struct {
	App    string
	PID    int
	At     time.Time
	Reason Reason
	// Orderly is whether it ended as after a SIGTERM: it finishes its request
	// first.
	Orderly bool
	// Booting is whether it had not begun to serve requests at the last look, which is a
	// few seconds old.
	Booting bool
	// Last is what the worker itself has said last; zero: nothing.
	Last appside.Last
}

// Watcher keeps the workers of all apps and counts their ends. Its exported methods may
// be called by several goroutines.
type Watcher struct {
	o     Options
	log   *slog.Logger
	ended chan ended
	taken chan *discovery.Snapshot // by others; at most one waits
	wg    sync.WaitGroup           // of the goroutines that wait for an end
	awake awake

	// What follows is used by Run only.
	last       time.Time       // when the last snapshot that was looked at was taken
	workers    map[int]*worker // by pid
	handles    int
	beats      int            // heartbeat files that are held open
	places     int            // for handles
	beatPlaces int            // for heartbeat files
	ofUser     map[uint32]int // handles by user
	settling   []settling
	limits     map[int]limit // of the masters, by pid
	kills      kills

	mu      sync.Mutex
	counts  map[string]map[Reason]*Count // by app
	dropped uint64
	asked   map[int]time.Time // by pid
}

// Count is how many workers of an app ended in one way, since it was first seen.
type Count struct {
	Reason    Reason
	Ends      uint64
	InRequest uint64 // of them, those that cut off a request, as of the last look
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
	last   appside.Last // what it has said last
	due    time.Time
}

// New returns a Watcher. It reads nothing before Run.
func New(o Options) *Watcher {
	if o.Inside == nil {
		o.Inside = nothing{}
	}
	return &Watcher{
		o: o, log: logs.Or(o.Logger), ended: make(chan ended), taken: make(chan *discovery.Snapshot, 1), workers: make(map[int]*worker), limits: make(map[int]limit), ofUser: make(map[uint32]int), places: openfiles.Limit(openfiles.WorkerHandles), beatPlaces: openfiles.Limit(openfiles.Heartbeats),
		counts: make(map[string]map[Reason]*Count), asked: make(map[int]time.Time),
	}
}

// Run watches the workers of all apps until ctx ends, then closes all pidfds. It returns
// nil.
func (w *Watcher) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		for _, x := range w.workers {
			w.release(x)
		}
		w.wg.Wait()
		w.o.Inside.Close()
	}()
	w.awake.note(time.Now())
	w.wg.Go(func() { w.awake.watch(ctx) })
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.ended:
			w.workerEnded(e)
		case snap := <-w.taken:
			w.lookAt(ctx, snap)
		case <-next.C:
			w.look(ctx)
		}
		w.settle(time.Now())
		next.Reset(w.pause())
	}
}

// Observe passes a snapshot that was made for another purpose to Run. It does not block:
// the snapshot is dropped if another one is pending.
func (w *Watcher) Observe(snap *discovery.Snapshot) {
	select {
	case w.taken <- snap:
	default:
	}
}

// Of returns the ends of an app's workers since the exporter started, one count for each
// of [Reasons], in their order; all 0 for an app that is not known.
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

// Dropped returns how many workers were not watched, or only without their exit status,
// because there were too many.
func (w *Watcher) Dropped() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dropped
}

// Recycling records that recycle_worker tells the worker with this pid to end, so that
// its end counts as Recycled.
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

// look scans all apps and looks at their workers. An error is not reported here: collectors
// report it.
func (w *Watcher) look(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	if snap, err := w.o.Processes.Snapshot(limited); err == nil { // else the collectors report why
		w.lookAt(ctx, snap)
	}
}

// pause returns the time until the next look by Run itself: 6 s, or 1 s if an end is to
// be counted, or a worker nears its timeout.
func (w *Watcher) pause() time.Duration {
	if len(w.settling) > 0 {
		return nearInterval
	}
	for _, x := range w.workers {
		if x.limit > 0 && max(x.beat.age, x.looks[len(x.looks)-1].request)+lookInterval >= x.limit {
			return nearInterval
		}
	}
	return lookInterval
}
