package tasks

import (
	"math"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
)

// turns remembers where asyncio's loop keeps the time of its turn.
type turns struct {
	trail object.Trail
	code  *pystack.Code // of _run_once; nil: not known yet
	slots object.Slots
}

// Turn returns a number that differs from turn to turn of an asyncio loop: the bits of the
// time at which the loop has returned from its poll, the variable end_time of
// BaseEventLoop._run_once (asyncio/base_events.py). Two looks with the same number prove
// that the loop was not in its poll between them. It is 0 while the loop runs no callback,
// for other loops, such as uvloop, and if it cannot be read. It must be called as
// [Reader.Read] is.
func (r *Reader) Turn(stack *pystack.Stack) uint64 {
	for i := len(stack.Frames) - 1; i > 0; i-- {
		f := &stack.Frames[i]
		if f.Code.Name != "_run_once" || !strings.HasSuffix(f.Code.File, "/asyncio/base_events.py") {
			continue
		}
		if stack.Frames[i-1].Code.Name != "_run" { // the variable may be of the turn before
			return 0
		}
		r.objects.Begin(&r.turns.trail)
		defer r.objects.End(&r.turns.trail)
		return r.endTime(f)
	}
	return 0
}

// endTime returns the bits of the variable end_time of a frame of _run_once; 0 if
// it cannot be read.
func (r *Reader) endTime(f *pystack.Frame) uint64 {
	if r.turns.code != f.Code {
		var slots [1]object.Slots
		if !r.objects.Slots(f.Code.Addr, 0, []string{"end_time"}, slots[:]) {
			return 0
		}
		r.turns.code, r.turns.slots = f.Code, slots[0]
	}
	value, ok := r.objects.Local(f.Addr, r.turns.slots)
	if !ok {
		return 0
	}
	at, ok := r.objects.Float(value)
	if !ok {
		return 0
	}
	return math.Float64bits(at)
}
