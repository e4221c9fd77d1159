// Package loops reads what the event loop of one process has in hand: that of asyncio,
// or of gevent.
package loops

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/request"
	"github.com/resp-exporter/resp-exporter/internal/pystack/tasks"
)

// kind is which event loop a process has, as far as its stacks have shown it.
type kind uint8

const (
	unknown kind = iota
	asyncio
	gevent
)

// Reader reads what the event loop of one process has in hand.
type Reader struct {
	kind    kind
	asyncio *tasks.Reader
	gevent  *tasks.Greenlets
	counted uint64 // of NewBeyond

	// Of the look under way, or the last one:
	wanted bool         // the tasks are to be read, not the turn alone
	listed bool         // they were
	list   []tasks.Task // in any order
	turn   uint64       // differs from turn to turn of the loop; 0: not known
}

// New returns a reader of the event loop of a process.
func New(p *pystack.Process, requests *request.Reader) *Reader {
	return &Reader{asyncio: tasks.New(p, requests), gevent: tasks.NewGreenlets(p, requests)}
}

// Begin prepares a look at the loop's thread. tasks: the look reads all tasks, not only
// which turn the loop is in.
func (l *Reader) Begin(tasks bool) { l.wanted, l.listed = tasks, false }

// Read reads the loop during a look at its thread: its turn and, if Begin asked for them,
// its tasks. s and r are the thread's stack and request. It may be called several times
// for one look: the last call counts.
func (l *Reader) Read(s *pystack.Stack, r *request.Request, now time.Time) {
	if l.kind == unknown {
		l.kind = kindOf(s)
	}
	l.list, l.listed, l.turn = l.list[:0], false, 0
	switch l.kind {
	case unknown:
	case asyncio:
		l.turn = l.asyncio.Turn(s)
		if l.wanted {
			l.list, l.listed = l.asyncio.Read(s, now, l.list)
		}
	case gevent:
		// A greenlet that runs hides the hub: which request it has is all that is known.
		if r.InHand && !r.Started.IsZero() {
			l.turn = uint64(r.Started.UnixNano())
		}
		if l.wanted {
			l.list, l.listed = l.gevent.Read(s, now, l.list)
		}
	}
}

// Believe records that the last look was proven. frozen: the process stood still during
// it.
func (l *Reader) Believe(frozen bool) {
	if l.kind == gevent && frozen && l.listed {
		l.gevent.Believe()
	}
}

// NewBeyond returns how many looks since the last call had more tasks or requests
// than are read.
func (l *Reader) NewBeyond() uint64 {
	a, g := &l.asyncio.Counts, &l.gevent.Counts
	before := l.counted
	l.counted = a.TasksBeyond + a.RequestsBeyond + g.TasksBeyond + g.RequestsBeyond
	return l.counted - before
}

// Known reports whether a stack has shown which event loop it is.
func (l *Reader) Known() bool { return l.kind != unknown }

// Gevent reports whether the loop is gevent's. It is false as long as no stack has shown which
// loop it is, see Known.
func (l *Reader) Gevent() bool { return l.kind == gevent }

// Turn returns a number for the turn of the loop at the last look; 0: not known, or it runs
// nothing. The same number again is the same turn of asyncio, but only the same request of
// gevent, which may have been in its poll since.
func (l *Reader) Turn() uint64 { return l.turn }

// Waiting returns the tasks that wait, valid until the next look; of those that share a
// request the innermost. false: the last look did not read the tasks.
func (l *Reader) Waiting() ([]tasks.Task, bool) {
	if !l.listed {
		return nil, false
	}
	return waiting(l.list), true
}

// kindOf returns which event loop a stack runs in; unknown if the stack does not show it.
// Importing a loop's package shows none, as redis and SQLAlchemy import asyncio in any
// worker; nor does a loop that a request of gunicorn's sync or gthread worker runs for
// itself.
func kindOf(s *pystack.Stack) (found kind) {
	if s.Truncated { // what is below may be one of these
		return unknown
	}
	for i := range s.Frames {
		switch file := s.Frames[i].Code.File; {
		case strings.HasPrefix(file, "<frozen importlib"), strings.HasSuffix(file, "gunicorn/workers/sync.py"), strings.HasSuffix(file, "gunicorn/workers/gthread.py"):
			return unknown
		case found != unknown:
		case strings.Contains(file, "/gevent/"), strings.HasSuffix(file, "gunicorn/workers/ggevent.py"):
			found = gevent
		case strings.Contains(file, "/asyncio/"), strings.Contains(file, "/uvloop/"):
			found = asyncio
		}
	}
	return found
}

// waiting returns the tasks that wait, in the same array. Of those that share a request it
// keeps the innermost, with the number of the first, which the server began: a middleware
// begins a task for what is below it. It leaves out the one that runs, which is in the
// thread's stack, and those that share its request.
func waiting(list []tasks.Task) []tasks.Task {
	slices.SortFunc(list, func(a, b tasks.Task) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(rank(&b), rank(&a)), cmp.Compare(b.ID, a.ID))
	})
	runs := uint64(0)
	for i := range list {
		if list[i].Running {
			runs = list[i].Scope
		}
	}
	out := list[:0]
	for _, t := range list {
		switch n := len(out); {
		case t.Running, t.Scope != 0 && t.Scope == runs:
		case t.Scope != 0 && n > 0 && out[n-1].Scope == t.Scope:
			if first := &out[n-1]; first.ID == 0 || t.ID != 0 && t.ID < first.ID {
				first.ID = t.ID
			}
		default:
			out = append(out, t)
		}
	}
	return out
}

// rank returns how likely a task is the innermost of those that share a request; higher
// is likelier. Being in the view's function counts most, then being named by a library,
// which servers do not do.
func rank(t *tasks.Task) (n int) {
	if t.InView {
		n += 2
	}
	if t.ID == 0 {
		n++
	}
	return n
}
