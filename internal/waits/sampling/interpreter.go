package sampling

import (
	"errors"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
	"github.com/resp-exporter/resp-exporter/internal/pystack/request"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/loops"
)

const (
	// notReadyPause is how long after an interpreter was not ready it is tried again,
	// and deniedPause how long after the kernel has refused it.
	notReadyPause = 2 * time.Second
	deniedPause   = time.Minute
	// maxProbes is how often an interpreter is tried that no stack is needed of.
	maxProbes = 5
)

// interpreters is what the interpreters of all workers share.
type interpreters struct {
	fs       *procfs.FS
	cache    *pystack.Cache
	room     *object.Room
	outcomes map[pystack.Outcome]uint64 // of looks; an interpreter that cannot be opened counts as one
	beyond   uint64                     // times that one had more threads than are read
}

// interpreter is the Python interpreter of one worker.
type interpreter struct {
	process *pystack.Process // nil: not open
	reader  *request.Reader  // nil: requests of this version are not known
	next    time.Time        // when opening it is tried again
	never   bool             // it is not supported
	probes  int              // how often it was tried though no stack was needed
	why     error            // why it is not open

	gil      pystack.GIL // its addresses; Locked and HolderTID are of some time ago
	gilKnown bool

	stack   pystack.Stack
	request request.Request
	of      *request.Thread // of the look under way
	now     time.Time       // of the look under way
	within  func(*pystack.Stack) error

	loop   *loops.Reader // nil: as reader
	ofLoop bool          // the look under way is at the thread of an event loop

	program uint64 // that the process ran when it was opened, see programOf; 0: not known
	doubted bool   // a look has found nothing that makes sense since that was last compared
}

// open opens the interpreter of a process, unless that is done or has failed lately. On
// failure it sets why, and never or when it is tried next.
func (i *interpreter) open(all *interpreters, pid int, now time.Time) {
	if i.process != nil || i.never || now.Before(i.next) {
		return
	}
	p, err := pystack.Open(all.fs, pid, all.cache)
	var unsupported *pystack.Unsupported
	switch i.why = err; {
	case err == nil:
		i.process = p
		i.within = func(s *pystack.Stack) error {
			i.reader.Read(i.of, s, i.now, &i.request)
			if i.ofLoop {
				i.loop.Read(s, &i.request, i.now)
			}
			return nil
		}
		if i.reader, err = request.New(p, time.Local, all.room); err != nil {
			i.reader, i.within = nil, nil
		} else {
			i.loop = loops.New(p, i.reader)
		}
		i.gil, err = p.GIL()
		i.gilKnown = err == nil
	case errors.As(err, &unsupported):
		i.never = true
		all.outcomes[pystack.NotReadable]++
	case procfs.Denied(err):
		i.next = now.Add(deniedPause)
		all.outcomes[pystack.Permission]++
	default:
		i.next = now.Add(notReadyPause)
	}
}

// probe tests whether the stacks of a process can be read, so that this is known also for
// an app without requests; why and never then say so. A failure is tried again after a
// pause, at most maxProbes times, unless the interpreter is not supported.
func (i *interpreter) probe(all *interpreters, pid int, now time.Time) {
	if i.probes >= maxProbes || i.process != nil || now.Before(i.next) {
		return
	}
	i.probes++
	if i.open(all, pid, now); i.process != nil || i.never {
		i.probes = maxProbes
	}
	i.close()
}

// denied returns the error by which the kernel refuses to let the interpreter's memory be
// read; nil if it does not.
func (i *interpreter) denied() error {
	if i.process == nil && procfs.Denied(i.why) {
		return i.why
	}
	return nil
}

// close closes the process if it is open.
func (i *interpreter) close() {
	if i.process != nil {
		i.process.Close()
		i.process = nil
	}
}

// waitsForLock reports whether a futex is the GIL; false if that is not known.
func (i *interpreter) waitsForLock(futex uint64) bool {
	return i.process != nil && i.gilKnown && futex != 0 && i.gil.Waits(futex)
}

// holder returns the id of the thread that holds the GIL now; 0: none, or not known.
func (i *interpreter) holder() int {
	if i.process == nil || !i.gilKnown {
		return 0
	}
	g, err := i.process.GIL()
	if err != nil {
		return 0
	}
	return g.HolderTID
}

