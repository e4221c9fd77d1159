package pystack

import (
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// Still is the proof that no thread of a process has run since [Still.Stand] looked.
// Nothing stops the process: it is not held, only watched.
type Still struct {
	process *Process
	threads []stillThread
	tids    []procfs.Entry
	again   []procfs.Entry
}

type stillThread struct {
	t     *thread
	first proof
}

// Stand starts a proof that no thread of the process runs. [OK]: none runs now. [Running]:
// one does. [Torn]: threads start or end, or are more than [MaxThreads] (512) or
// than the [Cache] may keep descriptors for: two a thread, and one of the process.
// [Permission]: the kernel refuses it.
func (s *Still) Stand(p *Process) Outcome {
	s.End()
	s.process = p
	var err error
	dir := p.proc.Path(p.pid, "task")
	most := int(min(MaxThreads, (p.cache.limit-1)/2))
	if s.tids, err = p.proc.FirstEntries(dir, s.tids[:0], most+1); err != nil {
		return outcome(err)
	}
	if len(s.tids) == 0 || len(s.tids) > most {
		return Torn
	}
	if len(p.threads)+len(s.tids) > most { // else those of the proof could be forgotten
		for old := range p.threads {
			p.forget(old)
		}
	}
	for _, e := range s.tids {
		t, err := p.thread(e.N)
		if err != nil {
			return outcome(err)
		}
		s.threads = append(s.threads, stillThread{t: t})
		first := &s.threads[len(s.threads)-1].first
		if err := t.prove(first); err != nil {
			return outcome(err)
		}
		if first.running() {
			return Running
		}
	}
	// A thread that another one made meanwhile is in the list now, or its maker has run
	// since it was looked at.
	if s.again, err = p.proc.FirstEntries(dir, s.again[:0], most+1); err != nil {
		return outcome(err)
	}
	if !slices.EqualFunc(s.tids, s.again, func(a, b procfs.Entry) bool { return a.N == b.N }) {
		return Torn
	}
	return OK
}

// Holds reports whether no thread of the process has run since [Still.Stand] was [OK];
// false before any Stand, and if a thread cannot be read. After a Stand that was not OK
// it proves nothing.
func (s *Still) Holds() bool {
	for i := range s.threads {
		x := &s.threads[i]
		if x.t.prove(&x.t.second) != nil || !x.first.equal(&x.t.second) {
			return false
		}
	}
	return len(s.threads) > 0
}

// End ends the proof, and closes the files of the threads that are too many to be kept.
func (s *Still) End() {
	for i := range s.threads {
		s.process.release(s.threads[i].t.tid)
	}
	s.threads = s.threads[:0]
}
