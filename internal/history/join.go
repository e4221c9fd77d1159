package history

import (
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// joins is what the last gather knows of the waits of threads.
type joins struct {
	mu      sync.Mutex
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

// observe takes what one gather read, which began at a time.
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
	j.at, j.digests, j.roots, j.links = at, digests, roots, links
}

// blockerOf returns what is kept of a root: without users, hosts and statements.
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

// lineOf returns the innermost line of the app's own code, or else the innermost one.
func lineOf(s *model.Stack) model.Frame {
	if s.Own.File != "" {
		return s.Own
	}
	return s.Inner
}

// requests returns the requests that threads have in hand.
func (j *joins) requests(workers []model.WorkerThreads, now time.Time) []Request {
	j.mu.Lock()
	defer j.mu.Unlock()
	age := now.Sub(j.at).Seconds()
	var out []Request
	for i := range workers {
		w := &workers[i]
		for k := range w.Threads {
			t := &w.Threads[k]
			if inHand(t, w.Threads) {
				out = append(out, j.request(w, t, age))
			}
		}
	}
	return out
}

// request returns what a thread does; age is that of the gather, in seconds. j.mu is held.
func (j *joins) request(w *model.WorkerThreads, t *model.Thread, age float64) Request {
	r := Request{App: w.App, Slot: w.Slot, PID: w.PID, Task: t.Task, On: t.On, Peer: t.Peer, Kind: t.Kind, Seconds: t.Seconds}
	if t.Stack != nil {
		r.View, r.Line = t.Stack.View, lineOf(t.Stack)
	}
	// What was read belongs to this wait only if it had begun by then.
	if t.Seconds < age || age > oldGather.Seconds() {
		return r
	}
	r.Digest = j.digests[t.Socket]
	if root := j.roots[threadKey{w.PID, t.TID}]; root != nil && root.on == t.On && !t.Task {
		r.Blocker = clone(root.blocker)
	}
	return r
}

// clone returns a copy of a blocker, whose texts may be cut.
func clone(b *Blocker) *Blocker {
	c := *b
	return &c
}

// inHand reports whether a thread is a request: it has one, and is no event loop whose
// requests are listed.
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

// waitOf returns the statement that a thread waited for at a time, and the root for which.
func (j *joins) waitOf(pid int, t *model.Thread, at time.Time) (digest string, root *model.Link) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if age := at.Sub(j.at).Seconds(); t.Seconds < age || age > oldGather.Seconds() {
		return "", nil
	}
	if r := j.roots[threadKey{pid, t.TID}]; r != nil && r.on == t.On && !t.Task {
		l := j.links[threadKey{pid, t.TID}]
		root = &l
	}
	return j.digests[t.Socket], root
}
