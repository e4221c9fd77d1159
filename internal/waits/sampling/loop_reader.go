package sampling

import (
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/request"
	"github.com/resp-exporter/resp-exporter/internal/pystack/tasks"
)

// loopKind is which event loop a worker has, as far as its stacks have shown it.
type loopKind uint8

const (
	loopUnknown loopKind = iota
	loopAsyncio
	loopGevent
)

// loopReader reads what the event loop of one process has in hand.
type loopReader struct {
	kind    loopKind
	asyncio *tasks.Reader
	gevent  *tasks.Greenlets
	counted uint64 // of newBeyond

	// Of the look under way, or the last one:
	wanted bool         // the tasks are to be read, not the turn alone
	listed bool         // they were
	list   []tasks.Task // in any order
	turn   uint64       // differs from turn to turn of the loop; 0: not known
}

// newLoopReader returns a reader of the event loop of a process.
func newLoopReader(p *pystack.Process, requests *request.Reader) *loopReader {
	return &loopReader{asyncio: tasks.New(p, requests), gevent: tasks.NewGreenlets(p, requests)}
}

// read reads the loop within a look at its thread, whose stack and request that
// are. It may be called several times for one look.
func (l *loopReader) read(s *pystack.Stack, r *request.Request, now time.Time) {
	if l.kind == loopUnknown {
		l.kind = kindOf(s)
	}
	l.list, l.listed, l.turn = l.list[:0], false, 0
	switch l.kind {
	case loopUnknown:
	case loopAsyncio:
		l.turn = l.asyncio.Turn(s)
		if l.wanted {
			l.list, l.listed = l.asyncio.Read(s, now, l.list)
		}
	case loopGevent:
		// A greenlet that runs hides the hub: which request it has is all that is known.
		if r.InHand && !r.Started.IsZero() {
			l.turn = uint64(r.Started.UnixNano())
		}
		if l.wanted {
			l.list, l.listed = l.gevent.Read(s, now, l.list)
		}
	}
}

// believe is to be called after a look that has succeeded.
func (l *loopReader) believe(frozen bool) {
	if l.kind == loopGevent && frozen && l.listed {
		l.gevent.Believe()
	}
}

// newBeyond returns how many looks since the last call had more tasks or requests
// than are read.
func (l *loopReader) newBeyond() uint64 {
	a, g := &l.asyncio.Counts, &l.gevent.Counts
	before := l.counted
	l.counted = a.TasksBeyond + a.RequestsBeyond + g.TasksBeyond + g.RequestsBeyond
	return l.counted - before
}

// kindOf returns which event loop a stack runs below, if it shows that.
func kindOf(s *pystack.Stack) loopKind {
	for i := range s.Frames {
		switch file := s.Frames[i].Code.File; {
		case strings.Contains(file, "/gevent/"), strings.HasSuffix(file, "gunicorn/workers/ggevent.py"):
			return loopGevent
		case strings.Contains(file, "/asyncio/"), strings.Contains(file, "/uvloop/"):
			return loopAsyncio
		}
	}
	return loopUnknown
}
