package diagnosis

import (
	"path/filepath"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// afterLock returns the thread of the same process that holds the lock for which a
// thread waits, found by elimination: it is the only one with a request in hand that
// does not wait for it. Where several may hold it, it returns the process.
//
// A lock of threading.Condition, a queue or a future is held by nobody: whoever gives
// notice ends the wait, which need not be one of the request threads. A lock is told
// apart from these by the stack. Without one, who holds it is only likely.
func (g *graph) afterLock(i int) *step {
	t := &g.threads[i]
	s := &step{to: node{sort: ofProcess, index: t.worker, kind: kindLock}, on: t.On, kind: kindLock}
	var others []int
	for _, j := range g.workers[t.worker].threads {
		if o := &g.threads[j]; j != i && o.inHand() && (t.Futex == 0 || o.On != "lock" || o.Futex != t.Futex) {
			others = append(others, j)
		}
	}
	s.candidates = len(others)
	if len(others) != 1 || t.Futex == 0 || forNotice(t.Stack) {
		return s
	}
	o := &g.threads[others[0]]
	if o.On == "lock" && (o.Stack == nil || t.Stack == nil || forNotice(o.Stack)) {
		return s // it may wait for the same thing in another lock
	}
	s.candidates = 0
	if t.Stack == nil {
		s.probable = true
		s.to = node{sort: ofProcess, index: t.worker, kind: kindLock, id: uint64(others[0]) + 1}
		return s
	}
	s.to, s.held = node{sort: ofThread, index: others[0]}, true
	return s
}

// forNotice reports whether a thread waits until another one gives notice, and not
// for a lock: its innermost frame is of the standard library's parts for that.
func forNotice(s *model.Stack) bool {
	if s == nil {
		return false
	}
	switch filepath.Base(s.Inner.File) {
	case "threading.py", "queue.py", "_base.py", "thread.py", "synchronize.py", "connection.py", "selectors.py", "popen_fork.py":
		return s.Inner != s.Own
	}
	return false
}
