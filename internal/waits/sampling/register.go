package sampling

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

// Registration is what a scan knows of a worker in a slot.
type Registration struct {
	PID    int
	Start  uint64         // clock ticks since the boot
	Owner  procfs.Account // whose share of the sampler's time it uses
	App    string
	Slot   int
	Server cmdline.Server
	Class  string // gunicorn's worker class if the command line has it, else ""
	// Threads is how many it has for requests by the command line; 0: it does not say.
	Threads   int
	Sync      bool  // it was seen to be a sync worker of gunicorn
	Listening []int // descriptors of the app's listeners

	Known    bool // its connections could be read
	InFlight int  // requests
	Pending  bool // an event loop has an unanswered connection
}

// Register adds a worker to those that are sampled, or updates what scans know of it. It
// returns its request threads as last sampled; nil if they were not yet, or a process that
// is new has ended or may not be opened.
func (s *Sampler) Register(r Registration) []model.Thread {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now() // the samples have the same clock
	key := workerKey{r.PID, r.Start}
	w := s.workers[key]
	if w == nil {
		var err error
		if w, err = newWorker(s.fs, key); err != nil {
			return nil
		}
		s.dirs.KeepDir(w.dir)
		s.workers[key] = w
		s.insert(w, r.Owner)
	}
	totals := s.totals.Slot(r.App, r.Slot, now)
	if w.totals != nil && w.totals != totals {
		w.totals.Seconds[ledger.CPUQueue] += w.queued // of the slot that it had
		w.queued = 0
	}
	w.app, w.server, w.known, w.totals = r.App, r.Server, now, totals
	w.listening = append(w.listening[:0], r.Listening...)
	w.registered = r
	w.setThreading(now)
	w.scan = scanResult{known: r.Known, inFlight: r.InFlight, pending: r.Pending}
	w.scanned = true
	return w.requestThreads(now, s.settings.Paths)
}

// insert adds a worker behind the others of its user, which stand together.
func (s *Sampler) insert(w *worker, owner procfs.Account) {
	w.user = s.shares.Of(owner)
	at := len(s.order)
	for at > 0 && s.order[at-1].user != w.user {
		at--
	}
	if at == 0 {
		at = len(s.order)
	}
	s.order = slices.Insert(s.order, at, w)
}

// gthreadPoll is the timeout in milliseconds with which gunicorn's gthread worker
// polls (gunicorn/workers/gthread.py). Event loops have other ones.
const gthreadPoll = 1000

// setThreading sets w.threading: which threads work on requests, by the server and its
// class. If gunicorn's command line does not say the class, it is guessed from samples: a
// pool if the main thread polls as gthread does or has connections in no epoll set, else
// an event loop. The size of such a pool is not known.
func (w *worker) setThreading(now time.Time) {
	w.ruled = now
	r := &w.registered
	before := w.threading
	w.threading = threadingOf(w.server, r.Class, r.Threads, r.Sync)
	if w.guessed = w.server == cmdline.Gunicorn && r.Class == "" && r.Threads <= 1 && !r.Sync; w.guessed {
		polls := w.main().state.polls && w.main().state.accepts
		switch {
		case w.provenLoop():
			w.threading, w.main().role = eventLoop, roleUnknown
		case before == pool, polls && (r.InFlight > 0 || w.main().call.Args[3] == gthreadPoll):
			w.threading = pool
		case before == eventLoop, polls:
			w.threading = eventLoop
		}
	}
	if w.threading != eventLoop {
		w.loop.requests = nil
		if w.totals != nil && !w.guessed { // an earlier guess was wrong
			w.totals.Loop = false
		}
	}
	switch w.threading {
	case mainThread, eventLoop:
		w.capacity = 1
	case pool, poolOfAll:
		w.capacity = r.Threads
	case anyThread:
		w.capacity = 0
	}
}

// requestThreads returns the request threads of a worker, the thread that holds the GIL
// if they wait for it, and at most 64 waiting tasks; nil before the first sample.
func (w *worker) requestThreads(now time.Time, paths bool) []model.Thread {
	if w.sampled.IsZero() {
		return nil
	}
	out := make([]model.Thread, 0, w.counted)
	for _, t := range w.threads {
		if t.counted {
			out = append(out, w.requestThread(t, now, paths))
		}
	}
	if x, ok := w.helper(now, paths); ok {
		out = append(out, x)
	}
	return w.taskThreads(out, now, paths)
}