// collecting returns the id of the thread that collects garbage now; 0: none, or not
// known.
func (i *interpreter) collecting() int {
	if i.process == nil {
		return 0
	}
	tid, _ := i.process.Collector()
	return tid
}

// stackInfo is what the last look at a thread's stack has shown.
type stackInfo struct {
	known  bool      // a stack was believed since the thread has last waited for work
	at     time.Time // of the look
	slices uint64    // how often the thread had been put on a CPU at the last look
	looked bool      // slices is that of a look that was believed, or of several that were not
	// failures is how many looks in a row were not believed with that number of slices.
	failures int

	inHand   bool // it is below a server's request frame
	idlePool bool // it is a thread of a pool that has nothing to do
	nowhere  bool // the stack is complete, and neither holds
	pool     bool // it is in a pool of connections, to get one

	view, route, method, path string
	started                   time.Time
	own, inner                model.Frame
}

// maxFailures is how many looks in a row fail at a thread that has not run meanwhile,
// until that is taken for its last word. A thread that ran at one look may sleep since.
const maxFailures = 5

// failed records in s a look that was not proven. After maxFailures at the same slices,
// which is how often the thread had been put on a CPU, it counts as looked at.
func (s *stackInfo) failed(slices uint64) {
	if s.slices != slices {
		s.failures = 0
	}
	s.failures++
	s.slices, s.looked = slices, s.failures >= maxFailures
}

// look reads the stack of a thread, and sets t.stack and returns true if it is proven.
func (i *interpreter) look(all *interpreters, t *thread, now time.Time) bool {
	if t.python == nil {
		t.python = new(request.Thread)
	}
	i.of, i.now = t.python, now
	i.request = request.Request{}
	beyond := i.process.Stats().ThreadsBeyond
	out := i.process.LookThen(t.tid, &i.stack, i.within)
	all.beyond += i.process.Stats().ThreadsBeyond - beyond
	all.outcomes[out]++
	if out != pystack.OK {
		i.doubted = i.doubted || out == pystack.Torn
		t.stack.failed(t.times.Slices)
		t.stack.looked = t.stack.looked || out == pystack.Beyond // another look finds no more
		return false
	}
	r := &i.request
	s := stackInfo{known: true, at: now, slices: t.times.Slices, looked: true, inHand: r.InHand, idlePool: r.IdlePool, pool: r.Pool}
	s.nowhere = i.reader != nil && !r.InHand && !r.IdlePool && !i.stack.Truncated && len(i.stack.Frames) > 0
	s.view, s.route, s.method, s.path, s.started = r.View, r.Route, r.Method, r.Path, r.Started
	s.own, s.inner = frameOf(i.stack.OwnFrame()), frameOf(i.stack.InnerFrame())
	t.stack = s
	return true
}

// lookAtLoop reads the stack of an event loop's thread and, if the loop is known, its
// current turn and, if tasks is set, its tasks. It reports whether the stack is proven.
func (i *interpreter) lookAtLoop(all *interpreters, t *thread, tasks bool, now time.Time) bool {
	if i.loop == nil {
		return i.look(all, t, now)
	}
	i.ofLoop = true
	i.loop.Begin(tasks)
	ok := i.look(all, t, now)
	i.ofLoop = false
	if ok {
		i.loop.Believe(i.stack.Frozen)
	}
	return ok
}

// frameOf returns a frame as the model has it, its plain name if it has no qualified one; the zero frame for nil.
func frameOf(f *pystack.Frame) model.Frame {
	if f == nil {
		return model.Frame{}
	}
	name := f.Code.Function
	if name == "" {
		name = f.Code.Name
	}
	return model.Frame{Function: name, File: f.Code.File, Line: f.Line}
}

// model returns the stack as the model has it, with the request's path only if paths is
// set; nil if none was believed, or it has neither a request nor a frame to show.
func (s *stackInfo) model(paths bool) *model.Stack {
	if !s.known || !s.inHand && s.own.File == "" && s.inner.File == "" {
		return nil
	}
	out := &model.Stack{View: s.view, Own: s.own, Inner: s.inner, Method: s.method, Route: s.route, Started: s.started, Pool: s.pool}
	if paths {
		out.Path = s.path
	}
	return out
}
