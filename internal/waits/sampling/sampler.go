// Package sampling samples what each thread of each worker does, and adds up what
// its time goes into: from the files syscall and schedstat of /proc/PID/task/TID.
package sampling

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/openfiles"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/share"
	"github.com/resp-exporter/resp-exporter/internal/waits/sockets"
)

const (
	// tickPeriod is how often what need not be exact is done.
	tickPeriod = time.Second
	// unregisteredFor is how long a worker is sampled that no scan has.
	unregisteredFor = 30 * time.Second
)

// Options configures a Sampler.
type Options struct {
	ProcRoot, SysRoot string
	Settings
	// Name lets the watcher name sockets between two scans, see
	// [discovery.Watcher.FinishInspections]; nil: they are named in scans alone.
	Name   func(context.Context) error
	Logger *slog.Logger
}

// Settings is what the configuration says of sampling.
type Settings struct {
	Rate   float64 // samples a second at most, above 0
	Stacks bool    // the stacks of threads with a request are read
	Paths  bool    // what [Sampler.Register] returns has the paths of requests
}

// Sampler samples the threads of all workers several times a second, and adds up what
// their time goes into. It reads /proc alone; no process is ever stopped. It uses at most
// a hundredth of one core, which the users share whose processes they are: where the
// samples of a user cost more, they are taken less often, down to one in ten seconds.
type Sampler struct {
	log    *slog.Logger
	name   func(context.Context) error
	wanted chan struct{} // sockets are to be named

	mu       sync.Mutex // guards what follows
	fs       *procfs.FS
	groups   *cgroup.FS
	settings Settings
	fastest  time.Duration // between two samples
	workers  map[workerKey]*worker
	order    []*worker
	kept     procfs.KeptFiles // files of threads
	dirs     procfs.KeptFiles // directories of workers
	classify classifier
	names    sockets.Names
	totals   ledger.Totals
	python   interpreters
	watchdog memory.Watchdog
	due      []dueStack // stacks to be read in the sample under way
	work     func()     // one sample, for the watchdog
	reading  *worker    // whose memory was read last in the sample under way
	rest     []dueStack // other request threads of users whose stacks are read
	buf      [512]byte
	ticked   time.Time
	asked    time.Time // when sockets were last to be named

	shares share.Shares
	// CPU time of the sample under way, when it is complete, and of all samples.
	cost, spent time.Duration
	// Stacks that were not read because there was no CPU time for them, and tasks of event loops.
	skipped, skippedTasks uint64
	// Times that a worker had more threads, and looks that had more tasks or requests, than are read.
	threadsBeyond, tasksBeyond uint64
}

// New returns a Sampler; it samples while [Sampler.Run] runs.
func New(o Options) *Sampler {
	s := &Sampler{
		log: logs.Or(o.Logger), name: o.Name, wanted: make(chan struct{}, 1), fs: procfs.New(o.ProcRoot),
		groups:  &cgroup.FS{ProcRoot: o.ProcRoot, SysRoot: o.SysRoot},
		workers: make(map[workerKey]*worker), kept: procfs.KeptFiles{Max: openfiles.Limit(openfiles.ThreadFiles)}, dirs: procfs.KeptFiles{Max: openfiles.Limit(openfiles.WorkerDirs)},
	}
	s.classify = classifier{calls: procfs.NewWatchedSyscallReader(s.fs, &s.watchdog), names: &s.names}
	s.python = interpreters{fs: s.fs, cache: pystack.NewWatchedCache(&s.watchdog), room: new(object.Room), outcomes: make(map[pystack.Outcome]uint64)}
	s.work = func() { s.cost = procfs.ThreadCost(s.sampleAll) }
	s.Apply(o.Settings)
	return s
}

// Apply sets other settings. Without stacks it forgets those that were read.
func (s *Sampler) Apply(o Settings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings = o
	s.fastest = share.Slowest
	if o.Rate > 0 {
		s.fastest = min(time.Duration(float64(time.Second)/o.Rate), share.Slowest)
	}
	s.shares.SetPeriods(s.fastest)
	if !o.Stacks {
		for _, w := range s.order {
			w.forgetStacks()
		}
	}
}

// Run samples until ctx ends, then closes all open files. The error is always nil.
func (s *Sampler) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { s.nameSockets(ctx) })
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			wg.Wait()
			s.closeAll()
			return nil
		case <-t.C:
		}
		// A worker that does the same each 100 ms must not meet each sample at the same place.
		period := s.sample()
		t.Reset(time.Duration(float64(period) * (0.9 + 0.2*rand.Float64())))
	}
}

// nameSockets requests the names of sockets that threads wait for, at most once a second,
// until ctx ends.
func (s *Sampler) nameSockets(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wanted:
		}
		if s.name == nil {
			continue
		}
		if err := s.name(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("Sockets that workers wait for cannot be identified", "err", err)
		}
	}
}

