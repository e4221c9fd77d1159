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

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/reserve"
	"github.com/resp-exporter/resp-exporter/internal/waits/sockets"
)

const (
	// cpuShare is the divisor of the part of one core that sampling may use.
	cpuShare = 100
	// slowestPeriod is the longest time between two samples.
	slowestPeriod = 2 * time.Second
	// maxKeptFiles is how many files of threads are held open, at most the part
	// 1/keptShare of all that the exporter may open.
	maxKeptFiles = 2048
	keptShare    = 4
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

// Sampler samples the threads of all workers several times a second, and adds up
// what their time goes into. It reads /proc alone; no process is ever stopped. It
// uses at most a hundredth of one core: where a sample costs more than the rate
// allows, the rate falls, down to one in two seconds.
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
	kept     procfs.KeptFiles
	classify classifier
	names    sockets.Names
	totals   ledger.Totals
	python   interpreters
	watchdog memory.Watchdog
	due      []dueStack // stacks to be read in the sample under way
	work     func()     // one sample, for the watchdog
	reading  *worker    // whose memory was read last in the sample under way
	rest     []dueStack // other request threads in a sample with stacks
	looks    bool       // the sample under way reads stacks
	buf      [512]byte
	ticked   time.Time
	asked    time.Time // when sockets were last to be named

	cost     time.Duration // CPU time of the sample under way, when it is complete
	spent    time.Duration // CPU time of all samples
	mean     time.Duration // of one sample without its stacks, the late ones count most
	ofStacks time.Duration // of the stacks of the last sample
	ofLooks  time.Duration // mean of that of the samples with stacks, the late ones count most
	savings  time.Duration // CPU time that stacks may use
	reserve  reserve.Reserve
	saved    time.Time     // when savings was computed
	period   time.Duration // between two samples
	skipped  uint64        // stacks that were not read because there was no CPU time for them

	skippedTasks uint64 // the same of the tasks of event loops
	tasksBeyond  uint64 // looks that had more tasks or requests than are read
}

// New returns a Sampler; it samples while [Sampler.Run] runs.
func New(o Options) *Sampler {
	s := &Sampler{
		log: logs.Or(o.Logger), name: o.Name, wanted: make(chan struct{}, 1), fs: procfs.New(o.ProcRoot),
		groups:  &cgroup.FS{ProcRoot: o.ProcRoot, SysRoot: o.SysRoot},
		workers: make(map[workerKey]*worker), kept: procfs.KeptFiles{Max: keptFiles()},
	}
	s.classify = classifier{calls: procfs.NewSyscallReader(s.fs), names: &s.names}
	s.python = interpreters{fs: s.fs, cache: pystack.NewWatchedCache(&s.watchdog), room: new(object.Room), outcomes: make(map[pystack.Outcome]uint64)}
	s.work = func() { s.cost = procfs.ThreadCost(s.sampleAll) }
	s.Apply(o.Settings)
	return s
}

// keptFiles returns how many files of threads are held open at most.
func keptFiles() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(limit.Cur/keptShare, maxKeptFiles))
}

// Apply sets other settings.
func (s *Sampler) Apply(o Settings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings = o
	s.fastest = slowestPeriod
	if o.Rate > 0 {
		s.fastest = min(time.Duration(float64(time.Second)/o.Rate), slowestPeriod)
	}
	s.period = s.periodFor(s.mean)
	if !o.Stacks {
		for _, w := range s.order {
			w.forgetStacks()
		}
	}
}

// periodFor returns the time between two samples where one costs that much without
// its stacks. These may use as much again, with the reserve.
func (s *Sampler) periodFor(cost time.Duration) time.Duration {
	return min(max(s.fastest, 2*cpuShare*cost), slowestPeriod)
}

// Run samples until ctx ends, then closes what is held open.
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

// nameSockets has sockets named that threads wait for, at most once a second.
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
			s.log.Warn("Sockets that workers wait for are not named", "err", err)
		}
	}
}

// sample takes one sample and returns the time until the next.
func (s *Sampler) sample() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cost, s.reading, s.reserve.Used = 0, nil, 0
	if !s.watchdog.Do(s.work) {
		s.forgetHung()
	}
	s.spent += s.cost
	others := s.cost - s.reserve.Used
	s.mean += (others - s.ofStacks - s.mean) / 8
	now := time.Now()
	passed := now.Sub(s.saved)
	s.savings = min(s.savings+passed/cpuShare-passed/reserve.Share-others, maxSavings)
	s.reserve.Fill(passed)
	s.saved = now
	s.period = s.periodFor(s.mean)
	return s.period
}

// forgetHung takes a worker whose memory did not come in time for one that cannot be
// read, and has all interpreters opened anew: the read that hangs may still fill what
// they share.
func (s *Sampler) forgetHung() {
	s.ofStacks, s.reserve.Used = 0, 0
	s.python.room = new(object.Room)
	for _, w := range s.order {
		if !w.python.never { // it has nothing open
			w.forgetStacks()
		}
	}
	if hung := s.reading; hung != nil {
		s.python.outcomes[pystack.NotReadable]++
		hung.python.never, hung.python.why = true, memory.ErrHung
		hung.python.program = s.programOf(hung)
		s.log.Warn("A worker's memory does not come; its stacks are not read again", "app", hung.app, "pid", hung.key.pid)
	}
}

// sampleAll samples each worker. A panic is logged and costs this sample only.
func (s *Sampler) sampleAll() {
	defer func() {
		if r := recover(); r != nil {
			p := logs.Recovered(r)
			s.log.Error("Sampling workers panicked", "err", p, "stack", p.Stack)
		}
	}()
	now := time.Now()
	s.due, s.rest = s.due[:0], s.rest[:0]
	s.looks = s.affordsStacks()
	for _, w := range s.order {
		if !w.gone {
			s.read(w, now)
		}
	}
	s.lookOrSkip(now)
	for _, w := range s.order {
		if !w.gone {
			s.accountAll(w, now)
		}
	}
	if now.Sub(s.ticked) >= tickPeriod {
		s.tick(now)
	}
	s.wantNames(now)
}

// wantNames has sockets named, at most once a second, and at once where a thread
// waits for a new one: many are closed again soon.
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

// read reads what the threads of one worker do.
func (s *Sampler) read(w *worker, now time.Time) {
	if now.Sub(w.ruled) >= tickPeriod {
		w.setThreading(now)
	}
	if w.threading != mainThread && w.threading != eventLoop && now.Sub(w.listed) >= tickPeriod {
		w.list(s.fs, &s.kept, now)
	}
	if !s.readThreads(w, now) {
		w.gone = true
		return
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
		case s.looks && t.counted:
			s.rest = append(s.rest, dueStack{w: w, t: t, at: at})
		}
	}
}

// tick does what need not be done in each sample.
func (s *Sampler) tick(now time.Time) {
	s.ticked = now
	s.order = slices.DeleteFunc(s.order, func(w *worker) bool {
		w.settleQueued(s.groups, now)
		if !w.gone && now.Sub(w.known) < unregisteredFor {
			s.recheckProgram(w)
			return false
		}
		w.close(&s.kept)
		delete(s.workers, w.key)
		return true
	})
	s.totals.Tick(now)
	s.names.Sweep(now)
}

// closeAll closes what is held open.
func (s *Sampler) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.order {
		w.close(&s.kept)
	}
	s.order = nil
	clear(s.workers)
}
