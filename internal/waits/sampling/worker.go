package sampling

import (
	"slices"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack/request"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/gil"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/reserve"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/share"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/viewcount"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/viewtime"
	"github.com/resp-exporter/resp-exporter/internal/waits/sockets"
)

// workerKey identifies a worker's process.
type workerKey struct {
	pid   int
	start uint64 // clock ticks since the boot
}

// threading is which threads of a worker work on requests.
type threading uint8

const (
	mainThread threading = iota // the main one alone
	eventLoop                   // the main one, for all requests
	pool                        // those of a pool; the main one hands them the connections
	poolOfAll                   // those of a pool, of which the main one is part
	anyThread                   // not known: those that work while a request is in flight
)

// threadingOf returns which threads of a worker serve, by its server, class and threads;
// anyThread for a server that is not known. sync: it was seen to be a sync worker of gunicorn.
func threadingOf(server cmdline.Server, class string, threads int, sync bool) threading {
	switch server { //nolint:exhaustive // the others are not known so well
	case cmdline.Gunicorn:
		switch {
		case sync:
			return mainThread
		case class == "gthread", (class == "" || class == "sync") && threads > 1:
			return pool
		case class == "" || class == "sync":
			return mainThread
		default:
			return eventLoop
		}
	case cmdline.UWSGI:
		if threads > 1 {
			return poolOfAll
		}
		return mainThread
	case cmdline.Waitress:
		return pool
	case cmdline.Uvicorn, cmdline.Hypercorn:
		return eventLoop
	}
	return anyThread
}

// worker is a worker that the sampler samples.
type worker struct {
	key       workerKey
	user      *share.User
	app       string
	server    cmdline.Server
	threading threading
	guessed   bool  // threading is
	capacity  int   // threads for requests; 0: not known
	listening []int // descriptors of the app's listeners
	scan      scanResult
	// registered is the last registration, and ruled when threading was last set by it.
	registered Registration
	ruled      time.Time
	scanned    bool // scan is new since the last sample

	dir     *procfs.ProcessDir
	tasks   string         // path of the directory of its threads
	entries []procfs.Entry // of that directory, reused
	threads []*thread      // the main one first
	listed  time.Time      // when the threads were last listed
	sampled time.Time      // zero: not yet
	gone    bool
	known   time.Time // when a scan last had it

	epolls    [8]epollSet
	idleLocks [8]idleLock
	shown     bool      // a stack has shown a thread of its pool
	outside   time.Time // since when its event loop has been seen outside of its poll; zero: it is in it
	blocked   float64   // seconds since then, as far as they are counted

	python interpreter
	gil    gilHolder
	loop   loop

	requests viewcount.Requests

	totals   *ledger.Slot
	queued   float64 // seconds in the queue of the processors that are not credited yet
	throttle cgroup.Throttle
	counted  int // threads that were counted in the last sample
}

// scanResult is what a scan has found about a worker's connections.
type scanResult struct {
	known    bool // the connections could be read
	inFlight int  // requests
	pending  bool // an event loop has an unanswered connection
}

// none reports whether a scan has shown that no request was in flight.
func (c scanResult) none() bool { return c.known && c.inFlight == 0 && !c.pending }

// epollSet is what is in one epoll set, read at most once a second.
type epollSet struct {
	fd      int
	read    time.Time // zero: never
	listens bool
	fds     []int
}

// thread is one thread of a worker that is sampled.
type thread struct {
	tid               int
	schedFile, ofCall procfs.KeptFile
	seen              bool // it has been sampled
	moved             bool // it has run since the sample before
	denied            bool // its system call may not be read
	times             procfs.SchedTimes
	call              procfs.Syscall
	ledger            ledger.Ledger
	state             callState
	on                ledger.On
	since             time.Time // it has waited for that since then, at least
	past              wait      // that it was last seen in
	unsettled         bool      // it has run, and whether it continues with that is not known yet
	gil               gil.Wait

	role      role
	unproven  bool   // that it is roleBackground, or rolePool, was concluded, and no stack or queue has shown it
	worked    bool   // it has been out of the pool's queue since it was last in it
	lockProof uint64 // Slices at which more requests were in flight than other threads worked on
	counted   bool   // as a request thread, in the last sample

	turn reserve.Turn // for the reserve

	python *request.Thread // what is remembered of its looks; nil: there was none
	stack  stackInfo
	view   *ledger.View // of the request that it has; nil: none, or not known

	inViews viewtime.Account
	last    viewcount.Last
}

