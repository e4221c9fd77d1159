package tasks

import (
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
	"github.com/resp-exporter/resp-exporter/internal/pystack/request"
)

const (
	implOffset = 32 // of a greenlet: its C++ object, in greenlet 2 and 3
	implWords  = 40 // of that object that are looked through
	frameField = 24 // of a frame object of 3.11 and later: the interpreter's frame
)

// Greenlets reads the greenlets of a gunicorn worker of the kind gevent. It must not be
// used by two goroutines at once.
//
// A suspended greenlet is in no thread's stack. They are found from the hub, while it runs:
// it refers to the greenlet that called it, whose frame has the pool with the greenlets of
// the requests. Versions of greenlet keep a frame at different offsets: the offset is
// learnt from the types of the objects that are pointed to.
type Greenlets struct {
	Counts Counts

	process  *pystack.Process
	requests *request.Reader
	objects  *object.Reader
	trail    object.Trail
	thread   request.Thread
	stack    pystack.Stack
	name     []byte
	members  *object.Key
	pool     uint64 // of the worker; 0: not known yet
	offset   uint64 // of the frame in a greenlet's C++ object; 0: not known yet
	greens   []uint64
	ends     map[*pystack.Code]bool // of the stacks of the last look
}

// NewGreenlets returns a reader of a process's greenlets, which shares data about the
// process with a reader of its requests.
func NewGreenlets(p *pystack.Process, requests *request.Reader) *Greenlets {
	return &Greenlets{process: p, requests: requests, objects: requests.Objects(), members: object.NewKey("greenlets"), ends: map[*pystack.Code]bool{}}
}

// Read appends the suspended greenlets that have a request in hand to into, with the
// bounds of [Reader.Read], and returns it. It returns false if they could not be found,
// and before the hub was seen while it ran.
func (g *Greenlets) Read(stack *pystack.Stack, now time.Time, into []Task) ([]Task, bool) {
	g.objects.Begin(&g.trail)
	defer g.objects.End(&g.trail)
	if hub := hubOf(stack); hub != nil && !g.find(hub) && g.pool == 0 {
		return into, false
	}
	if g.pool == 0 || !g.typed(g.pool, "Pool") {
		g.pool = 0
		return into, false
	}
	set, ok := g.objects.Attribute(g.pool, g.members)
	if !ok {
		return into, false
	}
	clear(g.ends)
	g.greens = g.greens[:0]
	if !g.objects.Set(set, func(green uint64) bool {
		g.greens = append(g.greens, green)
		return len(g.greens) < MaxTasks
	}) {
		return into, false
	}
	if len(g.greens) == MaxTasks {
		g.Counts.TasksBeyond++
	}
	found := 0
	for _, green := range g.greens {
		t, ok := g.task(green, now)
		if !ok {
			continue
		}
		if found == MaxRequests {
			g.Counts.RequestsBeyond++
			break
		}
		found++
		into = append(into, t)
	}
	return into, true
}

// Believe records that the last look was proven and its stack frozen. The functions at
// which the stacks end that were read are then those in which greenlets begin; without
// them it is not known whether the stack of a thread in which a greenlet runs is
// complete.
func (g *Greenlets) Believe() {
	for code := range g.ends {
		code.Ends()
	}
	clear(g.ends)
}

// hubOf returns the frame of gevent's hub, the outermost of the stack; nil if that is
// another one, as while another greenlet runs.
func hubOf(stack *pystack.Stack) *pystack.Frame {
	if n := len(stack.Frames); n > 0 {
		if f := &stack.Frames[n-1]; f.Code.Name == "run" && strings.HasSuffix(f.Code.File, "/gevent/hub.py") {
			return f
		}
	}
	return nil
}