// requestThread returns one thread as the model has it, with what it waits for.
func (w *worker) requestThread(t *thread, now time.Time, paths bool) model.Thread {
	holds := w.gil.Known() && t.tid == w.gil.TID
	on, since := t.on, t.since
	switch {
	case holds && on == ledger.GIL: // for a moment
		on = ledger.CPU
	case t.gil.Waits && !holds:
		on, since = ledger.GIL, t.gil.First
	}
	x := model.Thread{TID: t.tid, Main: t.tid == w.key.pid, On: on.String(), Seconds: now.Sub(since).Seconds(), GIL: holds}
	if n := t.state.socket; n != nil && on != ledger.Idle && on != ledger.Loop && on != ledger.GIL {
		x.Peer, x.Kind, x.Socket = n.Peer, n.Kind, n.Inode
	}
	if on == ledger.Lock || on == ledger.GIL {
		x.Futex = t.state.futex
	}
	if t.on != ledger.Idle && t.on != ledger.Loop {
		x.Stack = t.stack.model(paths)
	}
	return x
}

// Socket is a socket whose other end is to be named.
type Socket struct {
	App   string
	Inode uint64
}

// Unnamed returns the sockets that threads wait for and that are still to be named.
func (s *Sampler) Unnamed() []Socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Socket, 0, len(s.names.Fresh()))
	for _, n := range s.names.Fresh() {
		if n.Asked && !n.Named {
			out = append(out, Socket{n.App, n.Inode})
		}
	}
	return out
}

// SetNames names the sockets of waits by their On and Peer. Each wait has one socket.
func (s *Sampler) SetNames(waits []conns.SocketWait) {
	if len(waits) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for i := range waits {
		if n := s.names.ByInode(waits[i].Sockets[0].Inode); n != nil && !n.Named {
			s.names.Set(n, waits[i].On, waits[i].Peer, now)
		}
	}
}

// Totals is what the sampler has added up, and about the sampler itself.
type Totals struct {
	Apps []ledger.AppTotals // by name
	Rate float64            // samples a second now, of the user whose workers are sampled least often
	CPU  time.Duration      // of all samples
	// Stacks is how often each outcome of a look at a stack has come, by its name.
	Stacks map[string]uint64
	// InFlight is how many requests of each view threads have or wait in event loops, by app.
	InFlight map[string]map[string]int
	// Unsupported is why the interpreter of an app's workers is none whose stacks can be
	// read, by app; Denied is how the kernel refuses to let them be read.
	Unsupported, Denied map[string]error
	// SkippedStacks is how many stacks were not read because there was no CPU time for them.
	SkippedStacks uint64
	// SkippedTasks is how often the tasks of an event loop were not read because there
	// was no CPU time for them, DroppedTasks how often it had more than are read.
	SkippedTasks, DroppedTasks uint64
	// DroppedThreads is how often a worker or its interpreter had more threads than are read.
	DroppedThreads uint64
	// HungReads is how many reads of memory did not return in time, or were not begun
	// because of such.
	HungReads uint64
	// DroppedSockets is how many sockets were not named because of a bound, since the start.
	DroppedSockets uint64
	// DroppedViews is in how many samples a request was counted under
	// [ledger.OtherView] because its app has [ledger.MaxViews] views, since the start.
	DroppedViews uint64
}

// Totals returns a copy of the totals so far.
func (s *Sampler) Totals() Totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Totals{
		Apps: s.totals.Copy(time.Now()), Rate: s.shares.Rate(), CPU: s.spent, DroppedSockets: s.names.Dropped(), DroppedViews: s.totals.DroppedViews(), SkippedStacks: s.skipped,
		SkippedTasks: s.skippedTasks, DroppedTasks: s.tasksBeyond, DroppedThreads: s.threadsBeyond + s.python.beyond, HungReads: s.watchdog.Refused(),
		Stacks: make(map[string]uint64), InFlight: make(map[string]map[string]int), Unsupported: make(map[string]error), Denied: make(map[string]error),
	}
	for outcome, n := range s.python.outcomes {
		out.Stacks[string(outcome)] = n
	}
	for _, w := range s.order {
		if w.python.never {
			out.Unsupported[w.app] = w.python.why
		} else if err := w.python.denied(); err != nil {
			out.Denied[w.app] = err
		}
		out.addInFlight(w)
	}
	return out
}

// addInFlight adds to o.InFlight the requests of a worker, by app and view.
func (o *Totals) addInFlight(w *worker) {
	add := func(v *ledger.View) {
		if v == nil {
			return
		}
		if o.InFlight[w.app] == nil {
			o.InFlight[w.app] = make(map[string]int)
		}
		o.InFlight[w.app][v.Name]++
	}
	for _, t := range w.threads {
		if t.counted {
			add(t.view)
		}
	}
	for i := range w.loop.requests {
		add(w.loop.requests[i].view)
	}
}