// role is what a thread of a pool is known as.
type role uint8

const (
	roleUnknown role = iota
	rolePool         // it returns to the pool's queue
	roleAssumed      // a thread must work on the requests in flight
	roleBackground
)

// callState is what the system call of a thread says.
type callState struct {
	accepts bool            // it waits for a connection
	polls   bool            // it is in the poll of an event loop
	futex   uint64          // the address that it waits at; 0: none
	untimed bool            // that wait has no timeout
	mutex   bool            // that wait is for a mutex of the C library
	socket  *sockets.Socket // the socket that it waits for; nil: none, or they do not agree
	fixed   ledger.On       // of any other call
}

// newWorker returns a worker with its directory in /proc open; an error if it has ended or may not be opened.
func newWorker(fs *procfs.FS, key workerKey) (*worker, error) {
	dir, err := procfs.OpenProcess(fs, key.pid, key.start)
	if err != nil {
		return nil, err
	}
	w := &worker{key: key, dir: dir, tasks: fs.Path(key.pid, "task")}
	w.threads = []*thread{newThread(key.pid)}
	return w, nil
}

// newThread returns a thread that has not been sampled yet.
func newThread(tid int) *thread {
	dir := "task/" + strconv.Itoa(tid) + "/"
	return &thread{tid: tid, schedFile: procfs.NewKeptFile(dir + "schedstat"), ofCall: procfs.NewKeptFile(dir + "syscall")}
}

// close closes the open files of a worker.
func (w *worker) close(kept, dirs *procfs.KeptFiles) {
	for _, t := range w.threads {
		t.close(kept)
	}
	w.python.close()
	dirs.CloseDir(w.dir)
}

// close closes the open files of a thread.
func (t *thread) close(kept *procfs.KeptFiles) {
	kept.Close(&t.schedFile)
	kept.Close(&t.ofCall)
}

// main returns the main thread.
func (w *worker) main() *thread { return w.threads[0] }

// list updates w.threads, up to table.MaxThreads. It reports whether there are more; false if it cannot read.
func (w *worker) list(fs *procfs.FS, kept *procfs.KeptFiles, now time.Time) (beyond bool) {
	w.listed = now
	list, err := fs.FirstEntries(w.tasks, w.entries[:0], table.MaxThreads+1)
	if err != nil {
		return false
	}
	w.entries = list
	beyond = len(list) > table.MaxThreads
	list = list[:min(len(list), table.MaxThreads)]
	has := func(tid int) bool {
		return slices.ContainsFunc(list, func(e procfs.Entry) bool { return e.N == tid })
	}
	w.threads = slices.DeleteFunc(w.threads, func(t *thread) bool {
		ended := t.tid != w.key.pid && !has(t.tid)
		if ended {
			t.close(kept)
		}
		return ended
	})
	for _, e := range list {
		if !slices.ContainsFunc(w.threads, func(t *thread) bool { return t.tid == e.N }) {
			w.threads = append(w.threads, newThread(e.N))
		}
	}
	return beyond
}

// read reads a thread's totals and, if it has run since the last sample (t.moved), its
// system call. ended: there is no such thread any more.
func (t *thread) read(d *procfs.ProcessDir, kept *procfs.KeptFiles, buf []byte) (ended bool) {
	n, err := kept.Read(d, &t.schedFile, buf)
	if err != nil {
		return procfs.Gone(err)
	}
	times, err := procfs.ParseSchedTimes(buf[:n])
	if err != nil {
		return false
	}
	t.moved = !t.seen || times != t.times
	if !t.moved && !t.call.Running {
		return false
	}
	t.times = times
	n, err = kept.Read(d, &t.ofCall, buf)
	if procfs.Gone(err) {
		return true
	}
	call := procfs.Syscall{NR: -1}
	if err == nil {
		call, err = procfs.ParseSyscall(buf[:n])
	}
	t.denied = err != nil
	t.moved = t.moved || call != t.call
	t.call, t.seen = call, true
	return false
}

// waitedFor returns the socket that a thread's wait is credited to; nil if there is none.
func (t *thread) waitedFor(on ledger.On) *sockets.Socket {
	if on == ledger.Idle || on == ledger.Loop {
		return nil
	}
	return t.state.socket
}
