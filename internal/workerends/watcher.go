package workerends

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

const (
	// lookInterval is between two looks at the workers, a little more than between two
	// looks for the page; nearInterval while one of them may reach its server's timeout
	// before the next look.
	lookInterval = 6 * time.Second
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
	maxHandles = 1024 // pidfds of them, and at most a quarter of RLIMIT_NOFILE
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
}

// Watcher keeps the workers of all apps and counts their ends. Its exported methods may
// be called by several goroutines.
type Watcher struct {
	o     Options
	log   *slog.Logger
	ended chan ended
	taken chan *discovery.Snapshot // by others; at most one waits
	wg    sync.WaitGroup           // of the goroutines that wait for an end

	// What follows is used by Run only.
	last     time.Time       // when the last snapshot that was looked at was taken
	workers  map[int]*worker // by pid
	handles  int
	places   int            // for handles
	ofUser   map[uint32]int // handles by user
	settling []settling
	limits   map[int]limit // of the masters, by pid
	kills    kills

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
	uid       uint32
	server    cmdline.Server
	pid       int
	began     time.Time
	handle    *handle // nil: none could be opened
	master    procid.Identity
	group     string // key of its control group; "": not known
	groupPath cgroup.Group
	limit     time.Duration

	seen  time.Time // the last look that had it
	looks []seenBusy
	beat  beat
	done  bool // its end was noticed
}

// seenBusy is whether a worker had a request in hand at one look.
type seenBusy struct {
	at      time.Time
	busy    bool
	request time.Duration // the age of its oldest request
}

// beat is the age of a heartbeat at the last look that had one.
type beat struct {
	at  time.Time // zero: there was none
	age time.Duration
}

// endingTime is how long a worker may take from a signal to its end: it closes its request
// and its heartbeat file meanwhile, so that a look in this time says nothing about it.
const endingTime = time.Second

// note keeps what a worker does at a look: the last look that is older than endingTime,
// and some of the later ones.
func (x *worker) note(now seenBusy) {
	const most = 8
	for len(x.looks) > 1 && now.at.Sub(x.looks[1].at) >= endingTime {
		x.looks = x.looks[1:]
	}
	if len(x.looks) == most {
		x.looks = x.looks[:most-1]
	}
	x.looks = append(x.looks, now)
}

// before returns the last look at a worker before it began to end.
func (x *worker) before(end time.Time) (out seenBusy) {
	for i, l := range x.looks {
		if i == 0 || end.Sub(l.at) >= endingTime {
			out = l
		}
	}
	return out
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
		o: o, log: logs.Or(o.Logger), ended: make(chan ended), taken: make(chan *discovery.Snapshot, 1), workers: make(map[int]*worker), limits: make(map[int]limit), ofUser: make(map[uint32]int), places: places(),
		counts: make(map[string]map[Reason]*Count), asked: make(map[int]time.Time),
	}
}

// places returns how many pidfds may be open.
func places() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(limit.Cur/4, maxHandles))
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
		case snap := <-w.taken:
			w.lookAt(ctx, snap)
		case <-next.C:
			w.look(ctx)
		}
		w.settle(time.Now())
		next.Reset(w.pause())
	}
}

// Observe takes a snapshot that somebody else needed as a look at the workers. It returns at
// once, and leaves out the snapshot if another one waits.
func (w *Watcher) Observe(snap *discovery.Snapshot) {
	select {
	case w.taken <- snap:
	default:
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
	look := x.before(e.at)
	end := End{
		Status: e.status, Server: x.server, Limit: x.limit, Busy: look.busy, Request: look.request, Since: max(e.at.Sub(look.at), 0),
		HasBeat: !x.beat.at.IsZero(), Heartbeat: x.beat.age, SinceBeat: max(e.at.Sub(x.beat.at), 0), OOMKills: w.takeKill(x, e.status), Asked: w.wasAsked(x),
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

// pause returns the time until the next look of its own, unless others look before.
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
