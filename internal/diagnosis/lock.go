package diagnosis

import (
	"path/filepath"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// afterLock returns who holds the lock that thread i waits for: the only other thread of the
// process with a request that does not wait for it; else the process, also if it is not known
// which lock that is, if the wait is for a notification ([forNotice]) and has no holder, or if the
// other one may wait for the same in another lock. Without a stack that thread is only likely.
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

// forNotice reports whether a thread waits for a notification by another one, and not for a
// lock: its innermost frame, if not the app's own code, is in a file that is called like a
// module of the standard library that does so. false: its stack is not known.
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
