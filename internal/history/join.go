package history

import (
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// joins joins threads with what the last gather has read. Its methods may be called by
// several goroutines.
type joins struct {
	mu   sync.Mutex
	last gather
}

// gather is what one gather has read of the waits of threads.
type gather struct {
	at      time.Time
	digests map[uint64]string        // by the socket of a connection
	roots   map[threadKey]*rootOf    // by the thread of a victim
	links   map[threadKey]model.Link // the same roots, whole
}

// threadKey identifies a thread.
type threadKey struct{ pid, tid int }

// rootOf is the root of the chain that a thread waits in.
type rootOf struct {
	on      string // what the thread waited for
	blocker *Blocker
}

// oldGather is how old a gather may be.
const oldGather = 30 * time.Second

// observe stores what a gather, which began at a time, knows of the threads' waits:
// statements by socket, and roots by thread.
func (j *joins) observe(at time.Time, s *model.State) {
	digests := make(map[uint64]string)
	for i := range s.StoreConnections {
		if c := &s.StoreConnections[i]; c.Socket != 0 && c.Digest != "" {
			digests[c.Socket] = c.Digest
		}
	}
	roots, links := make(map[threadKey]*rootOf), make(map[threadKey]model.Link)
	for i := range s.Chains {
		c := &s.Chains[i]
		if len(c.Links) == 0 || c.Deadlock {
			continue
		}
		root := &c.Links[len(c.Links)-1]
		blocker := blockerOf(root)
		for k := range c.Victims {
			v := &c.Victims[k]
			if v.PID == 0 || v.TID == 0 {
				continue
			}
			roots[threadKey{v.PID, v.TID}] = &rootOf{v.On, blocker}
			links[threadKey{v.PID, v.TID}] = *root
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last = gather{at, digests, roots, links}
}

// blockerOf returns what is kept of the root of a wait: no users, hosts and statements, and
// its peer only if neither its app nor its connection is known.
func blockerOf(l *model.Link) *Blocker {
	b := &Blocker{App: l.App, Slot: l.Slot, PID: l.PID, Server: l.Server, Connection: l.Connection}
	if l.App == "" && l.Connection == 0 {
		b.Peer = l.Peer
	}
	if l.Stack != nil {
		b.View, b.Line = l.Stack.View, lineOf(l.Stack)
	}
	return b
}

// lineOf returns the innermost line of the app's own code in a stack; if none is known,
// the innermost line.
func lineOf(s *model.Stack) model.Frame {
	if s.Own.File != "" {
		return s.Own
	}
	return s.Inner
}

// requests returns the requests that the threads of all workers have in hand; nil if
// there is none.
func (j *joins) requests(workers []model.WorkerThreads, now time.Time) []Request {
	j.mu.Lock()
	defer j.mu.Unlock()
	age := now.Sub(j.last.at).Seconds()
	var out []Request
	for i := range workers {
		w := &workers[i]
		for k := range w.Threads {
			t := &w.Threads[k]
			if inHand(t, w.Threads) {
				out = append(out, j.last.request(w, t, age))
			}
		}
	}
	return out
}

// request returns what a thread does as a request. age is that of the gather in seconds:
// its statement and root are used only if the wait had begun by then and the gather is at
// most 30 s old; the root only for the same kind of wait, and not for a task.
func (g *gather) request(w *model.WorkerThreads, t *model.Thread, age float64) Request {
	r := Request{App: w.App, Slot: w.Slot, PID: w.PID, Task: t.Task, On: t.On, Peer: t.Peer, Kind: t.Kind, Seconds: t.Seconds}
	if t.Stack != nil {
		r.View, r.Line = t.Stack.View, lineOf(t.Stack)
	}
	// What was read belongs to this wait only if it had begun by then.
	if t.Seconds < age || age > oldGather.Seconds() {
		return r
	}
	r.Digest = g.digests[t.Socket]
	if root := g.roots[threadKey{w.PID, t.TID}]; root != nil && root.on == t.On && !t.Task {
		r.Blocker = clone(root.blocker)
	}
	return r
}

// clone returns a copy of a blocker, whose texts the caller may cut.
func clone(b *Blocker) *Blocker {
	c := *b
	return &c
}

// inHand reports whether a thread counts as a request: it has one, and is not the thread of
// an event loop whose requests are listed themselves. It is false for a helper thread, and
// if what the thread does is not known. all has the worker's threads.
func inHand(t *model.Thread, all []model.Thread) bool {
	if t.Helper || t.On == "" || t.On == "idle" {
		return false
	}
	if t.On != "loop" || t.Task {
		return true
	}
	for i := range all {
		if all[i].Task && all[i].TID == t.TID {
			return false
		}
	}
	return true
}

// waitOf returns the statement that a thread waited for at a time, and the root of that
// wait; "" and nil where that is not known, as if the last gather came before the wait or
// is more than 30 s old. The root is also nil for a task, and if it is that of another
// kind of wait.
func (j *joins) waitOf(pid int, t *model.Thread, at time.Time) (digest string, root *model.Link) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if age := at.Sub(j.last.at).Seconds(); t.Seconds < age || age > oldGather.Seconds() {
		return "", nil
	}
	if r := j.last.roots[threadKey{pid, t.TID}]; r != nil && r.on == t.On && !t.Task {
		l := j.last.links[threadKey{pid, t.TID}]
		root = &l
	}
	return j.last.digests[t.Socket], root
}
