package sampling

import (
	"hash/fnv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/viewtime"
)

// refuseHung marks a worker's interpreter as unreadable if reads of the memory of its
// user's processes hang. recheckProgram removes the mark once another program runs.
func (w *worker) refuseHung(now time.Time) {
	if w.python.process == nil && !w.python.never && w.user.Hangs(now) {
		w.python.never, w.python.why, w.python.program = true, memory.ErrHung, 0
	}
}

// openInterpreter opens the interpreter of a worker, unless that is done, has failed
// lately, or is marked unreadable.
func (s *Sampler) openInterpreter(w *worker, now time.Time) {
	w.refuseHung(now)
	if w.python.process == nil && !w.python.never {
		w.python.program = s.programOf(w)
	}
	w.python.open(&s.python, w.key.pid, now)
}

// recheckProgram closes a worker's stacks and interpreter, to be opened again, if another
// program runs in it by now. It does so if looks were torn or no interpreter was found. The
// caller calls it once a second.
func (s *Sampler) recheckProgram(w *worker) {
	if !w.python.never && !w.python.doubted {
		return
	}
	w.python.doubted = false
	if p := s.programOf(w); p != 0 && p != w.python.program {
		w.forgetStacks()
	}
}

// forgetStacks closes the interpreter and forgets all that was learned from stacks.
func (w *worker) forgetStacks() {
	w.python.close()
	w.python, w.shown = interpreter{}, false
	w.loop.forget()
	for _, t := range w.threads {
		t.stack, t.view, t.inViews, t.python = stackInfo{}, nil, viewtime.Account{}, nil
	}
}

// programOf returns a number that identifies the program that a process runs, and, where
// addresses are random, the run: a hash of the vector that the kernel passes to a program
// (/proc/PID/auxv); 0 if it cannot be read.
func (s *Sampler) programOf(w *worker) uint64 {
	n, err := w.dir.Read(procfs.FileName("auxv"), s.buf[:])
	if err != nil || n == 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write(s.buf[:n])
	return h.Sum64()
}
