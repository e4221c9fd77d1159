package object

// chainMost is how many coroutines may wait for each other.
const chainMost = 64

// State is what a coroutine does.
type State int

// States of coroutines, generators and asynchronous generators.
const (
	Finished  State = iota
	Created         // it has not started
	Suspended       // it waits in an await or a yield
	Running
)

// Step is one coroutine of a chain, and where it is.
type Step struct {
	Coroutine uint64
	Frame     uint64 // of the interpreter; 0 where it has finished
	State     State
}

// Chain calls do for an object that is awaited, if it is a coroutine or a generator, then
// for what that waits for, and so on, past wrappers, until do returns false. It returns the
// first object that is none of them, such as a future; 0 if that is not known, after one
// that is not suspended, if do returned false, and after 64.
func (r *Reader) Chain(obj uint64, do func(Step) bool) uint64 {
	for range chainMost {
		t, ok := r.TypeOf(obj)
		if !ok {
			return 0
		}
		switch t.Kind {
		case Awaitable:
			if obj, ok = r.Field(obj, 16); !ok {
				return 0
			}
			continue
		case Coroutine, Generator, AsyncGenerator:
		default:
			return obj
		}
		step, ok := r.Step(obj)
		if !ok || !do(step) || step.State != Suspended {
			return 0
		}
		if obj, ok = r.awaited(step.Frame); !ok {
			return 0
		}
	}
	r.Counts.Many++
	return 0
}

// Step returns the frame and the state of a coroutine or a generator; obj is known to be
// one. Before 3.11 the frame of one that has finished is 0. false: it cannot be read.
func (r *Reader) Step(obj uint64) (Step, bool) {
	l := r.layout.Coroutine
	s := Step{Coroutine: obj}
	var state [1]byte
	if l.Inline {
		s.Frame = obj + r.layout.shift + l.Frame
		if !r.Read(obj+r.layout.shift+l.State, state[:]) {
			return Step{}, false
		}
		s.State = r.state(int8(state[0]))
		return s, true
	}
	frame, ok := r.Field(obj, l.Frame)
	if !ok {
		return Step{}, false
	}
	if s.Frame = frame; frame == 0 {
		return s, true
	}
	if l.State != 0 {
		if !r.Read(r.frameField(frame, l.State), state[:]) {
			return Step{}, false
		}
		s.State = r.state(int8(state[0]))
		return s, true
	}
	top, ok := r.Word(r.frameField(frame, l.Top))
	last, ok2 := r.Word(r.frameField(frame, l.Last))
	switch s.State = Suspended; {
	case top == 0:
		s.State = Running
	case int32(last) < 0:
		s.State = Created
	}
	return s, ok && ok2
}

// state returns the meaning of the interpreter's number of a state; Finished for a number
// that is none of the others.
func (r *Reader) state(n int8) State {
	created := int8(-2)
	if r.layout.Minor >= 13 {
		created = -3
	}
	switch {
	case n == created:
		return Created
	case n == 0:
		return Running
	case n < 0 && n > created:
		return Suspended
	}
	return Finished
}

// awaited returns the object on top of a suspended frame's stack, which is what it waits
// for; false if the stack is empty, deeper than 4,096 or cannot be read, or that is a
// small int.
func (r *Reader) awaited(frame uint64) (uint64, bool) {
	const depths = 4096
	l := r.layout.Coroutine
	top, ok := r.Word(r.frameField(frame, l.Top))
	if !ok {
		return 0, false
	}
	base := r.frameField(frame, r.layout.locals)
	if l.Base != 0 {
		if base, ok = r.Word(r.frameField(frame, l.Base)); !ok {
			return 0, false
		}
	}
	if l.Depth {
		if top &= 0xffffffff; top > depths {
			return 0, r.alien()
		}
		top = base + 8*top
	}
	if top <= base || top > base+8*depths {
		return 0, r.alien()
	}
	value, ok := r.Word(top - 8)
	if !ok {
		return 0, false
	}
	return r.untag(value)
}
