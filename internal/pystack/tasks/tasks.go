// Package tasks reads from the event loop of an asyncio process which requests it
// has in hand, and in which line of the app each of them waits: a task that waits
// is in no thread's stack. A method with a boolean result returns false also for what cannot be
// read or makes no sense.
package tasks

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
	"github.com/resp-exporter/resp-exporter/internal/pystack/request"
)

// Bounds of one look.
const (
	// MaxTasks is how many tasks of a process are read.
	MaxTasks = 512
	// MaxRequests is how many requests are returned.
	MaxRequests = 200
)

// Task is a task of an event loop that has a request in hand.
type Task struct {
	Request request.Request
	// Running is set for the one task that runs: the thread's stack has where.
	Running bool
	// Thread is set for a task that waits for a thread of a pool: that thread's
	// stack has where, and it has this same request in hand.
	Thread bool
	Own    model.Frame // where it waits in the app's own code; File is "" without
	Inner  model.Frame // the innermost frame
	// ID distinguishes it from all other tasks that the process has had, as far as the
	// process itself does; 0: it does not.
	ID uint64
	// Scope is the address of the request's ASGI scope, which the tasks that a
	// middleware begins for one request share; 0: it has none.
	Scope uint64
	// InView is whether the function that is the view is among its coroutines.
	InView bool
}

// Counts has what bounds and checks have left out so far.
type Counts struct {
	TasksBeyond    uint64 // looks with more than [MaxTasks] tasks
	RequestsBeyond uint64 // looks with more than [MaxRequests] requests
	Torn           uint64 // tasks that could not be read
}

// Reader reads the tasks of one process. It must not be used by two goroutines at
// once.
type Reader struct {
	Counts Counts

	process  *pystack.Process
	requests *request.Reader
	objects  *object.Reader
	layout   layout
	keys     keys
	trail    object.Trail
	thread   request.Thread
	tasks    []uint64
	frames   []uint64
	stack    pystack.Stack
	name     []byte
	turns    turns
}

// keys are the names that are looked up.
type keys struct{ module, all, scheduled, eager, data *object.Key }

// New returns a reader of a process's tasks, which shares data about the process with a
// reader of its requests.
func New(p *pystack.Process, requests *request.Reader) *Reader {
	k := object.NewKey
	return &Reader{
		process: p, requests: requests, objects: requests.Objects(), layout: layoutOf(p.Version().Minor),
		keys: keys{module: k("asyncio.tasks"), all: k("_all_tasks"), scheduled: k("_scheduled_tasks"), eager: k("_eager_tasks"), data: k("data")},
	}
}

// Read appends to into the tasks that work on a request at now, and returns it: of the
// first [MaxTasks] tasks, at most [MaxRequests], in no order. It must be called within
// [pystack.Process.LookThen] of the thread that the loop runs in, whose stack is given.
// false: the tasks could not be found, after a torn look or in a process without asyncio.
func (r *Reader) Read(stack *pystack.Stack, now time.Time, into []Task) ([]Task, bool) {
	r.objects.Begin(&r.trail)
	defer r.objects.End(&r.trail)
	r.tasks = r.tasks[:0]
	if !r.list(stack.State) {
		return into, false
	}
	found := 0
	for _, task := range r.tasks {
		t, ok := r.task(task, now)
		if !ok {
			continue
		}
		if found == MaxRequests {
			r.Counts.RequestsBeyond++
			break
		}
		found++
		into = append(into, t)
	}
	return into, true
}

// task returns a task of asyncio; ok is false if it has ended, has no request in hand or
// cannot be read.
func (r *Reader) task(addr uint64, now time.Time) (t Task, ok bool) {
	coroutine, ok := r.pending(addr)
	if !ok {
		return Task{}, false
	}
	r.frames = r.frames[:0]
	r.objects.Chain(coroutine, func(s object.Step) bool {
		if s.Frame == 0 || s.State == object.Finished {
			return false
		}
		r.frames = append(r.frames, s.Frame)
		t.Running = s.State == object.Running
		return true
	})
	if len(r.frames) == 0 {
		return Task{}, false
	}
	if t.Running { // its inner frames are on the thread's stack
		r.frames = r.frames[:1]
	}
	for i, j := 0, len(r.frames)-1; i < j; i, j = i+1, j-1 {
		r.frames[i], r.frames[j] = r.frames[j], r.frames[i]
	}
	if r.process.FramesAt(r.frames, &r.stack) != nil {
		r.Counts.Torn++
		return Task{}, false
	}
	r.requests.Of(&r.thread, &r.stack, now, &t.Request)
	if !t.Request.InHand {
		return Task{}, false
	}
	t.ID, t.Scope = r.number(addr), r.requests.Scope()
	for i := range r.stack.Frames {
		t.InView = t.InView || r.stack.Frames[i].Code.Function == t.Request.View
	}
	if t.Running {
		return t, true
	}
	t.Own, t.Inner = modelFrame(r.stack.OwnFrame()), modelFrame(r.stack.InnerFrame())
	t.Thread = request.InThread(r.stack.Frames)
	return t, true
}

// modelFrame returns a frame as the model has it; zero for nil.
func modelFrame(f *pystack.Frame) model.Frame {
	if f == nil {
		return model.Frame{}
	}
	return model.Frame{Function: f.Code.Function, File: f.Code.File, Line: f.Line}
}
