package waits

import (
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// task is what is kept of one thread from look to look.
type task struct {
	slices uint64    // how often it has been put on a processor
	since  time.Time // of the first look at which that was so
	at     time.Time // of the last look
	marks  [2]mark   // of looks that are a second apart or more, the older first
}

// mark is how long a thread had run, or been ready to run, at one look.
type mark struct {
	at   time.Time
	busy time.Duration
}

// markPause is the shortest time between two marks.
const markPause = time.Second

// share returns the part of the time since the older mark that the thread has
// run or been ready to run; 0 before there are two marks.
func (k *task) share(now time.Time, busy time.Duration) (share float64) {
	if k.marks[1].at.IsZero() || now.Sub(k.marks[1].at) >= markPause {
		k.marks[0], k.marks[1] = k.marks[1], mark{now, busy}
	}
	if old := k.marks[0]; !old.at.IsZero() {
		share = max(0, (busy-old.busy).Seconds()/now.Sub(old.at).Seconds())
	}
	return share
}

// thread is one thread of a worker in one look.
type thread struct {
	tid   int
	call  procfs.Syscall
	since time.Time // it has been in this call since that look, at least
	share float64   // of the time lately that it has run or been ready to run
	waits bool      // for a connection
	rests bool      // it has been in this call since before the worker was last idle
}

// loads reports whether the thread runs or reads files, as an import does.
func (k *thread) loads() bool {
	return k.call.NR == -1 || slices.Contains([]int{unix.SYS_READ, unix.SYS_PREAD64, unix.SYS_OPENAT, unix.SYS_GETDENTS64, unix.SYS_MMAP}, k.call.NR)
}

// caller reads what threads are doing.
type caller struct {
	t      *table.Table
	calls  *procfs.SyscallReader
	others []thread // of the worker that is being looked at
}

// look looks at the threads of one worker. Where the main thread's call proves
// that a worker has a request in hand, or none, the others are not read.
func (c *caller) look(p *table.Process, s *stateTracker, server cmdline.Server, listening []int, now time.Time) (look, error) {
	l := look{server: server}
	var err error
	if l.main, err = c.thread(p, s, p.PID, now); err != nil {
		return look{}, err
	}
	l.ok = true
	l.main.waits = c.calls.WaitsForConnection(p.PID, l.main.call, listening)
	if l.main.waits && server == cmdline.Gunicorn && (l.main.call.NR == procfs.SysSelect || l.main.call.NR == unix.SYS_PSELECT6) {
		s.sync = true // the other workers of gunicorn poll
	}
	if p.Stat.Threads > 1 && !s.sync {
		c.readOthers(p, s, now)
		l.others = c.others
	}
	c.judge(p, s, &l, listening, now)
	return l, nil
}

// settle sets which threads wait for a connection, which rest, and what the
// others have in common. It is called when the descriptors under which
// the listeners are held have changed.
func (c *caller) settle(p *table.Process, s *stateTracker, l *look, listening []int, now time.Time) {
	l.main.waits = c.calls.WaitsForConnection(p.PID, l.main.call, listening)
	c.judge(p, s, l, listening, now)
}

// judge is settle for a worker of which it is known whether its main thread
// waits for a connection.
func (c *caller) judge(p *table.Process, s *stateTracker, l *look, listening []int, now time.Time) {
	l.working, l.asleep = 0, 0
	one := func(k *thread) {
		k.rests = !k.waits && !k.call.Running && !s.idleAt.IsZero() && !k.since.After(s.idleAt)
		if !k.waits && !k.rests {
			l.working++
			l.asleep = max(l.asleep, now.Sub(k.since))
		}
	}
	one(&l.main)
	for i := range l.others {
		l.others[i].waits = c.calls.WaitsForConnection(p.PID, l.others[i].call, listening)
		one(&l.others[i])
	}
}

// thread reads one thread.
func (c *caller) thread(p *table.Process, s *stateTracker, tid int, now time.Time) (thread, error) {
	dir := ""
	if tid != p.PID {
		dir = "task/" + strconv.Itoa(tid) + "/"
	}
	b, err := c.t.FS.Read(p.PID, dir+"syscall")
	if err != nil {
		return thread{}, err
	}
	k := thread{tid: tid}
	if k.call, err = procfs.ParseSyscall(b); err != nil {
		return thread{}, err
	}
	var runs uint64
	var busy time.Duration
	if b, err := c.t.FS.Read(p.PID, dir+"schedstat"); err == nil {
		busy, runs, _ = procfs.ParseSchedstat(b)
	}
	before, seen := s.tasks[tid]
	k.since = before.since
	if !seen || k.call.Running || before.slices != runs {
		k.since = now
	}
	if s.tasks == nil {
		s.tasks = make(map[int]task)
	}
	k.share = before.share(now, busy)
	s.tasks[tid] = task{slices: runs, since: k.since, at: now, marks: before.marks}
	return k, nil
}

// readOthers reads the threads beside the main one, and forgets those that ended.
func (c *caller) readOthers(p *table.Process, s *stateTracker, now time.Time) {
	c.others = c.others[:0]
	list, err := c.t.FS.Entries(c.t.FS.Path(p.PID, "task"), nil)
	if err != nil {
		return
	}
	for _, e := range list[:min(len(list), table.MaxThreads)] {
		if e.N == p.PID {
			continue
		}
		if k, err := c.thread(p, s, e.N, now); err == nil {
			c.others = append(c.others, k)
		}
	}
	for tid, t := range s.tasks {
		if t.at != now {
			delete(s.tasks, tid)
		}
	}
}
