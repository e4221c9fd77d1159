package sampling

import (
	"hash/fnv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/viewtime"
)

// openInterpreter opens the interpreter of a worker, unless that has failed lately.
func (s *Sampler) openInterpreter(w *worker, now time.Time) {
	if w.python.process == nil && !w.python.never {
		w.python.program = s.programOf(w)
	}
	w.python.open(&s.python, w.key.pid, now)
}

// recheckProgram has the interpreter of a worker opened anew that runs another
// program by now: its looks find nothing that makes sense, or it ran none at first.
// It is to be called once a second.
func (s *Sampler) recheckProgram(w *worker) {
	if !w.python.never && !w.python.doubted {
		return
	}
	w.python.doubted = false
	if p := s.programOf(w); p != 0 && p != w.python.program {
		w.forgetStacks()
	}
}

// forgetStacks forgets what stacks have shown.
func (w *worker) forgetStacks() {
	w.python.close()
	w.python = interpreter{}
	w.loop.forget()
	for _, t := range w.threads {
		t.stack, t.view, t.inViews, t.python = stackInfo{}, nil, viewtime.Account{}, nil
	}
}

// programOf returns what differs from one program to the next that a process runs,
// and from run to run where addresses are random: a hash of the vector that the
// kernel hands to a program (/proc/PID/auxv); 0 if it cannot be read.
func (s *Sampler) programOf(w *worker) uint64 {
	n, err := w.dir.Read(procfs.FileName("auxv"), s.buf[:])
	if err != nil || n == 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write(s.buf[:n])
	return h.Sum64()
}