// task returns a greenlet as a task; ok is false unless it is suspended with a request in
// hand and could be read.
func (g *Greenlets) task(green uint64, now time.Time) (t Task, ok bool) {
	frame, ok := g.frameOf(green)
	if !ok {
		return Task{}, false // it runs, has not begun, has ended or cannot be read
	}
	if g.process.StackAt(frame, &g.stack) != nil {
		g.Counts.Torn++
		return Task{}, false
	}
	if n := len(g.stack.Frames); n > 0 && !g.stack.Truncated {
		g.ends[g.stack.Frames[n-1].Code] = true
	}
	g.requests.Of(&g.thread, &g.stack, now, &t.Request)
	if at := t.Request.Started; !at.IsZero() {
		t.ID = green ^ uint64(at.UnixNano())
	}
	t.Own, t.Inner = modelFrame(g.stack.OwnFrame()), modelFrame(g.stack.InnerFrame())
	return t, t.Request.InHand
}

// find sets the pool of gunicorn's gevent worker and where greenlets have their frames, by
// the hub; false if they are not found, as with another server, or cannot be read.
func (g *Greenlets) find(hub *pystack.Frame) bool {
	self, ok := g.local(hub, "self")
	if !ok {
		return false
	}
	parent, ok := g.parent(self)
	if !ok {
		return false
	}
	frame, ok := g.frameOf(parent)
	if !ok || g.process.StackAt(frame, &g.stack) != nil {
		return false
	}
	for i := range g.stack.Frames {
		f := &g.stack.Frames[i]
		if f.Code.Name != "run" || !strings.HasSuffix(f.Code.File, "gunicorn/workers/ggevent.py") {
			continue
		}
		pool, ok := g.local(f, "pool")
		if ok && g.typed(pool, "Pool") {
			g.pool = pool
			return true
		}
	}
	return false
}

// local returns the address of the value of a variable of a frame; false if the frame has
// none of that name, or it has no value or cannot be read.
func (g *Greenlets) local(f *pystack.Frame, name string) (uint64, bool) {
	var slots [1]object.Slots
	if !g.objects.Slots(f.Code.Addr, 0, []string{name}, slots[:]) {
		return 0, false
	}
	return g.objects.Local(f.Addr, slots[0])
}

// typed reports whether an object's type has this name; false too if it cannot be read.
func (g *Greenlets) typed(obj uint64, name string) bool {
	var ok bool
	g.name, ok = g.objects.TypeName(g.name[:0], obj)
	return ok && string(g.name) == name
}

// parent returns the greenlet that a hub goes back to: the first plain greenlet that its
// C++ object points to; false if there is none, or it cannot be read.
func (g *Greenlets) parent(hub uint64) (uint64, bool) {
	_, value, ok := g.pointsTo(hub, "greenlet.greenlet")
	return value, ok
}

// frameOf returns the address of the innermost frame of a suspended greenlet; false if it
// runs, has not begun or has ended, and if its memory cannot be read or shows no frame.
func (g *Greenlets) frameOf(green uint64) (uint64, bool) {
	var value uint64
	var ok bool
	if g.offset == 0 {
		if g.offset, value, ok = g.pointsTo(green, "frame"); !ok {
			g.offset = 0
			return 0, false
		}
	} else {
		impl, found := g.objects.Field(green, implOffset)
		if !found {
			return 0, false
		}
		if value, ok = g.objects.Word(impl + g.offset); !ok || value == 0 || !g.typed(value, "frame") {
			return 0, false
		}
	}
	if g.objects.Layout().Minor <= 10 {
		return value, true
	}
	frame, ok := g.objects.Field(value, frameField)
	return frame, ok && frame != 0
}

// pointsTo returns the first word of a greenlet's C++ object that is the address of an
// object of a type, and its offset in bytes; ok is false if there is none in the first 39
// words behind its head, or they cannot be read.
func (g *Greenlets) pointsTo(green uint64, name string) (offset, value uint64, ok bool) {
	impl, ok := g.objects.Field(green, implOffset)
	if !ok || impl == 0 {
		return 0, 0, false
	}
	for offset = 8; offset < 8*implWords; offset += 8 {
		value, ok := g.objects.Word(impl + offset)
		if !ok {
			return 0, 0, false
		}
		if value != 0 && value%8 == 0 && g.typed(value, name) {
			return offset, value, true
		}
	}
	return 0, 0, false
}