// sample takes one sample and returns how long to wait until the next one.
func (s *Sampler) sample() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cost, s.reading = 0, nil
	s.shares.Begin(time.Now(), s.settings.Stacks)
	if !s.watchdog.Do(s.work) {
		s.forgetHung()
	}
	s.spent += s.cost
	s.shares.End(time.Now(), s.cost)
	return s.shares.SetPeriods(s.fastest)
}

// forgetHung marks the worker whose memory could not be read in time as unreadable, and
// closes all interpreters: the read that hangs may still write into what they share.
func (s *Sampler) forgetHung() {
	s.python.room = new(object.Room)
	for _, w := range s.order {
		if !w.python.never { // it has nothing open
			w.forgetStacks()
		}
	}
	if hung := s.reading; hung != nil {
		s.classify.calls.Hang(hung.key.pid)
		for _, t := range hung.threads {
			t.seen = false // what its call waits for was not read
		}
		s.python.outcomes[pystack.NotReadable]++
		hung.python.never, hung.python.why = true, memory.ErrHung
		hung.python.program = s.programOf(hung)
		hung.user.Hang(time.Now())
		s.log.Warn("Reading a worker's memory timed out; its stacks are not read again", "app", hung.app, "pid", hung.key.pid)
	}
}

// sampleAll samples the workers that are due. A panic is logged, and loses one sample.
func (s *Sampler) sampleAll() {
	defer func() {
		if r := recover(); r != nil {
			p := logs.Recovered(r)
			s.log.Error("Sampling workers panicked", "err", p, "stack", p.Stack)
		}
	}()
	now := time.Now()
	s.due, s.rest = s.due[:0], s.rest[:0]
	s.each(now, (*Sampler).read)
	s.lookOrSkip(now)
	s.each(now, (*Sampler).accountAll)
	if now.Sub(s.ticked) >= tickPeriod {
		s.tick(now)
	}
	s.wantNames(now)
}

// each calls f for the workers of the users that are due, and charges them the CPU time.
func (s *Sampler) each(now time.Time, f func(*Sampler, *worker, time.Time)) {
	began := procfs.ThreadTime()
	for i, w := range s.order {
		if w.user.Due && !w.gone {
			f(s, w, now)
		}
		if i+1 == len(s.order) || s.order[i+1].user != w.user {
			at := procfs.ThreadTime()
			w.user.Read(at - began)
			began = at
		}
	}
}

// wantNames requests the names of new sockets that threads wait for: at once, as many are
// closed soon, but at most once a second.
func (s *Sampler) wantNames(now time.Time) {
	if len(s.names.Fresh()) == 0 || now.Sub(s.asked) < tickPeriod {
		return
	}
	s.asked = now
	select {
	case s.wanted <- struct{}{}:
	default:
	}
}

// read reads what the threads of one worker do, and lists the stacks that are due in
// s.due, else in s.rest. It sets w.gone if the process has ended.
func (s *Sampler) read(w *worker, now time.Time) {
	s.reading = w
	if now.Sub(w.ruled) >= tickPeriod {
		w.setThreading(now)
	}
	if w.threading != mainThread && w.threading != eventLoop && now.Sub(w.listed) >= tickPeriod && w.list(s.fs, &s.kept, now) {
		s.threadsBeyond++
	}
	for i, t := range w.threads {
		if ended := s.readThread(w, t, now); ended && i == 0 {
			w.gone = true
			return
		}
	}
	if w.scanned {
		w.scanned = false
		w.learn()
	}
	w.choose()
	if !s.settings.Stacks {
		return
	}
	at := time.Now()
	for i, t := range w.threads {
		stack, tasks := w.wantsStack(t), i == 0 && w.wantsTasks(now)
		switch {
		case stack || tasks:
			s.due = append(s.due, dueStack{w, t, at, stack, tasks})
		case w.user.Looks && t.counted:
			s.rest = append(s.rest, dueStack{w: w, t: t, at: at})
		}
	}
}

// tick is called once a second. It removes workers that ended or are not registered any
// more.
func (s *Sampler) tick(now time.Time) {
	s.ticked = now
	s.order = slices.DeleteFunc(s.order, func(w *worker) bool {
		w.settleQueued(s.groups, now)
		if !w.gone && now.Sub(w.known) < unregisteredFor {
			s.recheckProgram(w)
			return false
		}
		w.close(&s.kept, &s.dirs)
		delete(s.workers, w.key)
		return true
	})
	s.shares.Keep(now, func(u *share.User) bool {
		return slices.ContainsFunc(s.order, func(w *worker) bool { return w.user == u })
	})
	s.totals.Tick(now)
	s.names.Sweep(now)
}

// closeAll closes all open files and removes all workers.
func (s *Sampler) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.order {
		w.close(&s.kept, &s.dirs)
	}
	s.order = nil
	clear(s.workers)
}
